"""What a deployment can set: environment variables, and the same names in a `.env` file.

This is the only place that reads the environment. Names of ours begin with `PARLEY_`; names that
other systems already use for the same thing keep their spelling.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qs, urlsplit

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway.transports.webrtc.addresses import parse_addresses, parse_ice_servers
from pipeline.frames import Slot
from stages.registry import AUTO, UnknownProvider, find

OPENAI, PIPER = "openai", "piper"
"""Names of the providers that need further settings."""


LOCAL_ORIGINS = ",".join(
    f"http://{host}:{port}"
    for host in ("localhost", "127.0.0.1")
    for port in (3000, 5173, 8080, 8081)
)
"""Where web pages under development are usually served."""

REDIS_TLS_OPTIONS = frozenset(
    {"ssl_ca_certs", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_keyfile"}
)
"""What a rediss:// URL may say after its question mark."""


class SettingsError(Exception):
    """A setting has a value that cannot be used. The text is one line and names the variable."""


def _url(schemes: tuple[str, ...], text: str) -> str:
    # The value is never echoed: a URL may carry a password.
    try:
        parts = urlsplit(text)
        usable = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(character.isspace() for character in text):
        raise ValueError(f"must be a URL like {schemes[0]}://host:port")
    return text.rstrip("/")


def _http_url(text: str) -> str:
    return _url(("http", "https"), text)


def _redis_url(text: str) -> str:
    url = _url(("redis", "rediss"), text)
    parts = urlsplit(url)
    options = parse_qs(parts.query, keep_blank_values=True)
    known = REDIS_TLS_OPTIONS if parts.scheme == "rediss" else frozenset()
    if not re.fullmatch(r"(/\d{1,4})?", parts.path) or parts.fragment or options.keys() - known:
        raise ValueError(
            "must be a URL like redis://host:port/0; only rediss:// takes ssl_ options"
        )
    return url


def _engine(value: object) -> object:
    # pyttsx3 drives espeak on Linux; the engine here is the same one without the detour.
    return "espeak-ng" if value == "pyttsx3" else value


def _provider(slot: Slot) -> AfterValidator:
    """Accepts "auto" and the names of the slot's providers, those of other packages included."""

    def known(name: str) -> str:
        if name != AUTO:
            try:
                find(slot, name)
            except UnknownProvider as error:
                names = ", ".join((AUTO, *error.known))
                broken = "".join(f" ({entry.reason})" for entry in error.refused)
                raise ValueError(f"must be one of {names}, not {name!r}{broken}") from None
        return name

    return AfterValidator(known)


def _api_key(key: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]+", key.get_secret_value()):
        raise ValueError("must be printable ASCII without spaces")
    return key


def _language(code: str) -> str:
    if not re.fullmatch(r"[a-z]{2,3}", code):
        raise ValueError(f"must be a language's code, such as en, not {code!r}")
    return code


def _origins(text: str) -> str:
    origins = [part.strip().rstrip("/") for part in text.split(",")]
    if origins not in (["none"], ["*"]) and not all(
        re.fullmatch(r"https?://[A-Za-z0-9.:\[\]-]+", origin) for origin in origins
    ):
        raise ValueError("must be origins like http://localhost:3000 with commas, * or none")
    return ",".join(origins)


def _addresses(text: str) -> str:
    try:
        return ",".join(parse_addresses(text))
    except ValueError as error:
        raise ValueError(f"must be IP addresses with commas between them: {error}") from None


def _ice_servers(servers: SecretStr) -> SecretStr:
    parse_ice_servers(servers.get_secret_value())
    return servers


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


HttpUrl = Annotated[str, AfterValidator(_http_url)]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]
ApiKey = Annotated[SecretStr, AfterValidator(_api_key)]


def _variable(*names: str, default: Any, description: str, **limits: Any) -> Any:
    alias = AliasChoices(*names) if len(names) > 1 else names[0]
    return Field(default, validation_alias=alias, description=description, **limits)


def _service(*names: str, default: str | None, description: str) -> Any:
    return _variable(*names, default=default, description=description, repr=False)


