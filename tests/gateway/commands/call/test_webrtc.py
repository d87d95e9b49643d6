"""A line over WebRTC where things go wrong. Whole conversations are in tests/e2e/test_call.py."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gateway.commands.call import webrtc
from gateway.commands.call.film import Film
from gateway.commands.call.line import LineClosed
from gateway.commands.call.webrtc import NotAnAnswer, WebRtcLine

Story = Callable[[WebRtcLine], Awaitable[None]]


def told(story: Story, film: Film | None = None) -> WebRtcLine:
    """Run a story on a line without an answer."""

    async def main() -> WebRtcLine:
        async with asyncio.timeout(10):
            line = WebRtcLine(film)
            try:
                await story(line)
            finally:
                await line.close()
                await line.close()
            return line

    return asyncio.run(main())


async def read(line: WebRtcLine) -> list[object]:
    return [item async for item in line]


def test_a_server_of_which_nothing_comes_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webrtc, "GONE_S", -1.0)

    async def story(line: WebRtcLine) -> None:
        with pytest.raises(LineClosed):
            await line.send("{}")
        assert await read(line) == []

    line = told(story)
    assert (line.close_code, line.close_reason) == (None, "nothing has come for -1 s")


def test_a_program_that_does_not_keep_up_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webrtc, "MOST_WAITING", 3)

    async def story(line: WebRtcLine) -> None:
        for number in range(9):
            line._received(str(number))
        assert await read(line) == ["1", "2"]

    assert told(story).close_reason == "this program does not keep up"


def test_a_channel_that_is_closed_is_an_end_in_good_order() -> None:
    async def story(line: WebRtcLine) -> None:
        line._received("{}")
        line._received(b"no text")
        line._left()
        line._changed()
        assert await read(line) == ["{}", ""]
        with pytest.raises(LineClosed):
            await line.send(bytes(640))

    assert told(story).close_code == 1000


def test_a_malformed_answer_is_reported() -> None:
    async def story(line: WebRtcLine) -> None:
        offer = await line.offer()
        assert ("m=audio" in offer, "m=video" in offer) == (True, True)
        with pytest.raises(NotAnAnswer):
            await line.dial("<html>")
        assert line.route() == "over UDP"
        assert line.pictures() == "sound alone: this server sends no pictures"

    with Film() as film:
        told(story, film)
