"""The types of environment variables, and the messages for values that cannot be used.

Each check is a pydantic validator: it raises a `ValueError` whose text continues a sentence that
begins with the variable's name.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, cast
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from gateway.host_names import ascii_origin
from gateway.ice import parse_addresses, parse_ice_servers
from gateway.model_keys import parse_model_keys
from gateway.rates import parse_rate
from gateway.redis_url import option_secrets, parse_redis_url
from pipeline.frames import Slot
from stages.avatar.face import FaceError
from stages.avatar.face import find as find_face
from stages.registry import AUTO, UnknownProvider, find
from stages.tool.tools_file import usable as usable_tools
from stages.tts.pronunciation import LexiconError, read_lexicon

MADE = "auto"
"""In place of API keys: the gateway makes one (`gateway.security.key_file`)."""


LIGHTER_SLOTS = frozenset({"turn", "stt", "llm", "tts", "avatar"})
"""The slots that have a provider after the first to ask."""


ROLE_NAMES = ("candidate", "interviewer", "service", "admin")
"""The names of the roles in `gateway.security.roles.ClientRole`."""


LOCAL_ORIGINS = ",".join(
    f"http://{host}:{port}"
    for host in ("localhost", "127.0.0.1")
    for port in (3000, 5173, 8080, 8081)
)
"""The usual origins of web pages under development."""


ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9._:\[\]-]+|file://")
"""Apps have schemes of their own, such as capacitor://localhost."""


def _url(schemes: tuple[str, ...], text: str) -> str:
    # The value is never quoted: a URL may contain a password.
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
    parse_redis_url(text)
    return text.rstrip("/")


def _worker_urls(text: str) -> str:
    urls = [_url(("ws", "wss"), part.strip()) for part in text.split(",") if part.strip()]
    if not urls or any("@" in urlsplit(url).netloc or urlsplit(url).query for url in urls):
        raise ValueError(
            "must be URLs like ws://host:8100 with commas, without a password (PARLEY_WORKER_KEY)"
        )
    return ",".join(dict.fromkeys(urls))


def _engine(value: object) -> object:
    # On Linux pyttsx3 uses espeak, so the same engine is used directly.
    return "espeak-ng" if value == "pyttsx3" else value


def _api_key(key: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]+", key.get_secret_value()):
        raise ValueError("must be printable ASCII without spaces")
    return key


def _admin_key(key: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]{16,}", key.get_secret_value()):
        raise ValueError("must be 16 printable ASCII characters or more, without spaces")
    return key


def _api_keys(keys: SecretStr) -> SecretStr:
    if keys.get_secret_value() == MADE:
        return keys
    parts = [part.strip() for part in keys.get_secret_value().split(",")]
    if not all(re.fullmatch(r"[!-+\--~]{8,}", part) for part in parts):
        raise ValueError(
            "must be keys of 8 printable ASCII characters or more, with commas, or auto"
        )
    return keys


def _model_keys(keys: SecretStr) -> SecretStr:
    parse_model_keys(keys.get_secret_value())
    return keys


def _token_secret(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value().encode()) < 32:
        raise ValueError("must be 32 characters or more, such as those of `openssl rand -hex 32`")
    return secret


def _roles(text: str) -> str:
    roles = [part.strip().lower() for part in text.split(",")]
    if not all(role in ROLE_NAMES for role in roles):
        raise ValueError(f"must be roles with commas between them: {', '.join(ROLE_NAMES)}")
    return ",".join(dict.fromkeys(roles))


def _rate(text: str) -> str:
    if text:
        parse_rate(text)
    return text


def _language(code: str) -> str:
    if not re.fullmatch(r"[a-z]{2,3}", code):
        raise ValueError(f"must be a language's code, such as en, not {code!r}")
    return code


def _lexicon(path: Path) -> Path:
    try:
        read_lexicon(path)
    except LexiconError as error:
        raise ValueError(f"is no lexicon: {error}") from None
    return path


def _origins(text: str) -> str:
    origins = [_origin(part.strip().lower()) for part in text.split(",")]
    if origins not in (["none"], ["*"]) and not all(map(ORIGIN.fullmatch, origins)):
        raise ValueError("must be origins like http://localhost:3000 with commas, * or none")
    return ",".join(origins)


