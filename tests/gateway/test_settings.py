import itertools
import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.settings import Settings, SettingsError
from gateway.variables import variables
from stages import registry
from stages.registry import Installed, Provider, ProviderRefused
from stages.tts.pronunciation import LEXICON
from tests.support.paths import ROOT


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine that runs the tests reaches them."""
    for field in Settings.model_fields.values():
        for name in variables(field):
            monkeypatch.delenv(name, raising=False)


REDIS_REFUSAL = (
    "REDIS_URL must be a URL like redis://host:port/0; only rediss:// takes ssl_ options"
)


def loaded(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Settings.load(None)


def refusal(monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    with pytest.raises(SettingsError) as caught:
        loaded(monkeypatch, **environment)
    return str(caught.value)


def test_the_defaults_are_the_contracts() -> None:
    settings = Settings.load(None)
    assert {
        "services": None,
        "service_networks": "",
        "conversation_url": "http://localhost:8003",
        "voice_url": "http://localhost:8002",
        "avatar_url": "http://localhost:8001",
        "interview_url": "http://localhost:8004",
        "analytics_url": "http://localhost:8007",
        "granite_interview_url": "http://localhost:8005",
        "ollama_url": "http://localhost:11434",
        "redis_url": None,
        "otlp_endpoint": None,
        "session_ttl_s": 3600,
        "whisper_model": "auto",
        "tts_engine": "auto",
        "host": "127.0.0.1",
        "port": 8000,
        "cors_origins": ",".join(
            f"http://{host}:{port}"
            for host in ("localhost", "127.0.0.1")
            for port in (3000, 5173, 8080, 8081)
        ),
        "stt": "auto",
        "stt_worker": None,
        "tts_worker": None,
        "worker_key": None,
        "stt_url": None,
        "stt_model": None,
        "stt_key": None,
        "stt_language": None,
        "stt_words": False,
        "whisper_words": False,
        "vad": "auto",
        "turn": "auto",
        "turn_model": None,
        "noise_reduction": "off",
        "llm": "auto",
        "llm_url": None,
        "llm_model": None,
        "llm_key": None,
        "tts_url": None,
        "tts_model": None,
        "tts_voice": None,
        "tts_key": None,
        "tts_rate_hz": 24_000,
        "piper_voice": None,
        "tools": None,
        "lexicon": None,
        "data_dir": Path("var"),
        "log_level": "info",
        "log_format": "text",
        "workers": 1,
        "max_sessions": 100,
        "per_address": 0,
        "admission": "pressure",
        "memory_mb": None,
        "drain_s": 10,
        "resume_s": 30,
        "webrtc_addresses": "",
        "ice_servers": SecretStr(""),
        "webrtc_token": None,
        "api_keys": None,
        "access": "auto",
        "service_roles": "service,admin",
        "jwt_jwks_url": None,
        "jwt_secret": None,
        "jwt_issuer": None,
        "jwt_audience": None,
        "jwt_skew_s": 30,
        "jwt_role_claim": "role",
        "jwt_session_claim": "session_id",
        "limit_address": "",
        "limit_key": "",
        "limit_service": "",
        "quota_day": None,
        "model_keys": None,
        "tokens_day": None,
        "tokens_month": None,
        "tokens_session": None,
        "limits_down": "auto",
        "admin_key": None,
        "webhooks": None,
        "notifications": "off",
        "insecure": False,
        "drills": "off",
        "proxies": "",
        "public_url": None,
        "twilio_token": None,
        "face": "mira",
        "avatar_video": "auto",
        "avatar_threads": None,
        "avatar": "auto",
        "avatar_server": None,
        "avatar_key": None,
        "journal_dir": None,
        "journal_texts": False,
        "journal_audio": False,
        "journal_max_mb": 1000,
        "silence_ms": 800,
        "budget_ms": 1000,
        "silence_prompt_s": 15,
        "longest_interview_min": 60,
        "longest_session_min": None,
        "upload_max_mb": 25,
        "upload_max_min": 10,
        "recording": "off",
        "speculate": "auto",
        "lighter": "",
    } == settings.model_dump()
    assert Path("var/parley.sqlite3") == settings.database


@pytest.mark.parametrize(
    ("variable", "value", "field", "expected"),
    [
        ("PORT", "8009", "port", 8009),
        ("PARLEY_PORT", "8009", "port", 8009),
        ("SESSION_TTL", "60", "session_ttl_s", 60),
        ("WHISPER_MODEL", "small", "whisper_model", "small"),
        ("TTS_ENGINE", "pyttsx3", "tts_engine", "espeak-ng"),
        ("TTS_ENGINE", "espeak-ng", "tts_engine", "espeak-ng"),
        ("PARLEY_STT", "pocketsphinx", "stt", "pocketsphinx"),
        ("PARLEY_VAD", "energy", "vad", "energy"),
        ("PARLEY_LIGHTER", "stt.openai, tts.espeak-ng,", "lighter", "stt.openai,tts.espeak-ng"),
        ("PARLEY_LLM", "scripted", "llm", "scripted"),
        ("PARLEY_STT_LANGUAGE", "de", "stt_language", "de"),
        ("PARLEY_PIPER_VOICE", "/srv/anna.onnx", "piper_voice", Path("/srv/anna.onnx")),
        ("PARLEY_LEXICON", str(LEXICON), "lexicon", LEXICON),
        ("PARLEY_STT_WORKER", "ws://a:1/, wss://b", "stt_worker", "ws://a:1,wss://b"),
        ("PARLEY_TTS_RATE_HZ", "16000", "tts_rate_hz", 16_000),
        ("PARLEY_LOG_LEVEL", "DEBUG", "log_level", "debug"),
        ("PARLEY_JOURNAL_DIR", "/srv/journals", "journal_dir", Path("/srv/journals")),
        ("PARLEY_JOURNAL_TEXTS", "true", "journal_texts", True),
        ("PARLEY_JOURNAL_AUDIO", "true", "journal_audio", True),
        ("PARLEY_SPECULATE", "OFF", "speculate", "off"),
        ("PARLEY_SILENCE_PROMPT_S", "0", "silence_prompt_s", 0),
        ("PARLEY_LONGEST_INTERVIEW_MIN", "480", "longest_interview_min", 480),
        ("PARLEY_LONGEST_SESSION_MIN", "1440", "longest_session_min", 1440),
        ("PARLEY_SERVICES", "/srv/services.yaml", "services", Path("/srv/services.yaml")),
        ("PARLEY_DATA_DIR", "/srv/parley", "data_dir", Path("/srv/parley")),
        (
            "OLLAMA_URL",
            "https://gpu.example:8443/ollama/",
            "ollama_url",
            "https://gpu.example:8443/ollama",
        ),
        ("REDIS_URL", "redis://redis:6379", "redis_url", "redis://redis:6379"),
        ("REDIS_URL", "", "redis_url", None),
        ("REDIS_URL", "redis://u:p%40@redis:6379/15", "redis_url", "redis://u:p%40@redis:6379/15"),
        ("REDIS_URL", "redis://redis/", "redis_url", "redis://redis"),
        ("REDIS_URL", "redis+sentinel://a,b/m/0", "redis_url", "redis+sentinel://a,b/m/0"),
        (
            "REDIS_URL",
            "rediss://redis?ssl_ca_certs=/ca.pem",
            "redis_url",
            "rediss://redis?ssl_ca_certs=/ca.pem",
        ),
    ],
)
def test_a_variable_sets_its_field(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, field: str, expected: object
) -> None:
    assert expected == getattr(loaded(monkeypatch, **{variable: value}), field)


def test_our_name_for_the_port_wins_over_the_general_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(monkeypatch, PORT="9000", PARLEY_PORT="8009").port == 8009


@pytest.mark.parametrize("service", ["INTERVIEW", "VOICE"])
def test_the_older_name_of_a_service_counts_where_the_newer_is_not_set(
    monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    field = f"{service.lower()}_url"
    older = loaded(monkeypatch, **{f"{service}_SERVICE_URL": "http://older:8001"})
    assert getattr(older, field) == "http://older:8001"
    both = loaded(monkeypatch, **{f"{service}_URL": "http://newer:1"})
    assert getattr(both, field) == "http://newer:1"


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("PARLEY_PORT", "abc", "PARLEY_PORT or PORT must be a whole number, not 'abc'"),
        ("PORT", "70000", "PARLEY_PORT or PORT must be at most 65535, not '70000'"),
        ("SESSION_TTL", "0", "SESSION_TTL must be at least 1, not '0'"),
        (
            "PARLEY_LIGHTER",
            "pocketsphinx",
            "PARLEY_LIGHTER must be providers with their slots, with commas, like stt.pocketsphinx"
            ", not 'pocketsphinx'",
        ),
        (
            "PARLEY_LIGHTER",
            "tts.espeak-ng,stt.pocketsfinx",
            "PARLEY_LIGHTER must name one of stt.remote, stt.openai, stt.whisper,"
            " stt.pocketsphinx, not 'stt.pocketsfinx'",
        ),
        (
            "PARLEY_LONGEST_INTERVIEW_MIN",
            "0",
            "PARLEY_LONGEST_INTERVIEW_MIN must be at least 1, not '0'",
        ),
        (
            "PARLEY_LONGEST_INTERVIEW_MIN",
            "481",
            "PARLEY_LONGEST_INTERVIEW_MIN must be at most 480, not '481'",
        ),
        (
            "PARLEY_SILENCE_PROMPT_S",
            "-1",
            "PARLEY_SILENCE_PROMPT_S must be at least 0, not '-1'",
        ),
        (
            "PARLEY_SILENCE_PROMPT_S",
            "7.5",
            "PARLEY_SILENCE_PROMPT_S must be a whole number, not '7.5'",
        ),
        ("PARLEY_VAD", "magic", "PARLEY_VAD must be one of auto, silero, energy, not 'magic'"),
        (
            "TTS_ENGINE",
            "hal",
            "TTS_ENGINE must be one of auto, remote, openai, piper, hibari, espeak-ng, not 'hal'",
        ),
        (
            "PARLEY_CORS_ORIGINS",
            "http://localhost:3000, localhost:5173",
            "PARLEY_CORS_ORIGINS must be origins like http://localhost:3000 with commas, * or none",
        ),
        ("PARLEY_TTS_RATE_HZ", "1", "PARLEY_TTS_RATE_HZ must be at least 8000, not '1'"),
        (
            "PARLEY_STT_LANGUAGE",
            "English",
            "PARLEY_STT_LANGUAGE must be a language's code, such as en, not 'English'",
        ),
        (
            "PARLEY_TTS_WORKER",
            "ws://me:secret@a:1",
            "PARLEY_TTS_WORKER must be URLs like ws://host:8100 with commas, without a password"
            " (PARLEY_WORKER_KEY)",
        ),
        (
            "PARLEY_LEXICON",
            "/nowhere.txt",
            "PARLEY_LEXICON is no lexicon: /nowhere.txt cannot be read: No such file or directory",
        ),
        ("PARLEY_LLM_KEY", "my secret", "PARLEY_LLM_KEY must be printable ASCII without spaces"),
        ("PARLEY_LLM_URL", "localhost:8000", "PARLEY_LLM_URL must be a URL like http://host:port"),
        ("OLLAMA_URL", "localhost:11434", "OLLAMA_URL must be a URL like http://host:port"),
        ("OLLAMA_URL", "file:///etc/passwd", "OLLAMA_URL must be a URL like http://host:port"),
        ("AVATAR_URL", "http://host:port", "AVATAR_URL must be a URL like http://host:port"),
        ("AVATAR_URL", "http://ho st", "AVATAR_URL must be a URL like http://host:port"),
        ("REDIS_URL", "http://redis", "REDIS_URL must be a URL like redis://host:port"),
        ("REDIS_URL", "redis://redis/sessions", REDIS_REFUSAL),
        ("REDIS_URL", "redis://redis/0#x", REDIS_REFUSAL),
        ("REDIS_URL", "redis://redis?socket_timeout=900", REDIS_REFUSAL),
        ("REDIS_URL", "rediss://redis?max_connections=9", REDIS_REFUSAL),
        ("REDIS_URL", "redis://redis?ssl_keyfile=x", REDIS_REFUSAL),
    ],
)
def test_a_value_that_cannot_be_used_is_answered_in_one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    assert message == refusal(monkeypatch, **{variable: value})


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"PARLEY_LLM": "openai"}, "PARLEY_LLM=openai needs PARLEY_LLM_MODEL"),
        ({"PARLEY_LLM_URL": "http://gpu"}, "PARLEY_LLM_URL needs PARLEY_LLM_MODEL"),
        ({"PARLEY_LLM_KEY": "abc"}, "PARLEY_LLM_KEY needs PARLEY_LLM_MODEL"),
        (
            {"PARLEY_ADMIN_KEY": "k" * 16, "PARLEY_API_KEYS": f"another-key, {'k' * 16}"},
            "PARLEY_ADMIN_KEY must be another one than in PARLEY_API_KEYS, which clients know",
        ),
        (
            {"PARLEY_ADMIN_KEY": "k" * 16, "PARLEY_WEBRTC_TOKEN": "k" * 16},
            "PARLEY_ADMIN_KEY must be another one than in PARLEY_WEBRTC_TOKEN, which clients know",
        ),
        ({"PARLEY_STT": "openai"}, "PARLEY_STT=openai needs PARLEY_STT_URL, PARLEY_STT_MODEL"),
        ({"PARLEY_STT_URL": "http://gpu"}, "PARLEY_STT_URL needs PARLEY_STT_MODEL"),
        ({"PARLEY_STT": "remote"}, "PARLEY_STT=remote needs PARLEY_STT_WORKER"),
        ({"TTS_ENGINE": "remote"}, "TTS_ENGINE=remote needs PARLEY_TTS_WORKER"),
        ({"PARLEY_STT_MODEL": "small"}, "PARLEY_STT_MODEL needs PARLEY_STT_URL"),
        (
            {"TTS_ENGINE": "openai", "PARLEY_TTS_MODEL": "kokoro"},
            "TTS_ENGINE=openai needs PARLEY_TTS_URL, PARLEY_TTS_VOICE",
        ),
        (
            {"PARLEY_TTS_URL": "http://gpu", "PARLEY_TTS_MODEL": "kokoro"},
            "PARLEY_TTS_URL needs PARLEY_TTS_VOICE",
        ),
        ({"TTS_ENGINE": "piper"}, "TTS_ENGINE=piper needs PARLEY_PIPER_VOICE"),
        (
            {"PARLEY_LLM": "openai", "TTS_ENGINE": "piper"},
            "PARLEY_LLM=openai needs PARLEY_LLM_MODEL; TTS_ENGINE=piper needs PARLEY_PIPER_VOICE",
        ),
    ],
)
def test_what_cannot_work_without_another_variable_names_that_one(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], message: str
) -> None:
    assert message == refusal(monkeypatch, **environment)


def test_what_is_not_used_need_not_be_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(
        monkeypatch,
        PARLEY_LLM="scripted",
        PARLEY_LLM_URL="http://gpu",
        PARLEY_STT="whisper",
        PARLEY_STT_MODEL="small",
        TTS_ENGINE="espeak-ng",
        PARLEY_TTS_VOICE="anna",
    )
    assert (settings.llm, settings.stt, settings.tts_engine) == ("scripted", "whisper", "espeak-ng")


def test_the_name_of_an_installed_provider_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    beep = Provider("tts", "beep", "beeps", lambda _: None, lambda _: None)
    broken = ProviderRefused("boop", "boop:PROVIDER cannot be loaded: ImportError: no sound")
    monkeypatch.setattr(registry, "third_party", lambda: Installed((beep,), (broken,)))
    assert loaded(monkeypatch, TTS_ENGINE="beep").tts_engine == "beep"
    assert refusal(monkeypatch, TTS_ENGINE="boop") == (
        "TTS_ENGINE must be one of auto, remote, openai, piper, hibari, espeak-ng, beep, not 'boop'"
        " (boop:PROVIDER cannot be loaded: ImportError: no sound)"
    )
    assert refusal(monkeypatch, TTS_ENGINE="auto", PARLEY_STT="beep") == (
        "PARLEY_STT must be one of auto, remote, openai, whisper, pocketsphinx, not 'beep'"
    )


def test_a_key_shows_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {f"PARLEY_{slot}_KEY": f"{slot}-canary" for slot in ("STT", "LLM", "TTS")}
    settings = loaded(
        monkeypatch, PARLEY_STT="whisper", PARLEY_LLM="scripted", TTS_ENGINE="espeak-ng", **keys
    )
    assert "canary" not in repr(settings) + str(settings) + str(settings.model_dump())
    assert settings.llm_key is not None
    assert settings.llm_key.get_secret_value() == "LLM-canary"
    assert "canary" not in refusal(monkeypatch, PARLEY_LLM_KEY="canary canary")


def test_every_wrong_value_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    text = refusal(monkeypatch, PARLEY_SILENCE_MS="x", SESSION_TTL="y")
    assert "PARLEY_SILENCE_MS must be" in text
    assert "SESSION_TTL must be" in text
    assert "\n" not in text


def test_a_password_in_a_url_shows_neither_in_errors_nor_in_the_settings_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = loaded(
        monkeypatch, OLLAMA_URL="http://me:canary@host", REDIS_URL="redis://:canary@redis"
    )
    assert "canary" not in repr(settings) + str(settings)
    assert "canary" not in refusal(monkeypatch, OLLAMA_URL="ftp://me:canary@host")
    for wrong in ("redis://:canary@redis/x", "http://:canary@redis", "redis://redis?p=canary"):
        assert "canary" not in refusal(monkeypatch, OLLAMA_URL="", REDIS_URL=wrong)


def test_a_dotenv_file_is_read_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("PARLEY_PORT=8009\nSESSION_TTL=60\nSOMEBODY_ELSES=1\n")
    monkeypatch.setenv("SESSION_TTL", "90")
    settings = Settings.load()
    assert (settings.port, settings.session_ttl_s) == (8009, 90)


def test_a_dotenv_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_bytes(b"PARLEY_PORT=\xff\xfe")
    with pytest.raises(SettingsError, match=r"\.env cannot be read"):
        Settings.load(file)


def test_the_example_file_lists_every_variable_with_its_default_and_meaning() -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    listed: dict[str, tuple[str, str]] = {}
    for comment, line in itertools.pairwise(lines):
        name, equals, value = line.removeprefix("#").partition("=")
        if line.startswith("#") and equals and name.isupper():
            listed[name] = (value, comment.removeprefix("# "))
    expected: dict[str, tuple[str, str]] = {}
    for field in Settings.model_fields.values():
        first, *older = variables(field)
        default = "" if field.default is None else str(field.default)
        expected[first] = (default, str(field.description))
        for name in older:
            expected[name] = (default, f"the same, read where {first} is not set")
    assert expected == listed


def test_the_example_file_uncommented_is_the_default(tmp_path: Path) -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    (tmp_path / ".env").write_text(re.sub(r"^#(?=[A-Z_]+=)", "", example, flags=re.MULTILINE))
    assert Settings.load(tmp_path / ".env") == Settings.load(None)


def test_only_the_settings_read_the_environment() -> None:
    read = re.compile(r"os\.environ(?!\.setdefault\()|getenv")  # workers set a default for numpy
    readers = {
        str(file.relative_to(ROOT))
        for package in ("pipeline", "stages", "gateway")
        for file in (ROOT / package).rglob("*.py")
        if read.search(file.read_text(encoding="utf-8"))
    }
    # A benchmark hands its own environment on to the server that it starts, and a stage on Ray
    # Serve looks whether Ray's own variables let calls end.
    assert readers <= {
        "gateway/settings.py",
        "gateway/commands/bench/server.py",
        "gateway/commands/ray_stage.py",
    }


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("capacitor://localhost", "capacitor://localhost"),
        ("ionic://localhost, tauri://localhost/", "ionic://localhost,tauri://localhost"),
        ("file://", "file://"),
        ("chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop"),
        ("https://Demo.Example:443/,http://[::1]:80", "https://demo.example,http://[::1]"),
        ("https://demo.example:8443", "https://demo.example:8443"),
        ("https://B\u00fccher.example:443/", "https://xn--bcher-kva.example"),
    ],
)
def test_pages_of_apps_can_be_named_and_origins_are_spelled_as_browsers_do(
    monkeypatch: pytest.MonkeyPatch, given: str, kept: str
) -> None:
    monkeypatch.setenv("PARLEY_CORS_ORIGINS", given)
    assert Settings.load(None).cors_origins == kept


@pytest.mark.parametrize(
    "given", ["null", "app", "://x", "https://a/b", "https://\u00fc/b", "file:///etc", "*,none"]
)
def test_what_is_no_origin_is_refused(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("PARLEY_CORS_ORIGINS", given)
    with pytest.raises(SettingsError, match="PARLEY_CORS_ORIGINS must be origins"):
        Settings.load(None)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"PARLEY_JWT_SECRET": "short"}, "PARLEY_JWT_SECRET must be 32 characters or more"),
        ({"PARLEY_JWT_SECRET": "x" * 32}, "needs PARLEY_JWT_ISSUER, PARLEY_JWT_AUDIENCE"),
        ({"PARLEY_JWT_JWKS_URL": "https://id/x", "PARLEY_JWT_ISSUER": "i"}, "PARLEY_JWT_AUDIENCE"),
        (
            {"PARLEY_JWT_JWKS_URL": "https://id/x", "PARLEY_JWT_SECRET": "x" * 32},
            "a public key must never count as a secret",
        ),
        ({"PARLEY_JWT_JWKS_URL": "file:///etc/keys"}, "PARLEY_JWT_JWKS_URL must be a URL like"),
        ({"PARLEY_SERVICE_ROLES": "root"}, "candidate, interviewer, service, admin"),
        ({"PARLEY_LIMIT_KEY": "5/day"}, "PARLEY_LIMIT_KEY must be a rate like 5/s"),
        ({"PARLEY_ACCESS": "off"}, "PARLEY_ACCESS must be one of auto, required"),
    ],
    ids=["short", "alone", "no audience", "both", "no url", "no role", "no rate", "no choice"],
)
def test_settings_of_access_that_cannot_work_are_refused(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], words: str
) -> None:
    told = refusal(monkeypatch, **given)
    assert words in told
    assert "x" * 32 not in told


def test_access_is_asked_for_with_keys_tokens_or_the_setting_itself() -> None:
    tokens: dict[str, str] = {"jwt_issuer": "i", "jwt_audience": "a"}
    assert not Settings().guarded
    assert Settings(api_keys=SecretStr("12345678")).guarded
    assert Settings(access="required").guarded
    assert Settings(jwt_secret=SecretStr("x" * 32), **tokens).guarded  # type: ignore[arg-type]
    assert Settings(jwt_jwks_url="https://id/x", **tokens).guarded  # type: ignore[arg-type]