class Settings(BaseSettings):
    """Every setting with its default. Field names end in their unit where they have one.

    Where a field answers to two variables, the first that is set wins. An empty value counts as
    not set. The environment wins over `.env`.
    """

    model_config = SettingsConfigDict(
        env_prefix="PARLEY_",
        case_sensitive=True,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    # --- the gateway itself ---
    host: str = _variable(
        "PARLEY_HOST",
        default="127.0.0.1",
        description="address to listen on; 0.0.0.0 opens the gateway to the network",
    )
    port: int = _variable(
        "PARLEY_PORT",
        "PORT",
        default=8000,
        ge=0,
        le=65535,
        description="TCP port to listen on; 0 takes any free one",
    )
    data_dir: Path = _variable(
        "PARLEY_DATA_DIR",
        default=Path("var"),
        description="folder for what must survive a restart, such as parley.sqlite3",
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = (
        _variable(
            "PARLEY_LOG_LEVEL",
            default="info",
            description="least severe message that is logged: debug, info, warning or error",
        )
    )
    max_sessions: int = _variable(
        "PARLEY_MAX_SESSIONS",
        default=100,
        ge=1,
        description="live conversations at a time; more are told to try later",
    )
    session_ttl_s: int = _variable(
        "SESSION_TTL",
        default=3600,
        ge=1,
        description="seconds that an unfinished session is kept after it was last changed",
    )

    cors_origins: Annotated[str, AfterValidator(_origins)] = _variable(
        "PARLEY_CORS_ORIGINS",
        default=LOCAL_ORIGINS,
        description="web pages that may use the REST API: origins with commas, * or none",
    )

    webrtc_addresses: Annotated[str, AfterValidator(_addresses)] = _variable(
        "PARLEY_WEBRTC_ADDRESSES",
        default="",
        description="addresses that WebRTC offers, with commas: this machine's, or its NAT's",
    )
    ice_servers: Annotated[SecretStr, AfterValidator(_ice_servers)] = _variable(
        "PARLEY_ICE_SERVERS",
        default=SecretStr(""),
        description="STUN and TURN servers, with commas: turn:user:password@host:3478",
    )

    journal_dir: Path | None = _variable(
        "PARLEY_JOURNAL_DIR",
        default=None,
        description="folder for a journal of every session, to be read with `parley replay`",
    )
    journal_texts: bool = _variable(
        "PARLEY_JOURNAL_TEXTS",
        default=False,
        description="whether journals keep what was said; otherwise only its length",
    )

    # --- the conversation ---
    silence_ms: int = _variable(
        "PARLEY_SILENCE_MS",
        default=800,
        ge=100,
        le=10_000,
        description="milliseconds of silence that end a turn",
    )
    budget_ms: int = _variable(
        "PARLEY_BUDGET_MS",
        default=1000,
        ge=100,
        le=60_000,
        description="latency budget of a turn in milliseconds, from decision to first reply audio",
    )

    silence_prompt_s: int = _variable(
        "PARLEY_SILENCE_PROMPT_S",
        default=15,
        ge=0,
        le=600,
        description="seconds of silence after which who says nothing is spoken to; 0 never does",
    )
    longest_interview_min: int = _variable(
        "PARLEY_LONGEST_INTERVIEW_MIN",
        default=60,
        ge=1,
        le=480,
        description="minutes after which an interview comes to its end, breaks included",
    )
    upload_max_mb: int = _variable(
        "PARLEY_UPLOAD_MAX_MB",
        default=25,
        ge=1,
        le=200,
        description="megabytes that an uploaded answer may have",
    )
    upload_max_min: int = _variable(
        "PARLEY_UPLOAD_MAX_MIN",
        default=10,
        ge=1,
        le=60,
        description="minutes that an uploaded answer may last",
    )
    recording: Annotated[Literal["off", "allowed"], BeforeValidator(_lower)] = _variable(
        "PARLEY_RECORDING",
        default="off",
        description="whether spoken answers are kept where the session has consent: off or allowed",
    )
    speculate: Annotated[Literal["auto", "on", "off"], BeforeValidator(_lower)] = _variable(
        "PARLEY_SPECULATE",
        default="auto",
        description="prepare answers in the first silence: on, off, or auto: where no key is used",
    )

    # --- providers; an installed package may bring further names ---
    vad: Annotated[str, _provider("vad")] = _variable(
        "PARLEY_VAD",
        default=AUTO,
        description="voice detection: auto, silero or energy",
    )
    stt: Annotated[str, _provider("stt")] = _variable(
        "PARLEY_STT",
        default=AUTO,
        description="speech recognition: auto, openai, whisper or pocketsphinx (demo quality)",
    )
    stt_url: HttpUrl | None = _service(
        "PARLEY_STT_URL",
        default=None,
        description="OpenAI-compatible transcription server, such as http://localhost:8010/v1",
    )
    stt_model: str | None = _variable(
        "PARLEY_STT_MODEL",
        default=None,
        description="model that the transcription server is asked for",
    )
    stt_key: ApiKey | None = _variable(
        "PARLEY_STT_KEY",
        default=None,
        description="API key for the transcription server",
    )
    stt_language: Annotated[str, AfterValidator(_language)] | None = _variable(
        "PARLEY_STT_LANGUAGE",
        default=None,
        description="code of the language that people speak, such as en; recognisers detect it",
    )
    whisper_model: str = _variable(
        "WHISPER_MODEL",
        default="base",
        description="Whisper model: tiny, base, small, medium, large-v3 … or a model's folder",
    )
    stt_words: bool = _variable(
        "PARLEY_STT_WORDS",
        default=False,
        description="ask the transcription server when each word was said, if it can tell",
    )
    whisper_words: bool = _variable(
        "PARLEY_WHISPER_WORDS",
        default=False,
        description="have Whisper tell when each word was said; decodes take up to twice as long",
    )
    llm: Annotated[str, _provider("llm")] = _variable(
        "PARLEY_LLM",
        default=AUTO,
        description="who finds the words of the reply: auto, openai or scripted",
    )
    llm_url: HttpUrl | None = _service(
        "PARLEY_LLM_URL",
        default=None,
        description="OpenAI-compatible chat server (llama.cpp, vLLM …); OLLAMA_URL if not set",
    )
    llm_model: str | None = _variable(
        "PARLEY_LLM_MODEL",
        default=None,
        description="model that the chat server is asked for",
    )
    llm_key: ApiKey | None = _variable(
        "PARLEY_LLM_KEY",
        default=None,
        description="API key for the chat server",
    )
    tts_engine: Annotated[str, BeforeValidator(_engine), _provider("tts")] = _variable(
        "TTS_ENGINE",
        default=AUTO,
        description="speech synthesis: auto, openai, piper or espeak-ng (pyttsx3 means espeak-ng)",
    )
    tts_url: HttpUrl | None = _service(
        "PARLEY_TTS_URL",
        default=None,
        description="OpenAI-compatible speech server, such as http://localhost:8880/v1",
    )
    tts_model: str | None = _variable(
        "PARLEY_TTS_MODEL",
        default=None,
        description="model that the speech server is asked for",
    )
    tts_voice: str | None = _variable(
        "PARLEY_TTS_VOICE",
        default=None,
        description="voice that the speech server is asked for",
    )
    tts_key: ApiKey | None = _variable(
        "PARLEY_TTS_KEY",
        default=None,
        description="API key for the speech server",
    )
    tts_rate_hz: int = _variable(
        "PARLEY_TTS_RATE_HZ",
        default=24_000,
        ge=8_000,
        le=48_000,
        description="sample rate of the speech server's pcm in Hz",
    )
    piper_voice: Path | None = _variable(
        "PARLEY_PIPER_VOICE",
        default=None,
        description="Piper voice: an .onnx file with its .onnx.json beside it",
    )

    # --- services around the gateway ---
    conversation_url: HttpUrl = _service(
        "CONVERSATION_URL",
        default="http://localhost:8003",
        description="conversation service",
    )
    voice_url: HttpUrl = _service(
        "VOICE_URL",
        "VOICE_SERVICE_URL",
        default="http://localhost:8002",
        description="voice service",
    )
    avatar_url: HttpUrl = _service(
        "AVATAR_URL",
        default="http://localhost:8001",
        description="avatar service",
    )
    interview_url: HttpUrl = _service(
        "INTERVIEW_URL",
        "INTERVIEW_SERVICE_URL",
        default="http://localhost:8004",
        description="interview service",
    )
    analytics_url: HttpUrl = _service(
        "ANALYTICS_URL",
        default="http://localhost:8007",
        description="analytics service",
    )
    granite_interview_url: HttpUrl = _service(
        "GRANITE_INTERVIEW_URL",
        default="http://localhost:8005",
        description="service of the trained interview models; its contract names no port",
    )
    ollama_url: HttpUrl = _service(
        "OLLAMA_URL",
        default="http://localhost:11434",
        description="Ollama",
    )
    redis_url: RedisUrl | None = _variable(
        "REDIS_URL",
        default=None,
        repr=False,
        description="Redis that stores the sessions, such as redis://localhost:6379/0; else SQLite",
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if gaps := [*_gaps(self)]:
            raise ValueError("; ".join(gaps))
        return self

    @property
    def database(self) -> Path:
        """The SQLite file in the data directory."""
        return self.data_dir / "parley.sqlite3"

    @classmethod
    def load(cls, env_file: Path | None = Path(".env")) -> "Settings":
        """Read the environment and, where it exists, `env_file`. Raises `SettingsError`."""
        try:
            source: dict[str, Any] = {"_env_file": env_file}
            return cls(**source)
        except ValidationError as error:
            raise SettingsError("; ".join(_explain(entry) for entry in error.errors())) from None
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{env_file} cannot be read: {error}") from None


_SETS: tuple[tuple[str, str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("stt", OPENAI, ("stt_url", "stt_model", "stt_key"), ("stt_url", "stt_model")),
    ("llm", OPENAI, ("llm_url", "llm_model", "llm_key"), ("llm_model",)),
    (
        "tts_engine",
        OPENAI,
        ("tts_url", "tts_model", "tts_voice", "tts_key"),
        ("tts_url", "tts_model", "tts_voice"),
    ),
    ("tts_engine", PIPER, ("piper_voice",), ("piper_voice",)),
)
"""Fields that work together: the one that chooses a provider, its name, those that belong to it,
and those it cannot do without."""


def _gaps(settings: Settings) -> Iterator[str]:
    """What cannot work, because something that belongs to it is not set."""
    for chooser, provider, members, needed in _SETS:
        name = getattr(settings, chooser)
        given = [field for field in members if getattr(settings, field) is not None]
        missing = [_name(field) for field in needed if field not in given]
        if missing and name == provider:
            yield f"{_name(chooser)}={name} needs {', '.join(missing)}"
        elif missing and given and name == AUTO:
            yield f"{_name(given[0])} needs {', '.join(missing)}"


def _name(field: str) -> str:
    return variables(Settings.model_fields[field])[0]


def variables(field: FieldInfo) -> tuple[str, ...]:
    """The names of the variables that a field of `Settings` is read from, best first."""
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return tuple(str(choice) for choice in alias.choices)
    return (str(alias),)


def _explain(entry: Any) -> str:
    """One of pydantic's complaints in words for whoever set the variable."""
    if not entry["loc"]:  # of several variables together, which it names
        return str(entry["ctx"]["error"])
    first = str(entry["loc"][0])
    spellings = (variables(field) for field in Settings.model_fields.values())
    name = next((" or ".join(names) for names in spellings if names[0] == first), first)
    context = entry.get("ctx", {})
    match entry["type"]:
        case "int_parsing":
            wanted = "must be a whole number"
        case "greater_than_equal":
            wanted = f"must be at least {context['ge']}"
        case "less_than_equal":
            wanted = f"must be at most {context['le']}"
        case "literal_error":
            wanted = f"must be one of {context['expected']}".replace("'", "").replace(" or", ",")
        case _:  # from the validators above, which say it themselves
            return f"{name} {context.get('error', entry['msg'])}"
    return f"{name} {wanted}, not {entry['input']!r}"
