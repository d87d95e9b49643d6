import asyncio
import hashlib
from collections.abc import AsyncIterator

import httpx
from pydantic import BaseModel
from starlette.requests import Request

from gateway.rest.once import Once
from gateway.rest.operation import Operation, ResponseSpec
from gateway.rest.reading import Body
from gateway.rest.upload import IN_MEMORY_BYTES, Accepts, Upload
from pipeline.testing import run_virtual
from tests.support.rest import Rest, refused, serving


class Ask(Body):
    text: str


class Got(BaseModel):
    size: int
    sha256: str
    kind: str


async def take(request: Request, given: Ask | Upload) -> Got:
    if isinstance(given, Ask):
        return Got(size=len(given.text), sha256="", kind="text")
    data = given.file.read()
    assert len(data) == given.size
    return Got(size=given.size, sha256=hashlib.sha256(data).hexdigest(), kind=given.media_type)


def table(
    rest: Rest, *, text: bool = True, within_s: float = 10, at_once: int = 4
) -> list[Operation]:
    return [
        Operation(
            method="POST",
            path="/x",
            name="take",
            handler=take,
            summary="It takes a file.",
            body=Ask if text else None,
            upload=Accepts(("audio/wav", "audio/ogg"), 3 * IN_MEMORY_BYTES, within_s, at_once),
            answers={200: ResponseSpec("it", Got)},
            once=Once(rest.store, 60),
        )
    ]


WAV = {"content-type": "Audio/WAV; codecs=1"}


def test_a_file_larger_than_memory_allows_arrives_whole(rest: Rest) -> None:
    data = bytes(range(256)) * (3 * IN_MEMORY_BYTES // 256)

    async def story(client: httpx.AsyncClient) -> None:
        for sent in (data, b"short", b""):
            answer = await client.post("/x", content=sent, headers=WAV)
            digest = hashlib.sha256(sent).hexdigest()
            assert answer.json() == {"size": len(sent), "sha256": digest, "kind": "audio/wav"}

    rest.run(table(rest), story)


def test_the_content_type_decides_between_a_file_and_json(rest: Rest) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        assert (await client.post("/x", json={"text": "abc"})).json()["kind"] == "text"
        answer = await client.post("/x", content=b"x", headers={"content-type": "audio/flac"})
        assert refused(answer) == (
            415,
            "unsupported_media_type",
            "What is read here: application/json, audio/wav, audio/ogg",
        )
        assert answer.headers["accept"] == "application/json, audio/wav, audio/ogg"

    rest.run(table(rest), story)


def test_where_only_files_are_taken_json_is_none(rest: Rest) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        answer = await client.post("/x", json={"text": "abc"})
        assert refused(answer)[2] == "What is read here: audio/wav, audio/ogg"

    rest.run(table(rest, text=False), story)


def test_too_large_a_file_is_refused_before_it_has_come(rest: Rest) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield bytes(IN_MEMORY_BYTES)

    async def story(client: httpx.AsyncClient) -> None:
        answer = await client.post("/x", content=endless(), headers=WAV)
        assert refused(answer)[:2] == (413, "body_too_large")
        assert sent == 4
        announced = {**WAV, "content-length": str(3 * IN_MEMORY_BYTES + 1)}
        answer = await client.post("/x", content=endless(), headers=announced)
        assert refused(answer)[:2] == (413, "body_too_large")
        assert sent == 4

    rest.run(table(rest), story)


def test_a_file_that_does_not_come_is_not_waited_for(rest: Rest) -> None:
    async def stalled() -> AsyncIterator[bytes]:
        yield b"RIFF"
        await asyncio.sleep(3600)

    async def story() -> None:
        async with serving(table(rest, within_s=10)) as client:
            answer = await client.post("/x", content=stalled(), headers=WAV)
            assert refused(answer) == (408, "body_too_slow", "It took longer than 10 s")
            assert asyncio.get_running_loop().time() == 10

    run_virtual(story())


def test_files_under_way_use_at_most_their_budget_and_release_it(rest: Rest) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        go_on = asyncio.Event()
        sent = asyncio.Queue[None]()

        async def slow() -> AsyncIterator[bytes]:
            yield bytes(2 * IN_MEMORY_BYTES)
            sent.put_nowait(None)
            await go_on.wait()

        under_way = [
            asyncio.create_task(client.post("/x", content=slow(), headers=WAV)) for _ in range(2)
        ]
        for _ in under_way:
            await sent.get()
        answer = await client.post("/x", content=b"RIFF", headers=WAV)
        assert answer.status_code == 200, "what there is room for is taken"
        answer = await client.post("/x", content=bytes(3 * IN_MEMORY_BYTES), headers=WAV)
        assert refused(answer)[:2] == (503, "uploads_full")
        assert (answer.headers["retry-after"], answer.headers["connection"]) == ("10", "close")
        go_on.set()
        assert [a.status_code for a in await asyncio.gather(*under_way)] == [200, 200]
        answer = await client.post("/x", content=bytes(3 * IN_MEMORY_BYTES), headers=WAV)
        assert answer.status_code == 200

    rest.run(table(rest, at_once=2), story)


def test_a_file_that_is_sent_again_with_its_key_is_answered_again(rest: Rest) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        headers = {**WAV, "idempotency-key": "k"}
        first = await client.post("/x", content=b"RIFF", headers=headers)
        again = await client.post("/x", content=b"RIFF", headers=headers)
        assert first.content == again.content
        assert again.headers["idempotency-replayed"] == "true"
        other = await client.post("/x", content=b"RIFX", headers=headers)
        assert refused(other)[:2] == (422, "idempotency_key_reused")

    rest.run(table(rest), story)
