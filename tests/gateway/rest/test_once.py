import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from gateway.rest import once
from gateway.rest.once import CLIENT, Once
from gateway.rest.operation import Handler, HttpReply, Operation, ResponseSpec, claim_of
from gateway.rest.problems import Kind
from gateway.rest.reading import Body
from gateway.store import Put, StoreUnavailable
from tests.support.rest import Rest, refused

BUSY = Kind("busy", 503, "Come back later")


class Ask(Body):
    text: str


class Told(BaseModel):
    text: str
    done: int


class Counter:
    """A handler that counts how often it has done it."""

    def __init__(self, rest: Rest) -> None:
        self.rest = rest
        self.done = 0
        self.fails = 0
        self.held: asyncio.Event | None = None
        self.begun = asyncio.Event()

    async def __call__(self, request: Request, ask: Ask) -> HttpReply:
        self.begun.set()
        if self.held is not None:
            await self.held.wait()
        if self.fails:
            self.fails -= 1
            raise BUSY()
        self.done += 1
        return HttpReply(
            Told(text=ask.text, done=self.done), 201, {"location": f"/made/{self.done}"}
        )


def table(rest: Rest, handler: Handler, path: str = "/api/things/{id}") -> list[Operation]:
    return [
        Operation(
            method="POST",
            path=path,
            name="do",
            handler=handler,
            summary="It is done.",
            body=Ask,
            answers={201: ResponseSpec("done", Told)},
            once=Once(rest.store, 3600),
        )
    ]


async def post(
    client: httpx.AsyncClient, key: str | None = "k", text: str = "a", path: str = "/api/things/1"
) -> httpx.Response:
    headers = {} if key is None else {"idempotency-key": key}
    return await client.post(path, json={"text": text}, headers=headers)


def test_a_request_that_is_repeated_is_answered_again_and_not_done_again(rest: Rest) -> None:
    counter = Counter(rest)

    async def story(client: httpx.AsyncClient) -> None:
        first = await post(client)
        assert "idempotency-replayed" not in first.headers
        for _ in range(2):
            again = await post(client)
            assert again.headers["idempotency-replayed"] == "true"
            assert (again.status_code, again.content) == (201, first.content)
            assert again.headers["location"] == "/made/1"
            assert again.headers["content-type"] == "application/json"
            ids = {first.headers["x-correlation-id"], again.headers["x-correlation-id"]}
            assert len(ids) == 2
        assert counter.done == 1

    rest.run(table(rest, counter), story)


def test_without_a_key_and_with_another_key_or_path_it_is_done_again(rest: Rest) -> None:
    counter = Counter(rest)

    async def story(client: httpx.AsyncClient) -> None:
        for key, path in [(None, "1"), (None, "1"), ("k", "1"), ("l", "1"), ("k", "2")]:
            assert (await post(client, key, path=f"/api/things/{path}")).status_code == 201
        assert counter.done == 5

    rest.run(table(rest, counter), story)


def test_what_one_client_made_is_no_other_clients_answer(rest: Rest) -> None:
    counter = Counter(rest)

    def known(request: Request) -> None:
        request.scope[CLIENT] = request.headers["x-who"]

    def table_of(path: str) -> Operation:
        return replace(table(rest, counter, path)[0], name=path, guard=known)

    async def story(client: httpx.AsyncClient) -> None:
        async def done(who: str, path: str) -> int:
            headers = {"idempotency-key": "k", "x-who": who}
            answer = await client.post(path, json={"text": "a"}, headers=headers)
            assert answer.status_code == 201
            number: int = answer.json()["done"]
            return number

        makes = [await done(who, "/api/things") for who in ("anna", "bert", "anna", "bert")]
        assert makes == [1, 2, 1, 2]
        # The clients of one session, such as a ticket's and then a pass's, are one.
        assert [await done(who, "/api/things/1") for who in ("anna", "bert")] == [3, 3]

    rest.run([table_of("/api/things"), table_of("/api/things/{id}")], story)


