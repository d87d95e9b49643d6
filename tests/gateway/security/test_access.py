"""The table of who may use what: every route has a row, and no row is without a route."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.routing import Route, WebSocketRoute

from gateway.app import create_app
from gateway.rest import rest_routes
from gateway.rest.operation import HttpReply, Operation, ResponseSpec
from gateway.security import WEBSOCKET, Need, need_of
from gateway.security.access import ANY, NEEDS, PROXIED, PROXIED_V1, own_beginnings
from gateway.settings import Settings

PUBLIC = {
    "/",
    "/admin",
    "/static/{name:path}",
    "/faces",
    "/faces/{name:path}",
    "/health",
    "/health/live",
    "/health/ready",
    "/ready",
    "/status",
    "/openapi.json",
    "/asyncapi.json",
    "/docs",
    "/redoc",
    "/docs/assets/{name}",
    "/api-docs",
    "/problems",
}
"""What SECURITY.md calls public. A path that is added here has to be added there."""


def served(folder: Path) -> Iterator[tuple[str, str]]:
    """Every method and path that the application answers."""
    for route in create_app(Settings(data_dir=folder)).routes:
        if isinstance(route, WebSocketRoute):
            yield WEBSOCKET, route.path
        else:
            assert isinstance(route, Route), f"{route} is neither: who may use it?"
            # A service behind the gateway knows its methods itself.
            for method in getattr(route.app, "_operations", (ANY,)):
                if method != "HEAD":
                    yield method, route.path


def test_every_route_has_a_row(tmp_path: Path) -> None:
    routes = [*served(tmp_path)]
    assert len(routes) > 40
    assert [route for route in routes if not isinstance(need_of(*route), Need)] == []


def test_every_row_has_a_route(tmp_path: Path) -> None:
    routes = {*served(tmp_path)}
    paths = {path for _, path in routes}
    rows = {(method, path) for path, methods in NEEDS.items() for method in methods}
    assert {row for row in rows - routes if row[0] != ANY} == set()
    assert NEEDS.keys() - paths == set()


def test_nothing_is_public_but_what_tells_nothing_of_a_session() -> None:
    free = {path for path, methods in NEEDS.items() if {*methods.values()} == {Need.NOTHING}}
    assert free == PUBLIC


def test_a_route_without_a_row_cannot_be_served() -> None:
    async def handler(request: Request) -> HttpReply:
        return HttpReply()

    operation = Operation(
        method="GET",
        path="/forgotten",
        name="forgotten",
        handler=handler,
        summary="",
        answers={200: ResponseSpec("")},
    )

    def check(method: str, path: str) -> None:
        need_of(method, path)

    with pytest.raises(LookupError, match="GET /forgotten is not in the table"):
        rest_routes([operation], check)  # type: ignore[arg-type]


def test_a_method_without_a_row_is_not_served_by_another_methods() -> None:
    with pytest.raises(LookupError, match="PUT /api/sessions is not in the table"):
        need_of("PUT", "/api/sessions")
    with pytest.raises(LookupError, match=r"WEBSOCKET /webrtc/\{id\}/\{peer\} is not in the table"):
        need_of(WEBSOCKET, "/webrtc/{id}/{peer}")


def test_no_path_of_the_gateways_own_is_the_name_of_a_service() -> None:
    own = own_beginnings()
    assert {"", "admin", "api", "health", "metrics", "static", "v1", "webrtc", "ws"} <= own
    assert {"realtime", "live"} <= own  # of /v1/
    assert not any("{" in name for name in own)


def test_the_paths_of_services_come_last(tmp_path: Path) -> None:
    last = create_app(Settings(data_dir=tmp_path)).routes[-4:]
    assert [(type(route), getattr(route, "path", "")) for route in last] == [
        (kind, path) for path in (PROXIED_V1, PROXIED) for kind in (WebSocketRoute, Route)
    ]