def _origin(text: str) -> str:
    """The spelling in which a browser sends an origin: no path, and no port that is the default."""
    if text != "file://":
        text = text.rstrip("/")
    with suppress(ValueError):  # no name: the pattern refuses it
        text = ascii_origin(text)
    for scheme, port in (("http", 80), ("https", 443)):
        if text.startswith(f"{scheme}://"):
            text = text.removesuffix(f":{port}")
    return text


def _lighter(text: str) -> str:
    names = [part.strip() for part in text.split(",") if part.strip()]
    for name in names:
        slot, _, provider = name.partition(".")
        if slot not in LIGHTER_SLOTS or not provider:
            wanted = "must be providers with their slots, with commas, like stt.pocketsphinx"
            raise ValueError(f"{wanted}, not {name!r}")
        try:
            find(cast("Slot", slot), provider)
        except UnknownProvider as error:
            known = ", ".join(f"{slot}.{each}" for each in error.known)
            raise ValueError(f"must name one of {known}, not {name!r}") from None
    return ",".join(names)


def _proxies(text: str) -> str:
    proxies = [part.strip() for part in text.split(",") if part.strip()]
    try:
        if proxies != ["*"]:
            proxies = [str(ip_network(proxy)) for proxy in proxies]
    except ValueError as error:
        raise ValueError(f"must be addresses like 127.0.0.1 or networks: {error}") from None
    return ",".join(proxies)


def _service_networks(text: str) -> str:
    words = [part.strip().lower() for part in text.split(",") if part.strip()]
    try:
        return ",".join(word if word == "public" else str(ip_network(word)) for word in words)
    except ValueError as error:
        raise ValueError(f"must be networks like 10.0.0.0/8, or public: {error}") from None


def _addresses(text: str) -> str:
    try:
        return ",".join(parse_addresses(text))
    except ValueError as error:
        raise ValueError(f"must be IP addresses with commas between them: {error}") from None


def _face(face: str) -> str:
    try:
        find_face(face)
    except FaceError as error:
        raise ValueError(f"is no face: {error}") from None
    return face


def _ice_servers(servers: SecretStr) -> SecretStr:
    parse_ice_servers(servers.get_secret_value())
    return servers


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


HttpUrl = Annotated[str, AfterValidator(_http_url)]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]
ApiKey = Annotated[SecretStr, AfterValidator(_api_key)]
ApiKeys = Annotated[SecretStr, AfterValidator(_api_keys)]
ModelKeys = Annotated[SecretStr, AfterValidator(_model_keys)]
AdminKey = Annotated[SecretStr, AfterValidator(_admin_key)]
Addresses = Annotated[str, AfterValidator(_addresses)]
Face = Annotated[str, AfterValidator(_face)]
IceServers = Annotated[SecretStr, AfterValidator(_ice_servers)]
Lighter = Annotated[str, AfterValidator(_lighter)]
Lexicon = Annotated[Path, AfterValidator(_lexicon)]
Tools = Annotated[Path, AfterValidator(usable_tools)]
Language = Annotated[str, AfterValidator(_language)]
Origins = Annotated[str, AfterValidator(_origins)]
Proxies = Annotated[str, AfterValidator(_proxies)]
ServiceNetworks = Annotated[str, AfterValidator(_service_networks)]
RateText = Annotated[str, AfterValidator(_rate)]
Roles = Annotated[str, AfterValidator(_roles)]
TokenSecret = Annotated[SecretStr, AfterValidator(_token_secret)]
WorkerUrls = Annotated[str, AfterValidator(_worker_urls)]

LOWER = BeforeValidator(_lower)
"""Accepts capitals."""

ENGINE = BeforeValidator(_engine)
"""Accepts the names that other systems use for an engine."""


def provider(slot: Slot) -> AfterValidator:
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


def variable(*names: str, default: Any, description: str, **limits: Any) -> Any:
    """A field that is read from the first of these variables that is set."""
    alias = AliasChoices(*names) if len(names) > 1 else names[0]
    return Field(default, validation_alias=alias, description=description, **limits)


def service(*names: str, default: str | None, description: str) -> Any:
    """The URL of a service. It may contain a password, so it is never shown."""
    return variable(*names, default=default, description=description, repr=False)


def variables(field: FieldInfo) -> tuple[str, ...]:
    """The variables from which a field of `Settings` is read, best first."""
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return tuple(str(choice) for choice in alias.choices)
    return (str(alias),)


