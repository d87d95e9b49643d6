"""What a deployment can set: environment variables, and the same names in a `.env` file.

This is the only place that reads the environment. Names of ours begin with `PARLEY_`; names that
other systems already use for the same thing keep their spelling.
"""

from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict


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
    return _url(("redis", "rediss"), text)


def _engine(value: object) -> object:
    # pyttsx3 drives espeak on Linux; the engine here is the same one without the detour.
    return "espeak-ng" if value == "pyttsx3" else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


HttpUrl = Annotated[str, AfterValidator(_http_url)]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]


def _variable(*names: str, default: Any, description: str, **limits: Any) -> Any:
    alias = AliasChoices(*names) if len(names) > 1 else names[0]
    return Field(default, validation_alias=alias, description=description, **limits)


def _service(*names: str, default: str, description: str) -> Any:
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
        description="seconds that a session is kept after it was last changed",
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

    # --- providers ---
    vad: Literal["auto", "silero", "energy"] = _variable(
        "PARLEY_VAD",
        default="auto",
        description="voice detection: auto, silero or energy",
    )
    stt: Literal["auto", "whisper", "pocketsphinx"] = _variable(
        "PARLEY_STT",
        default="auto",
        description="speech recognition: auto, whisper or pocketsphinx (demo quality)",
    )
    whisper_model: str = _variable(
        "WHISPER_MODEL",
        default="base",
        description="Whisper model: tiny, base, small, medium, large-v3 … or a model's folder",
    )
    llm: Literal["auto", "scripted"] = _variable(
        "PARLEY_LLM",
        default="auto",
        description="who finds the words of the reply: auto or scripted",
    )
    tts_engine: Annotated[Literal["auto", "espeak-ng"], BeforeValidator(_engine)] = _variable(
        "TTS_ENGINE",
        default="auto",
        description="speech synthesis: auto or espeak-ng (pyttsx3 means espeak-ng too)",
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
        description="Redis, for workers that share sessions; not used yet, SQLite stores them",
    )

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


def variables(field: FieldInfo) -> tuple[str, ...]:
    """The names of the variables that a field of `Settings` is read from, best first."""
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return tuple(str(choice) for choice in alias.choices)
    return (str(alias),)


def _explain(entry: Any) -> str:
    """One of pydantic's complaints in words for whoever set the variable."""
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