def test_a_key_with_another_body_is_refused(rest: Rest) -> None:
    counter = Counter(rest)

    async def story(client: httpx.AsyncClient) -> None:
        await post(client)
        answer = await post(client, text="b")
        assert refused(answer)[:2] == (422, "idempotency_key_reused")
        assert counter.done == 1

    rest.run(table(rest, counter), story)


def test_a_repetition_while_the_first_is_under_way_has_to_wait(rest: Rest) -> None:
    counter = Counter(rest)
    counter.held = asyncio.Event()

    async def story(client: httpx.AsyncClient) -> None:
        assert counter.held is not None
        first = asyncio.create_task(post(client))
        await counter.begun.wait()
        second = await post(client)
        assert refused(second)[:2] == (409, "idempotency_key_in_use")
        assert second.headers["retry-after"] == "1"
        counter.held.set()
        assert (await first).status_code == 201
        assert (await post(client)).json() == {"text": "a", "done": 1}

    rest.run(table(rest, counter), story)


def test_what_failed_is_tried_anew(rest: Rest) -> None:
    counter = Counter(rest)
    counter.fails = 1

    async def story(client: httpx.AsyncClient) -> None:
        assert refused(await post(client))[:2] == (503, "busy")
        assert (await post(client)).json() == {"text": "a", "done": 1}

    rest.run(table(rest, counter), story)


def test_an_answer_that_is_an_error_is_not_kept(rest: Rest) -> None:
    statuses = [400, 201]

    async def answer(request: Request, ask: Ask) -> Response:
        return PlainTextResponse("x", statuses.pop(0))

    async def story(client: httpx.AsyncClient) -> None:
        assert [(await post(client)).status_code for _ in range(3)] == [400, 201, 201]

    rest.run(table(rest, answer), story)


def test_an_invalid_body_does_not_use_the_key_up(rest: Rest) -> None:
    counter = Counter(rest)

    async def story(client: httpx.AsyncClient) -> None:
        wrong = await client.post("/api/things/1", json={}, headers={"idempotency-key": "k"})
        assert refused(wrong)[:2] == (400, "invalid_field")
        assert (await post(client)).status_code == 201

    rest.run(table(rest, counter), story)


@pytest.mark.parametrize("keys", [["a b"], [""], ["x" * 256], ["é"], ["a", "b"]])
def test_what_cannot_be_a_key_is_refused(rest: Rest, keys: list[str]) -> None:
    counter = Counter(rest)

    async def story(client: httpx.AsyncClient) -> None:
        headers = [(b"idempotency-key", key.encode("latin-1")) for key in keys]
        answer = await client.post("/api/things/1", json={"text": "a"}, headers=headers)
        assert refused(answer)[:2] == (400, "invalid_idempotency_key")

    rest.run(table(rest, counter), story)


def test_the_answer_can_be_committed_with_what_it_tells_of(rest: Rest) -> None:
    async def commit(request: Request, ask: Ask) -> HttpReply:
        claim = claim_of(request)
        assert claim is not None
        reply = HttpReply(Told(text=ask.text, done=1), 201)
        await rest.store.commit(Put("thing", b"x", None), claim.write(reply))
        raise ValueError("the process dies before it has answered")

    async def story(client: httpx.AsyncClient) -> None:
        assert refused(await post(client))[:2] == (500, "internal")
        again = await post(client)
        assert (again.status_code, again.json()) == (201, {"text": "a", "done": 1})
        assert again.headers["idempotency-replayed"] == "true"

    rest.run(table(rest, commit), story)


def test_without_a_key_there_is_no_claim(rest: Rest) -> None:
    async def handler(request: Request, ask: Ask) -> Told:
        assert claim_of(request) is None
        return Told(text="", done=0)

    async def story(client: httpx.AsyncClient) -> None:
        assert (await post(client, None)).status_code == 201

    rest.run(table(rest, handler), story)


