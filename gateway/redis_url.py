"""The URL of a Redis: one server's, or that of the Sentinels which know the primary. Pure.

::

    redis://[USER:PASSWORD@]HOST[:6379][/DB]
    redis+sentinel://[USER:PASSWORD@]HOST[:26379],HOST[:26379],…/NAME[/DB]

With `rediss` in place of `redis` all connections use TLS, those to the Sentinels as well.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode, urlsplit

SENTINEL_PORT = 26379

TLS_OPTIONS = frozenset(
    {"ssl_ca_certs", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_keyfile"}
)
"""The query parameters that a URL with TLS may have."""

SENTINEL_OPTIONS = frozenset({"sentinel_username", "sentinel_password"})
"""The query parameters with the login at the Sentinels; before the @ is that at the primary."""

_SENTINEL = "+sentinel"
_PASSWORD = "sentinel_password"
_USAGE = "must be a URL like redis://host:port/0; only rediss:// takes ssl_ options"
_SENTINEL_USAGE = (
    "must be a URL like redis+sentinel://host:26379,host:26379/NAME/0, with the name that the"
    " Sentinels have for the primary"
)


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """The address of a Redis.

    `server` is a URL that `redis` reads: the first Sentinel's if there are any; `primary` is the
    name that the Sentinels have for the primary.
    """

    server: str
    sentinels: tuple[tuple[str, int], ...] = ()
    primary: str = ""
    sentinel_user: str | None = None
    sentinel_password: str | None = None


def parse_redis_url(text: str) -> RedisAddress:
    """Parse the URL. Raises `ValueError`, whose text never contains a part of the URL."""
    parts = urlsplit(text)
    scheme, sentinel, rest = parts.scheme.partition(_SENTINEL)
    if scheme not in ("redis", "rediss") or rest or any(map(str.isspace, text)):
        raise ValueError("must be a URL like redis://host:port")
    usage = _SENTINEL_USAGE if sentinel else _USAGE
    login, at, hosts = parts.netloc.rpartition("@")
    default_port = SENTINEL_PORT if sentinel else 6379
    try:
        if "@" in login:
            raise ValueError
        addresses = tuple(_address(host, default_port) for host in hosts.split(","))
    except ValueError:
        raise ValueError(usage if sentinel else "must be a URL like redis://host:port") from None
    found = re.fullmatch(r"/([\w.-]+)(/\d{1,4})?/?" if sentinel else r"()(/\d{1,4})?/?", parts.path)
    options = parse_qs(parts.query, keep_blank_values=True)
    known = TLS_OPTIONS if scheme == "rediss" else frozenset()
    known |= SENTINEL_OPTIONS if sentinel else frozenset()
    if found is None or parts.fragment or options.keys() - known:
        raise ValueError(usage)
    if not sentinel and len(addresses) > 1:
        raise ValueError(_USAGE)
    host, port = addresses[0]
    host = f"[{host}]" if ":" in host else host
    tls = urlencode({name: options[name][0] for name in options.keys() & TLS_OPTIONS})
    server = f"{scheme}://{login}{at}{host}:{port}{found[2] or ''}{'?' if tls else ''}{tls}"
    if not sentinel:
        return RedisAddress(server)
    user, password = (options.get(name, [None])[0] for name in ("sentinel_username", _PASSWORD))
    return RedisAddress(server, addresses, found[1], user, password)


def shown(url: str) -> str:
    """The URL in a form that may be shown: without user, password and options."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def option_secrets(url: str) -> Iterator[str]:
    """The passwords among the options of a URL, as written there and decoded."""
    try:
        query = urlsplit(url).query
    except ValueError:  # several URLs
        return
    if _PASSWORD in query:
        for raw in query.split("&"):
            if raw.startswith(f"{_PASSWORD}="):
                yield raw.partition("=")[2]
        yield from parse_qs(query).get(_PASSWORD, [])


def _address(text: str, default_port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname or parts.port == 0 or parts.path:
        raise ValueError
    return parts.hostname, parts.port or default_port
