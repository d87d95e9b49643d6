"""The middleware around every request: ids, log lines, and other sites' pages."""

import logging
import re

import httpx
import pytest
from pydantic import BaseModel
from starlette.requests import Request

from gateway.logs import OneLine, upstream_headers
from gateway.rest.operation import Operation, ResponseSpec
from tests.support.rest import Rest, refused

logger = logging.getLogger("parley.test")


class Told(BaseModel):
    upstream: dict[str, str]


async def tell(request: Request) -> Told:
    logger.warning("told")
    if "fail" in request.query_params:
        raise ValueError("no")
    return Told(upstream=upstream_headers())


TABLE = [
    Operation(
        method="GET",
        path="/x",
        name="tell",
        handler=tell,
        summary="It tells.",
        answers={200: ResponseSpec("it", Told)},
    )
]


def test_the_clients_id_comes_back_and_goes_on_to_other_services(rest: Rest) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        answer = await client.get("/x", headers={"x-correlation-id": "call.7_a-B"})
        assert answer.headers.get_list("x-correlation-id") == ["call.7_a-B"]
        assert answer.json() == {"upstream": {"X-Correlation-ID": "call.7_a-B"}}
        assert upstream_headers() == {}

    rest.run(TABLE, story)


@pytest.mark.parametrize("given", [None, "", "a b", "a\tb", "é", "x" * 129, "a;b"])
def test_an_id_that_is_none_is_replaced(rest: Rest, given: str | None) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        headers = {} if given is None else {"x-correlation-id": given.encode("latin-1")}
        ids = {(await client.get("/x", headers=headers)).headers["x-correlation-id"] for _ in "ab"}
        assert len(ids) == 2
        assert all(re.fullmatch("[0-9a-f]{32}", value) for value in ids)

    rest.run(TABLE, story)


@pytest.mark.parametrize("path", ["/x?fail", "/nowhere"])
def test_errors_have_the_id_too(rest: Rest, path: str) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        answer = await client.get(path, headers={"x-correlation-id": "call"})
        assert answer.status_code in (404, 500)
        assert answer.headers["x-correlation-id"] == "call"

    rest.run(TABLE, story)


def test_the_log_lines_of_a_request_end_in_its_id(rest: Rest) -> None:
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler = Lines()
    handler.setFormatter(OneLine("%(message)s"))

    async def story(client: httpx.AsyncClient) -> None:
        logger.addHandler(handler)
        try:
            await client.get("/x", headers={"x-correlation-id": "call"})
            logger.warning("outside")
        finally:
            logger.removeHandler(handler)

    rest.run(TABLE, story)
    assert lines == ["told [call]", "outside"]


@pytest.mark.parametrize(
    "origin",
    [
        f"http://{host}:{port}"
        for host in ("localhost", "127.0.0.1")
        for port in (3000, 5173, 8080, 8081)
    ],
)
def test_pages_under_development_may_use_the_api(rest: Rest, origin: str) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        for path in ("/x", "/x?fail", "/nowhere"):
            answer = await client.get(path, headers={"origin": origin})
            assert answer.headers["access-control-allow-origin"] == origin
            assert answer.headers["access-control-expose-headers"] == (
                "Location, Link, ETag, Retry-After, X-Correlation-ID, Idempotency-Replayed"
            )
            assert "Origin" in answer.headers["vary"]
        asked = {
            "origin": origin,
            "access-control-request-method": "POST",
            "access-control-request-headers": "content-type,idempotency-key,x-correlation-id",
        }
        answer = await client.options("/x", headers=asked)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == origin

    rest.run(TABLE, story)


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        (None, "http://localhost:3001", None),
        (None, "https://localhost:3000", None),
        (None, "http://localhost:3000.evil.example", None),
        (None, "null", None),
        ("none", "http://localhost:3000", None),
        ("*", "https://anywhere.example", "*"),
        ("https://a.example, https://b.example/", "https://b.example", "https://b.example"),
        ("https://a.example", "http://localhost:3000", None),
    ],
)
def test_other_pages_may_not_unless_the_setting_says_so(
    rest: Rest, origins: str | None, origin: str, allowed: str | None
) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        answer = await client.get("/x", headers={"origin": origin})
        assert answer.headers.get("access-control-allow-origin") == allowed
        asked = {"origin": origin, "access-control-request-method": "POST"}
        answer = await client.options("/x", headers=asked)
        assert answer.headers.get("access-control-allow-origin") == allowed
        if allowed is None:
            assert refused(answer) == (
                400,
                "origin_not_allowed",
                "Disallowed CORS origin; PARLEY_CORS_ORIGINS names the pages that may",
            )

    rest.run(TABLE, story, **({} if origins is None else {"cors_origins": origins}))
