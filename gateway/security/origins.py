"""Decides which web pages may open a WebSocket, or change anything over HTTP. Pure.

Browsers let every page connect to every WebSocket, even on the visitor's own machine, and name the
page in `Origin` (RFC 6455, section 10.2). Programs send none and are not restricted.
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from gateway.host_names import ascii_origin, host_of

DEFAULT_PORTS = {"http": 80, "https": 443}
"""Browsers leave these out of `Origin`; some proxies and clients add them to `Host`."""


def origin_of(given: Sequence[str]) -> str | None:
    """The origin in a request's `Origin` headers; of several, one that may not connect."""
    return ", ".join(given) if given else None


def may_connect(origin: str | None, host: str, allowed: str) -> bool:
    """Whether a page of `origin` may connect to this gateway, whose `Host` header is `host`.

    Allowed are the gateway's own pages and those in `allowed`: origins separated by commas, "*" for
    all, "none" for none.
    """
    if origin is None or allowed == "*":
        return True
    try:
        origin, host = ascii_origin(origin), host_of(host)
        if origin in allowed.split(","):
            return True
        page = urlsplit(origin)
        here = urlsplit(f"//{host}")
        default = DEFAULT_PORTS.get(page.scheme)
        if default is None or not page.hostname or any(c in page.netloc + host for c in "@, "):
            return False
        name, own = (site.removesuffix(".") for site in (page.hostname, here.hostname or ""))
        return bool(name) and (name, page.port or default) == (own, here.port or default)
    except ValueError:
        return False


@lru_cache(maxsize=64)  # each request of a gateway without keys asks
def names_this_machine(host: str, allowed: str) -> bool:
    """Whether a `Host` header can be that of a page of this machine, or of a page in `allowed`.

    A page of another site can have its own name resolve to 127.0.0.1 once it is loaded (DNS
    rebinding). Its origin then matches `Host`, and only the name shows that the page is from
    another site.
    """
    try:
        here = urlsplit(f"//{host_of(host)}")
        name = (here.hostname or "").rstrip(".")
        pages = (
            [] if allowed == "*" else [urlsplit(origin).hostname for origin in allowed.split(",")]
        )
        if allowed == "*" or not host or name == "localhost" or name.endswith(".localhost"):
            return True
        if name in pages:
            return True
        ip_address(name)
    except ValueError:
        return False
    return True
