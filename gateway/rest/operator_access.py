"""Access to a running gateway, to see and change it: for clients with the operator's key.

Without `PARLEY_ADMIN_KEY`, and for clients without the role `admin`, the admin API is off, and
`/metrics` is for clients on this machine only.
"""

import hmac
from ipaddress import ip_address

from pydantic import SecretStr
from starlette.requests import Request

from gateway.rest.access import OPERATOR
from gateway.rest.problems import Kind
from gateway.security import bearer

ADMIN_OFF = Kind("admin_off", 403, "The admin API is off")
ADMIN_KEY_REQUIRED = Kind("admin_key_required", 401, "This is for the operator of the gateway")
ONLY_HERE = Kind("only_here", 403, "Without an admin key this is for this machine only")

TURN_ON = "PARLEY_ADMIN_KEY turns it on: send the key as Authorization: Bearer …"
CHALLENGE = {"www-authenticate": 'Bearer realm="parley"'}

FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-real-ip")
"""Headers of proxies: the client is somewhere else, although the connection is local."""


class OperatorAccess:
    """Checks requests against the operator's key; None: there is none."""

    def __init__(self, key: SecretStr | None) -> None:
        self._key = None if key is None else key.get_secret_value().encode()

    def admin(self, request: Request) -> None:
        """Let a request with the key, or of an admin, pass. Raises `Problem` for any other."""
        if request.scope.get(OPERATOR) is True:
            return
        if self._key is None:
            raise ADMIN_OFF(TURN_ON)
        given = bearer(request.headers.get("authorization"))
        if not given:
            raise ADMIN_KEY_REQUIRED(headers=CHALLENGE)
        # In constant time, so that no part of the key can be found out by measuring.
        if not hmac.compare_digest(given.encode(errors="replace"), self._key):
            raise ADMIN_KEY_REQUIRED("This is not the key", headers=CHALLENGE)

    def metrics(self, request: Request) -> None:
        """Let a request from this machine, or with the key, pass. Raises `Problem`."""
        if is_local(request):
            return
        if self._key is None and request.scope.get(OPERATOR) is not True:
            raise ONLY_HERE("PARLEY_ADMIN_KEY opens it to clients that send the key")
        self.admin(request)


def is_local(request: Request) -> bool:
    """Whether a request was made on this machine, for this machine.

    A request that a proxy forwards was made elsewhere. If `Host` is no name of this machine, the
    request may come from a page of another site whose name resolves to it (DNS rebinding).
    """
    if request.client is None or any(name in request.headers for name in FORWARDED):
        return False
    return _is_loopback(request.client.host) and _is_loopback(request.url.hostname or "")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
