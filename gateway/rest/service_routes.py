"""Finds a request for a service without a search through all routes of the gateway's own."""

from typing import Final

from starlette.routing import Match, Route
from starlette.types import ASGIApp, Scope

from gateway.security.access import own_beginnings

OWN: Final = own_beginnings()


class ServiceRoute(Route):
    """The route `{version}/{service}/{path}` for paths that no other route matches.

    It stands before the others, which are many. A path with one of their beginnings is theirs,
    whether there is such a path or not. Below a `root_path` it matches nothing, and the others are
    searched: the path begins with the `root_path` there, which is no service.
    """

    def __init__(self, version: str, endpoint: ASGIApp) -> None:
        super().__init__(f"{version}/{{service}}/{{path:path}}", endpoint)
        self._prefix = f"{version}/"

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """FULL for a request over HTTP to a service, NONE for any other."""
        path: str = scope["path"]
        if scope["type"] != "http" or scope.get("root_path"):
            return Match.NONE, {}
        if not path.startswith(self._prefix):
            return Match.NONE, {}
        name, slash, _ = path[len(self._prefix) :].partition("/")
        if not slash or name in OWN:
            return Match.NONE, {}
        return super().matches(scope)
