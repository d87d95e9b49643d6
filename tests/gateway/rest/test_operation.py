import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from gateway.interviews.sessions import NoSuchSession, SessionTaken
from gateway.rest.operation import Handler, HttpReply, Operation, ResponseSpec, negotiate, routes
from gateway.rest.problems import Kind
from gateway.rest.reading import Body, Query
from gateway.store import Conflict, StoreUnavailable
from tests.support.rest import Rest, refused

TEAPOT = Kind("teapot", 418, "This is a teapot")


class Ask(Body):
    count: Annotated[int, Field(alias="howMany", ge=1)]
    names: Annotated[list[str], Field(max_length=3, default_factory=list)]


class Page(Query):
    limit: Annotated[int, Field(ge=1, le=9)] = 3


class Told(BaseModel):
    total: Annotated[int, Field(serialization_alias="theTotal")]
    note: str | None = None


def operation(handler: Handler, **given: Any) -> Operation:
    """An operation at /x with what it needs."""
    given.setdefault("method", "POST" if "body" in given else "GET")
    given.setdefault("answers", {200: ResponseSpec("it", Told)})
    return Operation(
        **{"path": "/x", "name": "x", "handler": handler, "summary": "It does x.", **given}
    )


async def sum_up(request: Request, page: Page, ask: Ask) -> Told:
    return Told(total=ask.count + page.limit)


SUM = operation(sum_up, method="POST", body=Ask, query=Page)


def test_query_and_body_are_validated_and_the_answer_uses_the_contracts_names(rest: Rest) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        answer = await client.post("/x?limit=4", json={"howMany": 2})
        assert (answer.status_code, answer.text) == (200, '{"theTotal":6,"note":null}')
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"

    rest.run([SUM], story)


@pytest.mark.parametrize(
    ("query", "body", "expected"),
    [
        ("", {"howMany": "2"}, [("/howMany", "valid integer")]),
        ("", {"howMany": True}, [("/howMany", "valid integer")]),
        ("", {}, [("/howMany", "The field 'howMany' is missing")]),
        (
            "",
            {"howMany": 0, "names": [1], "a/b~": 2},
            [
                ("/howMany", "greater than or equal to 1"),
                ("/names/0", "valid string"),
                ("/a~1b~0", "Unknown field 'a/b~'; known are howMany, names"),
            ],
        ),
    ],
)
def test_every_wrong_field_is_pointed_at(
    rest: Rest, query: str, body: Any, expected: list[tuple[str, str]]
) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        answer = await client.post("/x" + query, json=body)
        assert refused(answer)[:2] == (400, "invalid_field")
        errors = answer.json()["errors"]
        assert [error["pointer"] for error in errors] == [pointer for pointer, _ in expected]
        for error, (_, words) in zip(errors, expected, strict=True):
            assert words in error["detail"]

    rest.run([SUM], story)


def test_no_more_than_twenty_wrong_fields_are_named(rest: Rest) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        answer = await client.post("/x", json={f"x{i}": 1 for i in range(4000)})
        assert len(answer.json()["errors"]) == 20

    rest.run([SUM], story)


@pytest.mark.parametrize(
    ("query", "parameter", "words"),
    [
        ("?limit=0", "limit", "greater than or equal to 1"),
        ("?limit=many", "limit", "The parameter 'limit' is wrong"),
        ("?limt=3", "limt", "Unknown parameter 'limt'; known are limit"),
        ("?limit=1&limit=2", None, "comes twice"),
    ],
)
def test_a_wrong_query_parameter_is_named(
    rest: Rest, query: str, parameter: str | None, words: str
) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        answer = await client.post("/x" + query, json={"howMany": 1})
        status, code, detail = refused(answer)
        assert (status, code) == (400, "invalid_parameter")
        assert words in detail
        if parameter is not None:
            assert [e["parameter"] for e in answer.json()["errors"]] == [parameter]

    rest.run([SUM], story)


@pytest.mark.parametrize(
    ("error", "expected", "members"),
    [
        (TEAPOT("short and stout", spout=1), (418, "teapot", "short and stout"), {"spout": 1}),
        (NoSuchSession("a"), (404, "no_such_session", "There is no session with this id"), {}),
        (SessionTaken("a"), (409, "session_live", "Somebody is in this session now"), {}),
        (Conflict("a", 3, 5), (409, "conflict", "Read it again, then try again"), {"version": 5}),
        (StoreUnavailable("/disk"), (503, "store_unavailable", "Try again later"), {}),
        (
            ValueError("canary"),
            (500, "internal", "Something went wrong inside the gateway"),
            {},
        ),
    ],
)
def test_what_a_handler_raises_is_answered_in_one_form(
    rest: Rest, error: Exception, expected: tuple[int, str, str], members: dict[str, Any]
) -> None:
    async def fail(request: Request) -> Told:
        raise error

    async def story(client: httpx.AsyncClient) -> None:
        answer = await client.get("/x")
        assert refused(answer) == expected
        assert members.items() <= answer.json().items()
        assert "canary" not in answer.text
        assert "x-correlation-id" in answer.headers

    rest.run([operation(fail)], story)


