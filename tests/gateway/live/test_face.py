"""`avatar: "frames"`: pictures of the face among a call's messages, in virtual time."""

import asyncio
import base64
import itertools
from typing import Any

import numpy as np
import pytest
from av import CodecContext, Packet

from stages.avatar.face import FACES, load
from stages.fakes import FakeSynthesizer
from tests.support.calls import LocalCalls
from tests.support.client import Client
from tests.support.faces import drawn_here

HELLO = {"type": "hello", "version": 1, "avatar": "frames"}


@pytest.fixture
def drawn(local: LocalCalls) -> LocalCalls:
    """Calls whose faces are drawn here."""
    local.faces = drawn_here
    local.synthesizer = FakeSynthesizer(ms_per_word=100)
    return local


def decoded(message: dict[str, Any]) -> Any:
    decoder: Any = CodecContext.create("mjpeg", "r")
    [frame] = decoder.decode(Packet(base64.b64decode(message["data"], validate=True)))
    return frame.to_ndarray(format="gray")


def frames(client: Client, turn: int | None = None) -> list[dict[str, Any]]:
    """All pictures, or those of a turn's speech."""
    found = client.found("avatar.frame")
    return [f for f in found if turn is None or (f["turn"] == turn and f["at_ms"] is not None)]


def mouth(picture: Any, face: str = "mira") -> Any:
    x, y, width, height = map(int, load(FACES / face).manifest.moves.mouth)
    return picture[y : y + height, x : x + width].astype(int)


def test_the_mouth_moves_while_it_speaks_and_rests_while_it_does_not(drawn: LocalCalls) -> None:
    async def story() -> None:
        async with drawn.call() as client:
            await client.say(**HELLO)
            ready = await client.until("ready")
            assert ready["providers"]["avatar"] == "face"
            await client.until("reply.done", turn=0)
            await asyncio.sleep(1.0)
        spoken = frames(client, 0)
        duration_ms = len(client.audio) // 32
        assert len(spoken) >= duration_ms // 80 - 5
        assert [f["at_ms"] for f in spoken] == sorted({f["at_ms"] for f in spoken})
        assert all(f["at_ms"] % 80 == 0 for f in spoken)
        assert {f["mime"] for f in frames(client)} == {"image/jpeg"}
        assert {decoded(f).shape for f in spoken[:5]} == {(320, 320)}
        silent = [f for f in frames(client) if f["at_ms"] is None and f["turn"] == 0][-1]
        resting = mouth(decoded(silent))
        talking = mouth(decoded(spoken[len(spoken) // 2]))
        assert np.abs(talking - resting).mean() > 8
        assert "visemes" in client.types()
        assert "degraded" not in client.types()
        assert [m["seq"] for m in client.messages] == list(range(1, len(client.messages) + 1))

    drawn.run(story)


def test_every_picture_leaves_just_before_its_audio(drawn: LocalCalls) -> None:
    seen: list[tuple[int, int]] = []

    class Noted(list[dict[str, Any]]):
        def append(self, message: dict[str, Any]) -> None:
            super().append(message)
            if message["type"] == "avatar.frame" and message["at_ms"] is not None:
                seen.append((message["at_ms"], len(client.audio) // 32))

    async def story() -> None:
        nonlocal client
        async with drawn.call() as client:
            client.messages = Noted()
            await client.say(**HELLO)
            await client.until("reply.done", turn=0)

    client: Any = None
    drawn.run(story)
    assert {at_ms - sent_ms for at_ms, sent_ms in seen} == {0}
    duration_ms = len(client.audio) // 32
    # Of what leaves at once, the first 200 ms, nothing had ever been drawn.
    assert set(range(240, duration_ms, 80)) <= {at_ms for at_ms, _ in seen}


def test_nothing_of_a_reply_is_shown_after_clear(drawn: LocalCalls) -> None:
    async def story() -> None:
        async with drawn.call() as client:
            await client.say(**HELLO)
            await client.until("avatar.frame", at_ms=480)
            await client.say(type="interrupt")
            await client.until("clear", turn=0)
            await asyncio.sleep(0.5)
        types = client.types()
        after = client.messages[types.index("clear") :]
        shown = [m for m in after if m["type"] == "avatar.frame"]
        assert {f["at_ms"] for f in shown} == {None}
        resting = mouth(decoded(shown[-1]))
        assert np.abs(mouth(decoded(shown[0])) - resting).mean() < 4

    drawn.run(story)


def test_a_client_that_does_not_read_gets_no_more_pictures_and_all_its_audio(
    drawn: LocalCalls,
) -> None:
    async def story() -> None:
        async with drawn.call() as client:
            await client.say(**HELLO)
            await client.until("avatar.frame", at_ms=480)
            client.stop_reading()
            await asyncio.sleep(1.5)
            client.read()
            done = await client.until("reply.done", turn=0)
            assert len(client.audio) == len(done["heard"].split()) * 100 * 32
        times = [f["at_ms"] for f in frames(client, 0)]
        gaps = [after - at for at, after in itertools.pairwise(times)]
        assert max(gaps) >= 800
        assert gaps[-5:] == [80] * 5

    drawn.run(story)


def test_without_a_face_to_draw_the_client_is_told_and_has_the_visemes(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call() as client:
            await client.say(**HELLO)
            ready = await client.until("ready")
            assert ready["providers"]["avatar"] == "visemes"
            told = await client.until("degraded")
            reason = told["reason"]
            assert told == {
                "type": "degraded",
                "seq": 2,
                "turn": 0,
                "stage": "avatar",
                "from": "frames",
                "to": "visemes",
                "reason": reason,
            }
            assert "avatar" in reason
            (session,) = local.observed
            assert session.steps == {"avatar": "visemes"}
            await client.until("visemes", turn=0)
            await client.until("reply.done", turn=0)
        assert frames(client) == []

    local.run(story)


def test_a_client_chooses_its_face(drawn: LocalCalls) -> None:
    async def story() -> None:
        shown = {}
        for name in ("mira", "jonas"):
            async with drawn.call(name) as client:
                await client.say(**HELLO, face=name)
                shown[name] = decoded(await client.until("avatar.frame"))
                assert "error" not in client.types()
        assert np.abs(shown["mira"].astype(int) - shown["jonas"]).mean() > 5

    drawn.run(story)


def test_a_face_that_is_unknown_is_an_error_and_the_default_is_shown(drawn: LocalCalls) -> None:
    async def story() -> None:
        async with drawn.call() as client:
            await client.say(**HELLO, face="nobody")
            error = await client.until("error")
            assert (error["code"], error["fatal"]) == ("unknown_face", False)
            assert "jonas, mira; mira is shown" in error["message"]
            await client.until("avatar.frame")

    drawn.run(story)


@pytest.mark.parametrize("avatar", ["off", "visemes"])
def test_a_client_that_wants_no_pictures_gets_none(drawn: LocalCalls, avatar: str) -> None:
    async def story() -> None:
        async with drawn.call() as client:
            await client.say(**{**HELLO, "avatar": avatar})
            ready = await client.until("ready")
            assert ready["providers"]["avatar"] == avatar
            await client.until("reply.done", turn=0)
        assert frames(client) == []
        assert ("visemes" in client.types()) is (avatar == "visemes")

    drawn.run(story)