def test_keys_and_answers_are_erased_with_their_session(rest: Rest) -> None:
    counter = Counter(rest)

    async def story(client: httpx.AsyncClient) -> None:
        await post(client)
        assert await rest.store.erase("1") == 1
        assert (await post(client)).json()["done"] == 2

    rest.run(table(rest, counter), story)


def test_the_answer_to_a_making_is_erased_with_what_was_made(rest: Rest) -> None:
    async def make(request: Request, ask: Ask) -> HttpReply:
        return HttpReply(Told(text=ask.text, done=1), 201, about="made")

    async def story(client: httpx.AsyncClient) -> None:
        await post(client, path="/api/things")
        assert await rest.store.erase("made") == 1

    rest.run(table(rest, make, "/api/things"), story)


def test_a_session_that_is_erased_under_way_takes_the_answer_with_it(rest: Rest) -> None:
    async def erase(request: Request, ask: Ask) -> Told:
        assert await rest.store.erase("1") == 1
        return Told(text=ask.text, done=1)

    async def story(client: httpx.AsyncClient) -> None:
        assert (await post(client)).status_code == 201
        assert await rest.store.erase("1") == 0

    rest.run(table(rest, erase), story)


def test_a_claim_whose_process_died_lapses(rest: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(once, "UNDER_WAY_S", 0.05)
    counter = Counter(rest)
    counter.held = asyncio.Event()

    async def story(client: httpx.AsyncClient) -> None:
        first = asyncio.create_task(post(client))
        await counter.begun.wait()
        first.cancel()
        await asyncio.wait([first])
        counter.held = None
        async with asyncio.timeout(10):
            while (answer := await post(client)).status_code == 409:
                await asyncio.sleep(0.01)
        assert answer.json() == {"text": "a", "done": 1}

    rest.run(table(rest, counter), story)


@pytest.mark.parametrize("streamed", [True, False])
def test_an_answer_that_is_too_large_to_keep_is_not_given_again(rest: Rest, streamed: bool) -> None:
    done = 0

    async def long(request: Request, ask: Ask) -> Response:
        nonlocal done
        done += 1
        text = "x" * (once.MOST_KEPT_BYTES + 1)
        return StreamingResponse([text], 201) if streamed else PlainTextResponse(text, 201)

    async def story(client: httpx.AsyncClient) -> None:
        assert len((await post(client)).content) == once.MOST_KEPT_BYTES + 1
        assert refused(await post(client))[:2] == (409, "answer_not_kept")
        assert done == 1

    rest.run(table(rest, long), story)


def test_a_store_that_fails_afterwards_does_not_take_the_answer_back(
    rest: Rest, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    commit, fails = rest.store.commit, False

    async def flaky(*writes: Any) -> Any:
        if fails:
            raise StoreUnavailable("the disk is full")
        return await commit(*writes)

    monkeypatch.setattr(rest.store, "commit", flaky)

    async def handler(request: Request, ask: Ask) -> Told:
        nonlocal fails
        fails = True
        return Told(text=ask.text, done=1)

    async def story(client: httpx.AsyncClient) -> None:
        assert (await post(client)).status_code == 201
        assert refused(await post(client))[:2] == (503, "store_unavailable")

    rest.run(table(rest, handler), story)
    assert "an answer is not kept for its idempotency key: the disk is full" in caplog.messages


def test_a_store_that_fails_while_a_key_is_given_back_hides_no_error(
    rest: Rest, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    counter = Counter(rest)
    counter.fails = 1

    async def away(key: str) -> None:
        raise StoreUnavailable("the disk is gone")

    monkeypatch.setattr(rest.store, "get", away)

    async def story(client: httpx.AsyncClient) -> None:
        assert refused(await post(client))[:2] == (503, "busy")

    rest.run(table(rest, counter), story)
    assert "an idempotency key is not given back: the disk is gone" in caplog.messages