def test_an_unexpected_error_is_logged_with_its_traceback(
    rest: Rest, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(request: Request) -> Told:
        raise ValueError("canary")

    async def story(client: httpx.AsyncClient) -> None:
        await client.get("/x")

    with caplog.at_level(logging.ERROR, "parley.rest"):
        rest.run([operation(fail)], story)
    (record,) = caplog.records
    assert record.getMessage() == "GET /x failed"
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "canary"


def test_a_detail_may_quote_half_a_character_and_is_cut(rest: Rest) -> None:
    async def fail(request: Request) -> Told:
        raise TEAPOT("\ud800" + "x" * 10_000)

    async def story(client: httpx.AsyncClient) -> None:
        assert refused(await client.get("/x"))[2] == "?" + "x" * 499

    rest.run([operation(fail)], story)


def test_a_method_that_is_not_there_is_refused_with_those_that_are(rest: Rest) -> None:
    async def told(request: Request) -> Told:
        return Told(total=1)

    table = [operation(told), operation(told, method="DELETE", name="y"), SUM_ELSEWHERE]

    async def story(client: httpx.AsyncClient) -> None:
        for method in ("PUT", "PATCH", "OPTIONS", "POST", "TRACE"):
            answer = await client.request(method, "/x")
            assert refused(answer)[:2] == (405, "method_not_allowed")
            assert answer.headers["allow"] == "DELETE, GET, HEAD"
        assert (await client.put("/sum")).headers["allow"] == "POST"
        assert refused(await client.get("/elsewhere"))[:2] == (404, "not_found")
        assert refused(await client.get("/x/"))[:2] == (404, "not_found")

    rest.run(table, story)


SUM_ELSEWHERE = operation(sum_up, method="POST", body=Ask, query=Page, path="/sum", name="sum")


def test_head_says_what_get_would_and_begins_no_stream(rest: Rest) -> None:
    begun = False

    async def told(request: Request) -> Told:
        return Told(total=1)

    async def endless() -> AsyncIterator[bytes]:
        nonlocal begun
        begun = True
        while True:
            await asyncio.sleep(0.01)
            yield b"x"

    async def stream(request: Request) -> Response:
        return StreamingResponse(endless(), media_type="text/event-stream")

    media = {200: ResponseSpec("events", media=("text/event-stream",))}
    table = [operation(told), operation(stream, path="/s", name="s", answers=media)]

    async def story(client: httpx.AsyncClient) -> None:
        got, head = await client.get("/x"), await client.head("/x")
        assert head.content == b""
        assert head.headers["content-length"] == got.headers["content-length"] == "26"
        head = await client.head("/s")
        assert head.headers["content-type"].startswith("text/event-stream")
        assert not begun

    rest.run(table, story)


def test_a_reply_has_its_own_status_and_headers_and_may_have_no_body(rest: Rest) -> None:
    async def made(request: Request) -> HttpReply:
        return HttpReply(Told(total=1), 201, {"location": "/x/1"})

    async def gone(request: Request) -> HttpReply:
        return HttpReply(status=204)

    table = [operation(made), operation(gone, method="DELETE", name="gone")]

    async def story(client: httpx.AsyncClient) -> None:
        answer = await client.get("/x")
        assert (answer.status_code, answer.headers["location"]) == (201, "/x/1")
        answer = await client.delete("/x")
        assert (answer.status_code, answer.content) == (204, b"")
        assert "content-length" not in answer.headers
        assert "content-type" not in answer.headers

    rest.run(table, story)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html"),
        ("text/html;q=0.5, application/json;q=0.4", "text/html"),
        ("text/*", "text/html"),
        ("TEXT/HTML", "text/html"),
        ("application/json;q=0, */*", "text/html"),
        ("text/html;q=x", None),
        ("image/png", None),
    ],
)
def test_the_type_is_the_one_that_the_client_likes_best(
    rest: Rest, accept: str | None, expected: str | None
) -> None:
    async def both(request: Request) -> Response:
        return PlainTextResponse(negotiate(request, ("application/json", "text/html")))

    table = [operation(both, answers={200: ResponseSpec("it", Told, media=("text/html",))})]

    async def story(client: httpx.AsyncClient) -> None:
        del client.headers["accept"]
        answer = await client.get("/x", headers={} if accept is None else {"accept": accept})
        if expected is None:
            assert refused(answer) == (
                406,
                "not_acceptable",
                "It comes as application/json, text/html",
            )
        else:
            assert (answer.status_code, answer.text) == (200, expected)

    rest.run(table, story)


def test_a_table_cannot_have_two_operations_at_one_place_or_of_one_name() -> None:
    with pytest.raises(ValueError, match=r"POST /x \(x\) comes twice"):
        routes([SUM, SUM])
    with pytest.raises(ValueError, match=r"GET /y \(x\) comes twice"):
        routes([SUM, operation(sum_up, path="/y")])


def test_what_only_describes_itself_as_text_is_not_given_as_json(rest: Rest) -> None:
    async def plain(request: Request) -> Response:
        return PlainTextResponse("x")

    table = [operation(plain, answers={200: ResponseSpec("it", media=("text/plain",))})]

    async def story(client: httpx.AsyncClient) -> None:
        answer = await client.get("/x", headers={"accept": "application/json"})
        assert refused(answer)[:2] == (406, "not_acceptable")

    rest.run(table, story)
