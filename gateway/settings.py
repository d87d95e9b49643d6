"""The settings of a deployment: environment variables, or the same names in a `.env` file.

No other module reads the environment. Parley's own names begin with `PARLEY_`; names that other
systems already use for the same thing keep their spelling.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway.server_settings import ServerSettings
from gateway.variables import (
    ENGINE,
    LOWER,
    ApiKey,
    Face,
    HttpUrl,
    Language,
    Lexicon,
    Lighter,
    RedisUrl,
    ServiceNetworks,
    WorkerUrls,
    explain,
    gaps,
    provider,
    service,
    shared,
    tokens,
    variable,
)
from stages.registry import AUTO


class SettingsError(Exception):
    """A setting cannot be used. The text is one line and names the variable."""


class Settings(ServerSettings, BaseSettings):
    """Every setting with its default. The name of a field with a unit ends in that unit.

    If a field has two variables, the first that is set and not empty wins. `.env` comes last.
    """

    model_config = SettingsConfigDict(
        env_prefix="PARLEY_",
        case_sensitive=True,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    # --- the face ---
    face: Face = variable(
        "PARLEY_FACE",
        default="mira",
        description="the interviewer's face: mira, jonas, lin, or a folder with one of your own",
    )
    avatar_video: Annotated[Literal["auto", "off"], LOWER] = variable(
        "PARLEY_AVATAR_VIDEO",
        default="auto",
        description="video of the face over WebRTC: auto, where it can be drawn here, or off",
    )
    avatar_threads: int | None = variable(
        "PARLEY_AVATAR_THREADS",
        default=None,
        ge=1,
        le=64,
        description="threads that draw and encode the face; otherwise one a core, at most 4",
    )

    journal_dir: Path | None = variable(
        "PARLEY_JOURNAL_DIR",
        default=None,
        description="folder for a journal of every session, to be read with `parley replay`",
    )
    journal_texts: bool = variable(
        "PARLEY_JOURNAL_TEXTS",
        default=False,
        description="whether journals keep what was said; otherwise only its length",
    )
    journal_audio: bool = variable(
        "PARLEY_JOURNAL_AUDIO",
        default=False,
        description="whether the person's audio is kept beside each journal, as a WAV file",
    )
    journal_max_mb: int = variable(
        "PARLEY_JOURNAL_MAX_MB",
        default=1000,
        ge=1,
        description="megabytes of all journals and audio; the oldest give way to new ones",
    )

    # --- the conversation ---
    silence_ms: int = variable(
        "PARLEY_SILENCE_MS",
        default=800,
        ge=100,
        le=10_000,
        description="milliseconds of silence that end a turn",
    )
    noise_reduction: Annotated[Literal["off", "near_field", "far_field"], LOWER] = variable(
        "PARLEY_NOISE_REDUCTION",
        default="off",
        description="noise taken out of input audio: off, near_field or far_field (microphones)",
    )
    budget_ms: int = variable(
        "PARLEY_BUDGET_MS",
        default=1000,
        ge=100,
        le=60_000,
        description="latency budget of a turn in milliseconds, from decision to first reply audio",
    )

    silence_prompt_s: int = variable(
        "PARLEY_SILENCE_PROMPT_S",
        default=15,
        ge=0,
        le=600,
        description="seconds of silence after which a silent candidate is prompted; 0 is never",
    )
    longest_interview_min: int = variable(
        "PARLEY_LONGEST_INTERVIEW_MIN",
        default=60,
        ge=1,
        le=480,
        description="minutes after which an interview comes to its end, breaks included",
    )
    longest_session_min: int | None = variable(
        "PARLEY_LONGEST_SESSION_MIN",
        default=None,
        ge=1,
        le=1440,
        description="minutes that a live session may last; else an hour more than an interview",
    )
    upload_max_mb: int = variable(
        "PARLEY_UPLOAD_MAX_MB",
        default=25,
        ge=1,
        le=200,
        description="megabytes that an uploaded answer may have",
    )
    upload_max_min: int = variable(
        "PARLEY_UPLOAD_MAX_MIN",
        default=10,
        ge=1,
        le=60,
        description="minutes that an uploaded answer may last",
    )
    recording: Annotated[Literal["off", "allowed"], LOWER] = variable(
        "PARLEY_RECORDING",
        default="off",
        description="whether spoken answers are kept where the session has consent: off or allowed",
    )
    speculate: Annotated[Literal["auto", "on", "off"], LOWER] = variable(
        "PARLEY_SPECULATE",
        default="auto",
        description="prepare answers in the first silence: on, off, or auto: where no key is used",
    )

    # --- providers; an installed package may bring further names ---
    lighter: Lighter = variable(
        "PARLEY_LIGHTER",
        default="",
        description="providers to ask first while the machine is busy: stt.pocketsphinx, …",
    )
    vad: Annotated[str, provider("vad")] = variable(
        "PARLEY_VAD",
        default=AUTO,
        description="voice detection: auto, silero or energy",
    )
    turn: Annotated[str, provider("turn")] = variable(
        "PARLEY_TURN",
        default=AUTO,
        description="end of a turn: auto, smart-turn beside the rules, or rules alone",
    )
    turn_model: Path | None = variable(
        "PARLEY_TURN_MODEL",
        default=None,
        description="file of Smart Turn v3.2 (.onnx); else the one that `parley fetch` left",
    )
    stt: Annotated[str, provider("stt")] = variable(
        "PARLEY_STT",
        default=AUTO,
        description="speech recognition: auto, remote, openai, whisper or pocketsphinx (demo)",
    )
    stt_worker: WorkerUrls | None = variable(
        "PARLEY_STT_WORKER",
        default=None,
        description="recognition workers (`parley worker stt`), with commas: ws://host:8100",
    )
    tts_worker: WorkerUrls | None = variable(
        "PARLEY_TTS_WORKER",
        default=None,
        description="synthesis workers (`parley worker tts`), with commas: ws://host:8101",
    )
    worker_key: ApiKey | None = variable(
        "PARLEY_WORKER_KEY",
        default=None,
        description="key that workers ask for, the same at the gateway and at the workers",
    )
    stt_url: HttpUrl | None = service(
        "PARLEY_STT_URL",
        default=None,
        description="OpenAI-compatible transcription server, such as http://localhost:8010/v1",
    )
    stt_model: str | None = variable(
        "PARLEY_STT_MODEL",
        default=None,
        description="model that the transcription server is asked for",
    )
    stt_key: ApiKey | None = variable(
        "PARLEY_STT_KEY",
        default=None,
        description="API key for the transcription server",
    )
    stt_language: Language | None = variable(
        "PARLEY_STT_LANGUAGE",
        default=None,
        description="language of sessions whose client asks for none, such as de; otherwise en",
    )
    whisper_model: str = variable(
        "WHISPER_MODEL",
        default=AUTO,
        description="Whisper model: tiny.en, base, small … or a folder; auto: the best one here",
    )
    stt_words: bool = variable(
        "PARLEY_STT_WORDS",
        default=False,
        description="ask the transcription server when each word was said, if it can tell",
    )
    whisper_words: bool = variable(
        "PARLEY_WHISPER_WORDS",
        default=False,
        description="have Whisper tell when each word was said; decodes take up to twice as long",
    )
    llm: Annotated[str, provider("llm")] = variable(
        "PARLEY_LLM",
        default=AUTO,
        description="provider of the reply's words: auto, openai or scripted",
    )
    llm_url: HttpUrl | None = service(
        "PARLEY_LLM_URL",
        default=None,
        description="OpenAI-compatible chat server (llama.cpp, vLLM …); OLLAMA_URL if not set",
    )
    llm_model: str | None = variable(
        "PARLEY_LLM_MODEL",
        default=None,
        description="model that the chat server is asked for",
    )
    llm_key: ApiKey | None = variable(
        "PARLEY_LLM_KEY",
        default=None,
        description="API key for the chat server",
    )
    tts_engine: Annotated[str, ENGINE, provider("tts")] = variable(
        "TTS_ENGINE",
        default=AUTO,
        description="speech synthesis: auto, remote, openai, piper, hibari, espeak-ng or pyttsx3",
    )
    tts_url: HttpUrl | None = service(
        "PARLEY_TTS_URL",
        default=None,
        description="OpenAI-compatible speech server, such as http://localhost:8880/v1",
    )
    tts_model: str | None = variable(
        "PARLEY_TTS_MODEL",
        default=None,
        description="model that the speech server is asked for",
    )
    tts_voice: str | None = variable(
        "PARLEY_TTS_VOICE",
        default=None,
        description="voice that the speech server is asked for",
    )
    tts_key: ApiKey | None = variable(
        "PARLEY_TTS_KEY",
        default=None,
        description="API key for the speech server",
    )
    tts_rate_hz: int = variable(
        "PARLEY_TTS_RATE_HZ",
        default=24_000,
        ge=8_000,
        le=48_000,
        description="sample rate of the speech server's pcm in Hz",
    )
    piper_voice: Path | None = variable(
        "PARLEY_PIPER_VOICE",
        default=None,
        description="Piper voice: an .onnx file with its .onnx.json beside it",
    )
    lexicon: Lexicon | None = variable(
        "PARLEY_LEXICON",
        default=None,
        description="file that says how words are spoken: lines like nginx = engine X",
    )

    avatar: Annotated[str, provider("avatar")] = variable(
        "PARLEY_AVATAR",
        default=AUTO,
        description="provider of a client's pictures of the face: auto, remote, face or visemes",
    )
    avatar_server: HttpUrl | None = service(
        "PARLEY_AVATAR_URL",
        default=None,
        description="server that animates faces (docs/providers.md), such as http://localhost:8020",
    )
    avatar_key: ApiKey | None = variable(
        "PARLEY_AVATAR_KEY",
        default=None,
        description="API key for the avatar server",
    )

    # --- services around the gateway ---
    services: Path | None = variable(
        "PARLEY_SERVICES",
        default=None,
        description="file of the services to which requests are passed on (docs/services.md)",
    )
    service_networks: ServiceNetworks = variable(
        "PARLEY_SERVICE_NETWORKS",
        default="",
        description="where instances may be that register themselves: 10.0.0.0/8,public",
    )
    conversation_url: HttpUrl = service(
        "CONVERSATION_URL",
        default="http://localhost:8003",
        description="conversation service",
    )
    voice_url: HttpUrl = service(
        "VOICE_URL",
        "VOICE_SERVICE_URL",
        default="http://localhost:8002",
        description="voice service",
    )
    avatar_url: HttpUrl = service(
        "AVATAR_URL",
        default="http://localhost:8001",
        description="avatar service",
    )
    interview_url: HttpUrl = service(
        "INTERVIEW_URL",
        "INTERVIEW_SERVICE_URL",
        default="http://localhost:8004",
        description="interview service",
    )
    analytics_url: HttpUrl = service(
        "ANALYTICS_URL",
        default="http://localhost:8007",
        description="analytics service",
    )
    granite_interview_url: HttpUrl = service(
        "GRANITE_INTERVIEW_URL",
        default="http://localhost:8005",
        description="service of the trained interview models; its contract names no port",
    )
    ollama_url: HttpUrl = service(
        "OLLAMA_URL",
        default="http://localhost:11434",
        description="Ollama",
    )
    otlp_endpoint: HttpUrl | None = service(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        default=None,
        description="collector that gets a trace of each turn, such as http://localhost:4318",
    )
    redis_url: RedisUrl | None = variable(
        "REDIS_URL",
        default=None,
        repr=False,
        description="Redis for the sessions, as redis://host:6379/0 (docs/storage.md); else SQLite",
    )

    @property
    def session_limit_s(self) -> int:
        """How long a live session may last at most, in seconds."""
        return 60 * (self.longest_session_min or self.longest_interview_min + 60)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if lacking := [*gaps(self), *shared(self), *tokens(self)]:
            raise ValueError("; ".join(lacking))
        return self

    @classmethod
    def load(cls, env_file: Path | None = Path(".env")) -> "Settings":
        """Read the environment and, if it exists, `env_file`. Raises `SettingsError`."""
        try:
            source: dict[str, Any] = {"_env_file": env_file}
            return cls(**source)
        except ValidationError as error:
            told = "; ".join(explain(entry, cls.model_fields) for entry in error.errors())
            raise SettingsError(told) from None
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{env_file} cannot be read: {error}") from None