def explain(entry: Any, fields: Mapping[str, FieldInfo]) -> str:
    """One of pydantic's errors about `fields`, in words for the operator."""
    if not entry["loc"]:  # an error about several variables, whose text names them
        return str(entry["ctx"]["error"])
    first = str(entry["loc"][0])
    spellings = (variables(field) for field in fields.values())
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
        case _:  # from the checks above, with their own text
            return f"{name} {context.get('error', entry['msg'])}"
    return f"{name} {wanted}, not {entry['input']!r}"


# --- settings that belong together --------------------------------------------------------------

OPENAI, PIPER, REMOTE = "openai", "piper", "remote"
"""The providers that need further settings."""

SETS: tuple[tuple[str, str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("stt", OPENAI, ("stt_url", "stt_model", "stt_key"), ("stt_url", "stt_model")),
    ("llm", OPENAI, ("llm_url", "llm_model", "llm_key"), ("llm_model",)),
    (
        "tts_engine",
        OPENAI,
        ("tts_url", "tts_model", "tts_voice", "tts_key"),
        ("tts_url", "tts_model", "tts_voice"),
    ),
    ("tts_engine", PIPER, ("piper_voice",), ("piper_voice",)),
    ("stt", REMOTE, ("stt_worker",), ("stt_worker",)),
    ("tts_engine", REMOTE, ("tts_worker",), ("tts_worker",)),
    ("avatar", REMOTE, ("avatar_server", "avatar_key"), ("avatar_server",)),
)
"""Fields that belong together: the field that chooses a provider, the provider's name, its fields,
and those of them that it needs."""


def gaps(settings: BaseSettings) -> Iterator[str]:
    """Messages about settings that cannot work because others are missing."""
    for chooser, choice, members, needed in SETS:
        name = getattr(settings, chooser)
        given = [field for field in members if getattr(settings, field) is not None]
        missing = [_first_name(settings, field) for field in needed if field not in given]
        if missing and name == choice:
            yield f"{_first_name(settings, chooser)}={name} needs {', '.join(missing)}"
        elif missing and given and name == AUTO:
            yield f"{_first_name(settings, given[0])} needs {', '.join(missing)}"


def shared(settings: BaseSettings) -> Iterator[str]:
    """Messages about keys that would give clients what is the operator's."""
    for name in ("api_keys", "webrtc_token"):
        operators, given = (getattr(settings, field) for field in ("admin_key", name))
        if operators is None or given is None:
            continue
        keys = [key.strip() for key in given.get_secret_value().split(",")]
        if operators.get_secret_value() in keys:
            variable = _first_name(settings, name)
            yield f"PARLEY_ADMIN_KEY must be another one than in {variable}, which clients know"


def tokens(settings: BaseSettings) -> Iterator[str]:
    """Messages about settings of tokens that cannot work as they are."""
    sources = [f for f in ("jwt_jwks_url", "jwt_secret") if getattr(settings, f) is not None]
    needed = ("jwt_issuer", "jwt_audience")
    if len(sources) == 2:
        names = " and ".join(_first_name(settings, field) for field in sources)
        yield f"{names} cannot both be set: a public key must never count as a secret"
    if sources and (missing := [f for f in needed if not getattr(settings, f)]):
        names = ", ".join(_first_name(settings, field) for field in missing)
        yield f"{_first_name(settings, sources[0])} needs {names}"


def secrets_of(settings: BaseSettings) -> Iterator[str]:
    """The secrets in the settings' values, which no log line may show."""
    for value in settings.__dict__.values():
        if isinstance(value, SecretStr):
            yield from _secrets_in(value.get_secret_value())
        elif isinstance(value, str) and "://" in value:
            yield from {password, unquote(password)} if (password := _password(value)) else ()
            yield from option_secrets(value)


def _password(text: str) -> str | None:
    try:
        return urlsplit(text).password
    except ValueError:  # several URLs, such as origins
        return None


def _secrets_in(text: str) -> Iterator[str]:
    """The keys, or the passwords of servers, of a list with commas."""
    for part in filter(None, map(str.strip, text.split(","))):
        try:
            servers = parse_ice_servers(part)
        except ValueError:
            yield part
        else:
            yield from (server.password for server in servers if server.password)


def _first_name(settings: BaseSettings, field: str) -> str:
    return variables(type(settings).model_fields[field])[0]
