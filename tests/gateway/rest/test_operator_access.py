"""Who may see the figures of a running gateway and change it."""

import pytest
from pydantic import SecretStr
from starlette.requests import Request

from gateway.rest.operator_access import OperatorAccess
from gateway.rest.problems import Problem

KEY = "operators-key-0001"


def request(client: str | None = "127.0.0.1", host: str = "localhost:8000", **more: str) -> Request:
    headers = {"host": host, **{name.replace("_", "-"): value for name, value in more.items()}}
    return Request(
        {
            "type": "http",
            "method": "GET",
            "scheme": "http",
            "path": "/metrics",
            "query_string": b"",
            "server": ("127.0.0.1", 8000),
            "client": None if client is None else (client, 50_000),
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
    )


def refusal(check: str, asked: Request, key: str | None) -> str | None:
    """The code with which a request is refused, None where it may pass."""
    access = OperatorAccess(None if key is None else SecretStr(key))
    try:
        getattr(access, check)(asked)
    except Problem as problem:
        return problem.kind.code
    return None


WITH_KEY = request("203.0.113.9", "parley.example.org", authorization=f"Bearer {KEY}")


@pytest.mark.parametrize(
    ("asked", "key", "code"),
    [
        (request(), None, "admin_off"),
        (request(), KEY, "admin_key_required"),
        (request(authorization="Bearer operators-key-0002"), KEY, "admin_key_required"),
        (request(authorization="Bearer \u00e9"), KEY, "admin_key_required"),
        (request(authorization=f"Basic {KEY}"), KEY, "admin_key_required"),
        (WITH_KEY, KEY, None),
        (WITH_KEY, None, "admin_off"),
    ],
)
def test_the_admin_api_is_for_clients_with_the_key(
    asked: Request, key: str | None, code: str | None
) -> None:
    assert code == refusal("admin", asked, key)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (request(), None),
        (request("::1", "[::1]:8000"), None),
        (request("127.0.0.1", "127.0.0.1:8000"), None),
        (request("192.0.2.7", "parley:8000"), "only_here"),
        (request(None), "only_here"),
        (request(x_forwarded_for="203.0.113.9"), "only_here"),
        (request(forwarded="for=203.0.113.9"), "only_here"),
        (request(via="1.1 varnish"), "only_here"),
        (request(host="rebound.example.org"), "only_here"),
    ],
)
def test_without_a_key_the_metrics_are_for_this_machine(asked: Request, code: str | None) -> None:
    assert code == refusal("metrics", asked, None)


def test_with_a_key_other_machines_may_have_the_metrics_too() -> None:
    assert refusal("metrics", WITH_KEY, KEY) is None
    assert refusal("metrics", request("192.0.2.7", "parley:8000"), KEY) == "admin_key_required"
    assert refusal("metrics", request(), KEY) is None
