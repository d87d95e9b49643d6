"""A request for a service is found before the gateway's own routes are searched, no other is."""

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Match, Route

from gateway.app import create_app
from gateway.rest.service_routes import ServiceRoute
from gateway.security.access import NEEDS, PROXIED, PROXIED_V1, WEBSOCKET
from gateway.settings import Settings

OF_SERVICES = ("/s/a", "/s/", "/s/v1/a/b", "/v1/s/a", "/v1/s/", "/v2/s/a", "/s//a", "/v1x/s/a")
OF_NOBODY = ("/s", "/v1/s", "/v1/", "//s/a", "/v1//s", "/s/a\nb", "*")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Starlette:
    return create_app(Settings(data_dir=tmp_path_factory.mktemp("data")))


def found(
    routes: list[BaseRoute], path: str, kind: str = "http", root: str = ""
) -> tuple[Any, Any]:
    """The application that the routes find for a path, and the parts of the path."""
    scope = {"type": kind, "method": "GET", "path": root + path, "root_path": root}
    for route in routes:
        match, child = route.matches(scope)
        if match is Match.FULL:
            assert isinstance(route, Route)
            return route.app, child["path_params"]
    return None, None


def split(app: Starlette) -> tuple[list[BaseRoute], list[BaseRoute]]:
    """The routes that are looked at first, and all others."""
    first: list[BaseRoute] = [one for one in app.routes if isinstance(one, ServiceRoute)]
    assert app.routes[: len(first)] == first
    return first, app.routes[len(first) :]


@pytest.mark.parametrize("path", OF_SERVICES)
def test_a_services_path_is_found_first_as_it_would_be_last(app: Starlette, path: str) -> None:
    first, others = split(app)
    proxy, parts = found(first, path)
    assert (proxy, parts) == found(others, path)
    assert proxy is not None
    assert found(first, path, "websocket") == (None, None)


@pytest.mark.parametrize("path", OF_NOBODY)
def test_a_path_that_may_be_another_is_searched_for(app: Starlette, path: str) -> None:
    assert found(split(app)[0], path) == (None, None)


def test_no_path_of_the_gateways_own_is_found_first(app: Starlette) -> None:
    first, _ = split(app)
    own = NEEDS.keys() - {PROXIED, PROXIED_V1}
    assert len(own) > 40
    for path in own:
        for end in ("", "/", "/x/y"):
            if {*NEEDS[path]} != {WEBSOCKET}:
                assert found(first, path + end) == (None, None), path


def test_below_a_root_path_all_routes_are_searched(app: Starlette) -> None:
    first, others = split(app)
    for path in (*OF_SERVICES, "/health/live", "/api/sessions"):
        assert found(first, path, root="/tool") == (None, None), path
        assert found(app.routes, path, root="/tool") == found(others, path), path
        assert found(others, path) != (None, None), path
