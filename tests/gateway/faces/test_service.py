import asyncio
import threading
from typing import Any

import av
import numpy as np
import pytest

from gateway.faces import service as module
from gateway.faces.service import FaceService
from pipeline.breaker import Breaker, BreakerPolicy
from pipeline.errors import StageFailed
from pipeline.frames import AvatarFrame, Degraded, Spoken
from pipeline.guard import Candidate, Guard
from pipeline.pacer import Pacer
from pipeline.testing import Script, run_virtual
from stages.avatar.face import FACES, load
from stages.avatar.local import check
from stages.avatar.renderer import LayerBitmaps
from stages.fakes import FakeAnimator


class Studio:
    """Draws mira, once for all sessions, and cannot draw jonas."""

    def __init__(self) -> None:
        self.faces = {"mira": load(FACES / "mira"), "jonas": None}
        self.asked: list[tuple[str, int]] = []

    async def bitmaps(self, face: str, size: int) -> LayerBitmaps:
        self.asked.append((face, size))
        if face == "jonas":
            raise ValueError("no such colour")
        return await asyncio.to_thread(LayerBitmaps, self.faces[face], size)


def visit(studio: Any, *wanted: str | None, animators: Any = None) -> list[AvatarFrame]:
    """The first picture for clients that want these faces, one after the other."""
    seen: list[AvatarFrame] = []

    async def main() -> None:
        guard = None
        if animators is not None:
            guard = Guard("avatar", [Candidate("fake-avatar", animators, Breaker())])
        service = FaceService(studio, guard, Pacer(), default="mira")
        async with service:
            for face in wanted:
                shown: asyncio.Queue[AvatarFrame] = asyncio.Queue()
                stream = service.stream(
                    face,
                    session_id="s",
                    rate_hz=16_000,
                    show=shown.put_nowait,
                    degraded=lambda frame: None,
                    room=lambda: True,
                )
                async with stream as opened:
                    assert opened is not None
                    opened.start()
                    async with asyncio.timeout(10):
                        seen.append(await shown.get())
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())
    return seen


def test_sessions_of_a_face_share_its_layers() -> None:
    studio = Studio()
    assert len(visit(studio, "mira", "mira")) == 2
    assert studio.asked == [("mira", 320)]


def test_without_a_known_face_a_client_gets_the_default() -> None:
    studio = Studio()
    visit(studio, None, "nobody")
    assert studio.asked == [("mira", 320)]


def test_a_face_that_cannot_be_drawn_costs_its_pictures_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[Degraded] = []

    async def main() -> None:
        service = FaceService(Studio(), None, Pacer(), default="jonas")
        async with service, hung(service, told.append):
            await asyncio.sleep(0.1)

    asyncio.run(main())
    assert told == [Degraded(0, "avatar", "face", "visemes", "the face cannot be drawn")]
    assert "the face jonas cannot be drawn: no such colour" in caplog.text


def test_sessions_share_one_printer_which_is_not_made_on_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[threading.Thread] = []

    def renderer(plates: LayerBitmaps) -> Any:
        made.append(threading.current_thread())
        return lambda pose: b"picture"

    monkeypatch.setattr(module, "JpegRenderer", renderer)

    async def main() -> None:
        service = FaceService(Studio(), None, Pacer(), default="mira")
        async with service, hung(service) as one, hung(service) as another:
            async with asyncio.timeout(10):
                while one.pictures is None or another.pictures is None:
                    await asyncio.sleep(0.01)
            assert one.pictures is another.pictures

    asyncio.run(main())
    [thread] = made
    assert thread is not threading.main_thread()


def test_without_an_encoder_the_client_gets_degraded(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none(plates: LayerBitmaps) -> Any:
        raise av.FFmpegError(1, "no mjpeg encoder")

    monkeypatch.setattr(module, "JpegRenderer", none)
    told: list[Degraded] = []

    async def main() -> None:
        service = FaceService(Studio(), None, Pacer(), default="mira")
        async with service, hung(service, told.append):
            async with asyncio.timeout(10):
                while not told:
                    await asyncio.sleep(0.01)

    asyncio.run(main())
    assert told == [Degraded(0, "avatar", "face", "visemes", "the face cannot be drawn")]
    assert "no mjpeg encoder" in caplog.text


def test_the_next_server_takes_over_with_one_degraded_a_turn() -> None:
    told: list[Degraded] = []
    broken = FakeAnimator(Script(error=StageFailed("avatar", "fake-avatar", "connect", "refused")))

    async def main() -> None:
        guard = Guard(
            "avatar",
            [
                Candidate("first", broken, Breaker(BreakerPolicy(consecutive_failures=2))),
                Candidate("second", FakeAnimator(), Breaker()),
            ],
        )
        async with (
            FaceService(Studio(), guard, Pacer(), default="mira") as service,
            hung(service, told.append) as stream,
        ):
            for turn in range(2):
                for at_ms in range(0, 4000, 1000):
                    speech = np.zeros(16_000, np.int16)
                    stream.observe(Spoken(turn, at_ms, 16_000, speech, last=True), 0.0)
                    await asyncio.sleep(0.05)

    asyncio.run(main())
    assert [(event.turn, event.source, event.target) for event in told] == [
        (0, "first", "second"),
        (1, "first", "second"),
    ]


@pytest.mark.parametrize(("face", "target"), [("mira", "face"), ("jonas", "visemes")])
def test_a_server_that_fails_is_replaced_by_the_built_in_face_or_visemes(
    face: str, target: str
) -> None:
    told: list[Degraded] = []
    broken = FakeAnimator(Script(error=StageFailed("avatar", "fake-avatar", "connect", "refused")))

    async def main() -> None:
        guard = Guard("avatar", [Candidate("fake-avatar", broken, Breaker())])
        service = FaceService(Studio(), guard, Pacer(), default=face)
        async with service, hung(service, told.append) as stream:
            await asyncio.sleep(0.1)
            stream.observe(Spoken(3, 0, 16_000, np.zeros(16_000, np.int16), last=True), 0.0)
            await asyncio.sleep(0.1)

    asyncio.run(main())
    [event] = told
    assert (event.turn, event.source, event.target) == (3, "fake-avatar", target)


def test_a_server_needs_no_face_of_our_own() -> None:
    [shown] = visit(None, "mira", animators=FakeAnimator())
    assert shown.data.startswith(b"idle ")


def test_a_session_does_not_wait_for_the_layers_of_its_face() -> None:
    class Slow(Studio):
        async def bitmaps(self, face: str, size: int) -> LayerBitmaps:
            await asyncio.sleep(60)
            raise AssertionError

    async def main() -> None:
        async with FaceService(Slow(), None, Pacer(), default="mira") as service:
            async with hung(service) as stream:
                assert stream.pictures is None
                await asyncio.sleep(1)
            assert asyncio.get_running_loop().time() == 1
            assert len(asyncio.all_tasks()) == 1

    run_virtual(main())


def hung(service: FaceService, degraded: Any = None) -> Any:
    return service.stream(
        None,
        session_id="s",
        rate_hz=16_000,
        show=lambda frame: None,
        degraded=degraded,
        room=lambda: True,
    )


def test_the_built_in_face_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check() is None
    monkeypatch.setattr("stages.avatar.local.find_spec", lambda name: None)
    assert "parley-gateway[avatar]" in str(check())
