"""`PeerTransport`: what a peer gets that receives no video."""

import asyncio
from typing import Literal

import pytest

from gateway.protocols.dialect import ProtocolError
from gateway.protocols.left_out import HEAD, LeftOut
from gateway.protocols.request import SessionRequest
from gateway.transports.webrtc.transport import (
    LONGEST_MESSAGE_CHARS,
    MOST_HELD_MESSAGES,
    STALL_S,
    PeerTransport,
)


@pytest.mark.parametrize(
    ("asked", "shown"), [("frames", "visemes"), ("visemes", "visemes"), ("off", "off")]
)
def test_a_peer_without_video_draws_the_face_and_gets_no_pictures(
    asked: Literal["frames", "visemes", "off"], shown: str
) -> None:
    async def story() -> None:
        transport = PeerTransport("s", lambda: None, waits=True)
        async with transport.face(SessionRequest(avatar=asked)) as face:
            assert (face.provider, face.start()) == (shown, None)
            assert face.observers() == ()
            assert not transport._unsent

    asyncio.run(story())


class Channel:
    """A data channel whose peer takes as many bytes as it is told to."""

    readyState = "open"

    def __init__(self) -> None:
        self.bufferedAmount = 0

    def on(self, event: str, listener: object) -> None:
        pass

    def send(self, message: str) -> None:
        self.bufferedAmount += len(message.encode())


def test_a_peer_that_takes_none_of_its_messages_is_noticed() -> None:
    async def story() -> None:
        transport, channel = PeerTransport("s", lambda: None, waits=True), Channel()
        assert transport.opened(channel)  # type: ignore[arg-type]
        assert transport.reads(0.0)
        transport.send("für")
        assert [transport.reads(at) for at in (5.0, 10.0, 15.0)] == [True, True, True]
        channel.bufferedAmount -= 1
        assert transport.reads(20.0), "it takes them slowly"
        transport.send("one more")
        assert transport.reads(20.0 + STALL_S - 1)
        assert not transport.reads(20.0 + STALL_S)
        channel.bufferedAmount = 0
        assert transport.reads(20.0 + STALL_S + 5), "nothing waits"
        assert transport.reads(1000.0)

    asyncio.run(story())


def test_a_peer_has_its_time_from_the_first_look_on() -> None:
    """The first look may come in the moment in which the first messages were sent."""

    async def story() -> None:
        transport, channel = PeerTransport("s", lambda: None, waits=True), Channel()
        assert transport.opened(channel)  # type: ignore[arg-type]
        transport.send("ready")
        up_since = 3600.0  # the clock of a loop does not begin at nought
        assert transport.reads(up_since), "none is taken yet"
        assert transport.reads(up_since + STALL_S - 1)
        assert not transport.reads(up_since + STALL_S)

    asyncio.run(story())


def test_more_messages_than_may_come_before_the_session_end_the_call() -> None:
    async def story() -> None:
        ended: list[bool] = []
        transport = PeerTransport("s", lambda: ended.append(True), waits=True)
        for number in range(MOST_HELD_MESSAGES):
            transport._on_message(str(number))
        assert ended == []
        transport._on_message("one too many")
        assert ended == [True]
        assert transport._early[0] == "0", "none was dropped in silence"

    asyncio.run(story())


class Narrow(Channel):
    """Its peer takes messages of at most 10 characters."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []

    def send(self, message: str) -> None:
        if len(message) > 10:
            raise ValueError("the peer takes messages up to 10 bytes")
        self.sent.append(message)
        super().send(message)


def test_what_was_left_out_of_held_messages_is_told_after_the_others() -> None:
    class Session:
        def __init__(self, transport: PeerTransport) -> None:
            self._transport = transport

        def emit(self, output: LeftOut) -> None:
            self._transport.send("left out")

    async def story() -> None:
        transport, channel = PeerTransport("s", lambda: None, waits=True), Narrow()
        transport.attach(Session(transport))  # type: ignore[arg-type]
        for message in ("x" * 11, "two", "three"):
            transport.send(message)
        assert transport.opened(channel)  # type: ignore[arg-type]
        assert channel.sent == ["two", "three", "left out"]

    asyncio.run(story())


def test_a_message_that_the_peer_cannot_take_is_left_out_and_the_next_one_is_sent() -> None:
    class Session:
        """Tells its client of each message that was left out, by one that is short or is not."""

        def __init__(self, transport: PeerTransport, told: str) -> None:
            self.left_out: list[LeftOut] = []
            self._transport, self._told = transport, told

        def emit(self, output: LeftOut) -> None:
            self.left_out.append(output)
            self._transport.send(self._told)

    async def story(told: str) -> tuple[list[LeftOut], int]:
        ended: list[bool] = []
        transport, channel = PeerTransport("s", lambda: ended.append(True), waits=True), Narrow()
        transport.send("x" * 11)
        assert transport.opened(channel)  # type: ignore[arg-type]
        session = Session(transport, told)
        transport.attach(session)  # type: ignore[arg-type]
        transport.send("ü" * 200)
        transport.send("short")
        assert (ended, transport.reads(0.0)) == ([], True)
        return session.left_out, transport.unsent

    expected = [LeftOut("ü" * HEAD, 400)]
    assert asyncio.run(story("error")) == (expected, len("error" + "short"))
    assert asyncio.run(story("too long, too")) == (expected, len("short"))


def test_what_was_held_until_the_channel_opened_reaches_sidebands_once() -> None:
    class Sidebands:
        def __init__(self) -> None:
            self.sent: list[str] = []

        def send(self, message: str) -> None:
            self.sent.append(message)

    async def story() -> None:
        transport, channel = PeerTransport("s", lambda: None, waits=True), Channel()
        sidebands = Sidebands()
        transport.sidebands = sidebands  # type: ignore[assignment]
        transport.send("held")
        assert transport.opened(channel)  # type: ignore[arg-type]
        assert (sidebands.sent, transport.unsent) == (["held"], 4)

    asyncio.run(story())


def test_a_message_that_is_too_long_is_an_error_and_the_call_lives() -> None:
    class Session:
        def __init__(self) -> None:
            self.texts: list[bytes] = []

        def on_text(self, data: bytes) -> None:
            self.texts.append(data)

    async def story() -> None:
        ended: list[bool] = []
        refused: list[ProtocolError] = []
        transport = PeerTransport("s", lambda: ended.append(True), waits=True)
        session = Session()
        transport.refuse = refused.append
        transport.attach(session)  # type: ignore[arg-type]
        transport._on_message("x" * (LONGEST_MESSAGE_CHARS + 1))
        assert ([error.code for error in refused], refused[0].fatal) == (
            ["message_too_long"],
            False,
        )
        transport._on_message("x" * LONGEST_MESSAGE_CHARS)
        assert (ended, [len(text) for text in session.texts]) == ([], [LONGEST_MESSAGE_CHARS])

    asyncio.run(story())
