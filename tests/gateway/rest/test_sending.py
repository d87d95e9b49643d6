import asyncio
from typing import Any

import pytest
from starlette.types import Message

from gateway.rest.problems import Problem
from gateway.rest.sending import DOWNLOADS_FULL, PIECE_BYTES, STALL_S, Outgoing, Sent
from pipeline.testing import run_virtual

BODY = bytes(range(256)) * 1024


async def nothing() -> Message:
    return {"type": "http.disconnect"}


async def send_to(answer: Sent, send: Any) -> None:
    await answer({"type": "http"}, nothing, send)


@pytest.mark.parametrize("body", [BODY, BODY[:-1], b"x", b""])
def test_the_answer_comes_in_pieces_and_whole(body: bytes) -> None:
    came: list[Message] = []

    async def send(message: Message) -> None:
        came.append(message)

    async def story() -> None:
        await send_to(Sent(body, 206, {"etag": "a"}, "audio/flac", Outgoing().reserve(9)), send)

    run_virtual(story())
    start, *pieces = came
    assert start["status"] == 206
    assert (b"content-length", b"%d" % len(body)) in start["headers"]
    assert b"".join(piece["body"] for piece in pieces) == body
    assert max(len(piece["body"]) for piece in pieces) <= PIECE_BYTES
    assert [piece["more_body"] for piece in pieces] == [True] * (len(pieces) - 1) + [False]


def test_a_client_that_does_not_read_is_disconnected_and_its_reservation_released() -> None:
    outgoing = Outgoing(100)

    async def stuck(message: Message) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    async def story() -> None:
        answer = Sent(BODY, 200, {}, "audio/flac", outgoing.reserve(60))
        sending = asyncio.create_task(send_to(answer, stuck))
        await asyncio.sleep(STALL_S / 2)
        with pytest.raises(Problem) as refused:
            outgoing.reserve(41)
        assert refused.value.kind == DOWNLOADS_FULL
        outgoing.reserve(40).release()
        await sending
        assert asyncio.get_running_loop().time() == STALL_S
        outgoing.reserve(100).release()

    run_virtual(story())


def test_what_is_larger_than_all_places_is_sent_alone() -> None:
    outgoing = Outgoing(100)
    reservation = outgoing.reserve(1000)
    with pytest.raises(Problem):
        outgoing.reserve(1)
    reservation.release()
    reservation.release()
    outgoing.reserve(100)
    with pytest.raises(Problem):
        outgoing.reserve(1)
