"""Which web pages may open a WebSocket. Pure.

Browsers let every page connect to every WebSocket, also to one on the visitor's own machine, and
name the page in `Origin` (RFC 6455, section 10.2). Programs send none and are not restricted.
"""

from urllib.parse import urlsplit


def may_connect(origin: str | None, host: str, allowed: str) -> bool:
    """Whether a page of `origin` may connect to this gateway, whose `Host` header is `host`.

    Allowed are the gateway's own pages and those in `allowed`: origins separated by commas, "*" for
    all, "none" for none.
    """
    if origin is None or allowed == "*":
        return True
    if origin in allowed.split(","):
        return True
    try:
        own = urlsplit(origin).netloc
    except ValueError:
        return False
    return bool(own) and own.lower() == host.lower()
