"""The studio's threads are real, and so is time where a test waits for them; where a picture must
take long, it waits for an event. What only counts seconds runs in virtual time.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from pipeline.ladder import RISE_S, LadderStep
from pipeline.testing import run_virtual
from stages.avatar import encoding_session
from stages.avatar import studio as module
from stages.avatar.encoding import VideoEncoder, codecs
from stages.avatar.encoding_session import EncodingSession
from stages.avatar.face import FACES, MOODS, Face, load
from stages.avatar.jpeg import NotJpeg
from stages.avatar.loops import GROUP, Loop, record
from stages.avatar.quality import QUALITY_LEVELS, PictureLoad, QualityLevel
from stages.avatar.renderer import Bytes, LayerBitmaps, Picture, RendererMissing
from stages.avatar.studio import MOST_WAITING, RETRY_S, Studio, StudioClosed
from stages.avatar.timeline import Pose, mix
from tests.support.video import decoded, is_keyframe, jpeg, luma, psnr

SIZE = 64
POSES = [Pose(mix("sil", "aa", quarter / 4), "open", "speaking") for quarter in range(5)]


@pytest.fixture(scope="module")
def faces() -> dict[str, Face]:
    return {name: load(FACES / name) for name in ("jonas", "mira")}


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert [t.name for t in threading.enumerate() if t.name.startswith("face")] == []


def run(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await story()

    asyncio.run(bounded())


def now() -> float:
    return asyncio.get_running_loop().time()


class Gate:
    """Encoders of which every picture waits until it is let through."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.entered = threading.Semaphore(0)
        gate = self

        class Held(VideoEncoder):
            def encode(self, i420: Bytes, *, keyframe: bool = False) -> bytes:
                gate.entered.release()
                assert gate.open.wait(10)
                return super().encode(i420, keyframe=keyframe)

        monkeypatch.setattr(encoding_session, "VideoEncoder", Held)

    async def until_entered(self) -> None:
        while not self.entered.acquire(blocking=False):
            await asyncio.sleep(0)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate(monkeypatch)
    yield gate
    gate.open.set()


class Listening(PictureLoad):
    """Records its calls."""

    def __init__(self) -> None:
        super().__init__(1)
        self.late: list[bool] = []
        self.costs: list[float] = []
        self.refusals = 0

    def encoded(self, late_ms: float, cost_ms: float) -> None:
        self.late.append(late_ms > 0)
        self.costs.append(cost_ms)
        super().encoded(late_ms, cost_ms)

    def refused(self) -> None:
        self.refusals += 1
        super().refused()


@asynccontextmanager
async def opened(
    faces: dict[str, Face], load: PictureLoad | None = None, **options: Any
) -> AsyncIterator[tuple[Studio, EncodingSession]]:
    """A studio whose layers are ready, and an encoding session."""
    async with Studio(faces, default="mira", **options) as studio:
        studio._load = load or studio._load
        await studio.bitmaps("mira", SIZE)
        yield studio, studio.encoding_session("mira", "h264", SIZE, 40)


# --- pictures --------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["h264", "vp8"])
def test_a_take_shows_its_poses_one_after_another(faces: dict[str, Face], codec: Any) -> None:
    async def story() -> None:
        async with Studio(faces, default="mira") as studio:
            bitmaps = await studio.bitmaps("jonas", 320)
            session = studio.encoding_session("jonas", codec, 320, 40)
            units = [await session.picture(pose, due=now() + 1) for pose in POSES]
            found = decoded(codec, [unit for unit in units if unit])
            drawn = Picture(bitmaps)
            for picture, pose in zip(found, POSES, strict=True):
                drawn.show(pose)
                assert psnr(picture, drawn.i420) > 44
            session.close()

    run(story)


def test_the_first_picture_and_those_asked_for_are_keyframes(faces: dict[str, Face]) -> None:
    async def story() -> None:
        async with opened(faces) as (_, session):
            units = [
                await session.picture(pose, due=now(), keyframe=number == 3)
                for number, pose in enumerate(POSES)
            ]
            found = [is_keyframe("h264", unit) for unit in units if unit]
            assert found == [True, False, False, True, False]

    run(story)


def test_a_take_with_a_picture_under_way_refuses_the_next(
    faces: dict[str, Face], gate: Gate
) -> None:
    async def story() -> None:
        load = Listening()
        async with opened(faces, load) as (_, session):
            first = asyncio.create_task(session.picture(POSES[0], due=now()))
            await gate.until_entered()
            assert await session.picture(POSES[1], due=now()) is None
            assert await session.picture(POSES[2], due=now()) is None
            assert load.refusals == 2
            gate.open.set()
            assert await first
            assert await session.picture(POSES[3], due=now())
            assert (load.refusals, len(load.late)) == (2, 2)

    run(story)


def test_a_keyframe_that_was_refused_comes_with_the_next_picture(
    faces: dict[str, Face], gate: Gate
) -> None:
    async def story() -> None:
        async with opened(faces) as (_, session):
            first = asyncio.create_task(session.picture(POSES[0], due=now()))
            await gate.until_entered()
            assert await session.picture(POSES[1], due=now(), keyframe=True) is None
            gate.open.set()
            await first
            units = [await session.picture(pose, due=now()) for pose in POSES[2:4]]
            assert [is_keyframe("h264", unit) for unit in units if unit] == [True, False]

    run(story)


def test_the_whole_process_has_a_bound(faces: dict[str, Face], gate: Gate) -> None:
    async def story() -> None:
        load = Listening()
        async with opened(faces, load, threads=1) as (studio, one_too_many):
            sessions = [
                studio.encoding_session("mira", "h264", SIZE, 40) for _ in range(MOST_WAITING)
            ]
            pictures = [asyncio.create_task(t.picture(POSES[0], due=now())) for t in sessions]
            await gate.until_entered()
            assert await one_too_many.picture(POSES[0], due=now()) is None
            assert load.refusals == 1
            gate.open.set()
            assert all(await asyncio.gather(*pictures))
            assert await one_too_many.picture(POSES[0], due=now())

    run(story)


def test_the_ladder_hears_how_late_and_how_dear_pictures_are(faces: dict[str, Face]) -> None:
    async def story() -> None:
        load = Listening()
        async with opened(faces, load) as (_, session):
            await session.picture(POSES[0], due=now() + 100)
            await session.picture(POSES[1], due=now() - 100)
            assert load.late == [False, True]
            assert all(0 < cost_ms < 1000 for cost_ms in load.costs)

    run(story)


def test_a_step_for_pictures_that_come_after_their_take_is_taken_back(
    faces: dict[str, Face],
) -> None:
    async def story() -> None:
        async with Studio(faces, default="mira") as studio:
            for _ in range(10):
                studio.encoded(100.0, 1.0)
            await asyncio.sleep(1.0)
            studio.encoded(100.0, 1.0)
            assert studio.ladder.step is LadderStep.FEWER_PICTURES
            await asyncio.sleep(RISE_S + 3)
            assert studio.ladder.step is LadderStep.EVERYTHING

    run_virtual(story())


def test_after_a_cancelled_picture_the_next_is_a_keyframe(
    faces: dict[str, Face], gate: Gate
) -> None:
    """The picture was encoded and not sent: the next one may not refer to it."""

    async def story() -> None:
        load = Listening()
        async with opened(faces, load) as (_, session):
            gate.open.set()
            assert await session.picture(POSES[0], due=now())
            await gate.until_entered()
            gate.open.clear()
            lost = asyncio.create_task(session.picture(POSES[1], due=now()))
            await gate.until_entered()
            lost.cancel()
            await asyncio.wait([lost])
            assert lost.cancelled()
            assert await session.picture(POSES[2], due=now()) is None  # the thread still has it
            gate.open.set()
            while len(load.late) < 2:
                await asyncio.sleep(0)
            unit = await session.picture(POSES[3], due=now())
            assert unit
            assert is_keyframe("h264", unit)

    run(story)


def test_no_picture_waits_for_layers_that_are_being_made(faces: dict[str, Face]) -> None:
    async def story() -> None:
        load = Listening()
        async with Studio(faces, default="mira") as studio:
            studio._load = load
            session = studio.encoding_session("mira", "h264", SIZE, 40)
            assert await session.picture(POSES[0], due=now()) is None
            await studio.bitmaps("mira", SIZE)
            assert await session.picture(POSES[0], due=now())
            assert load.refusals == 0  # nothing was too slow

    run(story)


def test_an_encoder_that_fails_is_replaced(
    faces: dict[str, Face], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(VideoEncoder):
        def encode(self, i420: Bytes, *, keyframe: bool = False) -> bytes:
            raise OSError("no more")

    async def story() -> None:
        async with opened(faces) as (_, session):
            with monkeypatch.context() as patch:
                patch.setattr(session, "_new_encoder", lambda: Failing("h264", SIZE, 40))
                with pytest.raises(OSError, match="no more"):
                    await session.picture(POSES[0], due=now())
            unit = await session.picture(POSES[1], due=now())
            assert unit
            assert is_keyframe("h264", unit)

    run(story)


def test_a_closed_take_gives_no_pictures(faces: dict[str, Face]) -> None:
    async def story() -> None:
        async with opened(faces) as (_, session):
            assert await session.picture(POSES[0], due=now())
            session.close()
            session.close()
            assert await session.picture(POSES[1], due=now()) is None

    run(story)


def test_a_take_may_be_closed_while_its_picture_is_drawn(
    faces: dict[str, Face], gate: Gate
) -> None:
    async def story() -> None:
        async with opened(faces) as (_, session):
            picture = asyncio.create_task(session.picture(POSES[0], due=now()))
            await gate.until_entered()
            session.close()
            gate.open.set()
            assert await picture  # it is done; whether it is sent is not decided here

    run(story)


def test_pictures_of_a_server_and_poses_are_shown_in_one_stream(
    faces: dict[str, Face],
) -> None:
    async def story() -> None:
        async with opened(faces) as (_, session):
            shown = [jpeg(200), POSES[0], jpeg(40), jpeg(90, 128)]
            units = [await session.picture(one, due=now() + 1) for one in shown]
            with pytest.raises(NotJpeg):
                await session.picture(b"nonsense", due=now() + 1)
            units.append(await session.picture(jpeg(40), due=now() + 1))
            assert [is_keyframe("h264", unit) for unit in units if unit] == [
                True,
                *[False] * 3,
                True,
            ]
            pictures = decoded("h264", [unit for unit in units if unit])
            light = [picture[:SIZE].mean() for picture in pictures]
            assert light[0] == pytest.approx(luma(200), abs=2)
            assert light[2:] == pytest.approx([luma(grey) for grey in (40, 90, 40)], abs=2)
            drawn = Picture(LayerBitmaps(faces["mira"], SIZE))
            drawn.show(POSES[0])
            assert psnr(pictures[1], drawn.i420) > 30

    run(story)


@pytest.mark.parametrize("codec", ["h264", "vp8"])
def test_a_loop_of_pictures_is_encoded_once(
    faces: dict[str, Face], codec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Counted(module.record_pictures)
    monkeypatch.setattr(module, "record_pictures", record)
    pictures = [(160, jpeg(200)), (400, jpeg(40)), (5000, jpeg(90))]

    async def story() -> None:
        async with Studio(faces, default="mira") as studio:
            asked = [studio.film("mira", codec, SIZE, "idle", pictures, 4000) for _ in range(3)]
            first, *others = await asyncio.gather(*asked)
            assert all(other is first for other in others)
            assert (first.codec, first.size, first.mood) == (codec, SIZE, "idle")
            assert len(first.units) == 50
            assert all(is_keyframe(codec, unit) for unit in first.units[::GROUP])
            light = [picture[:SIZE].mean() for picture in decoded(codec, first.units)]
            expected = [luma(200)] * 5 + [luma(40)] * 45
            assert light == pytest.approx(expected, abs=3)
            with pytest.raises(NotJpeg):
                await studio.film("mira", codec, SIZE, "thinking", [(0, b"nonsense")], 4000)

    run(story)
    assert record.calls == 2


# --- what is made once -----------------------------------------------------------------------


class Counted:
    """Stands for a function that makes something; remembers how often, and may fail."""

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make
        self.calls = 0
        self.error: Exception | None = None

    def __call__(self, *given: Any) -> Any:
        self.calls += 1
        if self.error is not None:
            raise self.error
        return self._make(*given)


@pytest.fixture
def bitmaps(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """Makes the studio's layers."""
    bitmaps = Counted(LayerBitmaps)
    monkeypatch.setattr(module, "LayerBitmaps", bitmaps)
    return bitmaps


def test_layers_and_loops_are_made_once_for_all_callers(
    faces: dict[str, Face], bitmaps: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Counted(module.record)
    monkeypatch.setattr(module, "record", record)

    async def story() -> None:
        async with Studio(faces, default="mira") as studio:
            asked = [studio.loop("mira", "vp8", SIZE, "idle") for _ in range(5)]
            first, *others = await asyncio.gather(*asked)
            assert all(other is first for other in others)
            assert await studio.loop("mira", "vp8", SIZE, "idle") is first
            thinking = await studio.loop("mira", "vp8", SIZE, "thinking")
            assert (first.mood, thinking.mood) == ("idle", "thinking")
            assert (bitmaps.calls, record.calls) == (1, 2)

    run(story)


def test_a_cancelled_caller_takes_nothing_from_the_others(faces: dict[str, Face]) -> None:
    async def story() -> None:
        async with Studio(faces, default="mira") as studio:
            impatient = asyncio.create_task(studio.loop("mira", "vp8", SIZE, "idle"))
            patient = asyncio.create_task(studio.loop("mira", "vp8", SIZE, "idle"))
            await asyncio.sleep(0)
            impatient.cancel()
            assert (await patient).mood == "idle"
            assert impatient.cancelled()

    run(story)


def test_a_failure_reaches_all_callers_and_is_tried_again_later(
    faces: dict[str, Face],
    bitmaps: Counted,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bitmaps.error = RendererMissing("no resvg")

    async def story() -> None:
        async with Studio(faces, default="mira") as studio:
            session = studio.encoding_session("mira", "h264", SIZE, 40)
            asked = [studio.bitmaps("mira", SIZE), studio.loop("mira", "h264", SIZE, "idle")]
            told = await asyncio.gather(*asked, return_exceptions=True)
            assert [str(error) for error in told] == ["no resvg"] * 2
            with pytest.raises(RendererMissing):  # not for every picture anew
                await session.picture(POSES[0], due=now())
            assert bitmaps.calls == 1
            bitmaps.error = None
            loop = asyncio.get_running_loop()
            later = loop.time() + RETRY_S
            monkeypatch.setattr(loop, "time", lambda: later)
            assert (await studio.bitmaps("mira", SIZE)).size == SIZE
            assert (await studio.loop("mira", "h264", SIZE, "idle")).size == SIZE

    with caplog.at_level(logging.WARNING, "parley.avatar"):
        run(story)
    assert "face: no layers mira 64: no resvg" in caplog.messages


def test_the_default_face_is_made_before_it_is_asked_for(
    faces: dict[str, Face], bitmaps: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = Counted(lambda bitmaps, mood, codec: (bitmaps.size, codec, mood))
    monkeypatch.setattr(module, "record", recorded)

    async def story() -> None:
        async with Studio(faces, default="mira") as studio:
            studio.warm()
            assert bitmaps.calls == 0  # it does not wait
            while studio._making:
                await asyncio.sleep(0.01)
            assert (bitmaps.calls, recorded.calls) == (2, 8)
            for size in (320, 192):
                assert (await studio.bitmaps("mira", size)).size == size
            for codec in codecs():
                for mood in MOODS:
                    made: Any = await studio.loop("mira", codec, 320, mood)
                    assert made == (320, codec, mood)
            assert (bitmaps.calls, recorded.calls) == (2, 8)

    run(story)


def test_loops_are_made_in_advance_only_while_the_process_is_idle(
    faces: dict[str, Face], bitmaps: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = Counted(lambda bitmaps, mood, codec: (bitmaps.size, codec, mood))
    monkeypatch.setattr(module, "record", recorded)
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    idle = [True, True, False]

    def asked() -> bool:
        return idle.pop(0) if len(idle) > 1 else idle[0]

    async def story() -> None:
        async with Studio(faces, default="mira") as studio:
            studio.warm(asked)
            while bitmaps.calls < 2 or studio._making.keys() != {module.WARMING}:
                await asyncio.sleep(0.01)
            assert recorded.calls == 0
            assert await studio.loop("mira", "h264", 320, "idle") == (320, "h264", "idle")
            assert recorded.calls == 1
            idle[0] = True
            while studio._making:
                await asyncio.sleep(0.01)
            assert recorded.calls == 8
            idle[0] = False
            studio.warm(asked)  # and left while it waits

    run(story)


def test_a_face_that_cannot_be_warmed_does_no_harm(
    faces: dict[str, Face], bitmaps: Counted, caplog: pytest.LogCaptureFixture
) -> None:
    bitmaps.error = RendererMissing("no resvg")

    async def story() -> None:
        async with Studio(faces, default="mira") as studio:
            studio.warm()
            while studio._making:
                await asyncio.sleep(0.01)
        studio = Studio(faces, default="mira")
        async with studio:
            studio.warm()  # and left at once

    with caplog.at_level(logging.WARNING, "parley.avatar"):
        run(story)
    assert "face: no layers mira 320: no resvg" in caplog.messages


@pytest.mark.parametrize("name", ["", "nobody"])
def test_a_face_that_is_not_there_is_a_key_error(faces: dict[str, Face], name: str) -> None:
    async def story() -> None:
        async with Studio(faces, default="mira") as studio:
            with pytest.raises(KeyError):
                studio.encoding_session(name, "h264", SIZE, 40)
            with pytest.raises(KeyError):
                await studio.bitmaps(name, SIZE)
            with pytest.raises(KeyError):
                await studio.loop(name, "h264", SIZE, "idle")

    run(story)
    with pytest.raises(KeyError):
        Studio(faces, default=name)


# --- the ladder's watch ----------------------------------------------------------------------


def test_pictures_that_are_late_while_loops_are_made_cost_no_rung(
    faces: dict[str, Face], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def held(bitmaps: LayerBitmaps, mood: Any, codec: Any) -> Loop:
        begun.set()
        assert go_on.wait(10)
        return record(bitmaps, mood, codec)

    monkeypatch.setattr(module, "record", held)

    async def story() -> None:
        load = Listening()
        async with opened(faces, load) as (studio, session):
            recording = asyncio.create_task(studio.loop("mira", "h264", SIZE, "idle"))
            while not begun.is_set():
                await asyncio.sleep(0)
            for _ in range(5):
                assert await session.picture(POSES[0], due=now() - 1)
            assert load.late == []
            go_on.set()
            await recording
            assert await session.picture(POSES[0], due=now() - 1)
            assert load.late == [True]

    run(story)


def test_listeners_hear_of_every_change_until_they_stop(
    faces: dict[str, Face], caplog: pytest.LogCaptureFixture
) -> None:
    told: list[tuple[str, str, str]] = []

    def failing(old: QualityLevel, new: QualityLevel, why: str) -> None:
        raise ValueError("a listener's mistake")

    async def story() -> None:
        async with Studio(faces, default="mira", threads=1) as studio:
            studio.changed(failing)
            forget = studio.changed(lambda old, new, why: told.append((old.name, new.name, why)))
            session = studio.encoding_session("mira", "h264", SIZE, 40)
            for _ in range(2):
                await asyncio.sleep(0.5)
                for _ in range(10):
                    studio.refused()
                await asyncio.sleep(0.5)
            await asyncio.sleep(0.5)
            assert studio.level == QUALITY_LEVELS[2]
            session.close()
            await asyncio.sleep(RISE_S + 1)
            assert studio.level == QUALITY_LEVELS[1]
            forget()
            forget()
            await asyncio.sleep(RISE_S)
            assert studio.level == QUALITY_LEVELS[0]

    run_virtual(story())
    why = "10 of 10 pictures late or refused within a second"
    assert told == [
        ("25 fps", "12 fps", why),
        ("12 fps", "12 fps, small", why),
        ("12 fps, small", "12 fps", "calm for 10 s"),
    ]
    assert "face: a listener failed" in caplog.messages


def test_a_process_under_pressure_draws_less_until_it_is_over(faces: dict[str, Face]) -> None:
    told: list[tuple[str, str, str]] = []

    async def story() -> None:
        async with Studio(faces, default="mira") as studio:
            studio.changed(lambda old, new, why: told.append((old.name, new.name, why)))
            session = studio.encoding_session("mira", "h264", SIZE, 40)
            studio.ladder.strained("the processor is 80% busy", now())
            await asyncio.sleep(1)
            studio.ladder.strained(None, now())
            await asyncio.sleep(RISE_S + 1)
            session.close()

    run_virtual(story())
    assert told == [
        ("25 fps", "12 fps", "the processor is 80% busy"),
        ("12 fps", "25 fps", "calm for 10 s"),
    ]


def test_the_ladder_is_not_watched_without_a_session(faces: dict[str, Face]) -> None:
    """An idle process is not woken every second."""

    async def story() -> None:
        async with Studio(faces, default="mira") as studio:
            tasks = len(asyncio.all_tasks())
            session = studio.encoding_session("mira", "h264", SIZE, 40)
            assert len(asyncio.all_tasks()) == tasks + 1
            session.close()
            await asyncio.sleep(1.5)
            assert len(asyncio.all_tasks()) == tasks

    run_virtual(story())


def test_the_second_in_which_the_last_session_ends_is_judged_then_and_not_later(
    faces: dict[str, Face],
) -> None:
    async def story() -> None:
        async with Studio(faces, default="mira") as studio:
            tasks = len(asyncio.all_tasks())
            session = studio.encoding_session("mira", "h264", SIZE, 40)
            await asyncio.sleep(1.1)
            for _ in range(10):
                studio.refused()
            session.close()
            await asyncio.sleep(1.5)
            assert studio.ladder.step is LadderStep.FEWER_PICTURES
            await asyncio.sleep(RISE_S + 3)
            assert studio.ladder.step is LadderStep.EVERYTHING
            assert len(asyncio.all_tasks()) == tasks
            await asyncio.sleep(60.0)
            session = studio.encoding_session("mira", "h264", SIZE, 40)
            await asyncio.sleep(1.5)
            assert studio.ladder.step is LadderStep.EVERYTHING
            session.close()

    run_virtual(story())


# --- the end ---------------------------------------------------------------------------------


def test_leaving_waits_for_what_is_being_drawn(faces: dict[str, Face], gate: Gate) -> None:
    async def story() -> None:
        async with opened(faces, threads=1) as (studio, session):
            running = asyncio.create_task(session.picture(POSES[0], due=now()))
            await gate.until_entered()
            other = studio.encoding_session("mira", "h264", SIZE, 40)
            queued = asyncio.create_task(other.picture(POSES[0], due=now()))
            await asyncio.sleep(0)
            asyncio.get_running_loop().call_soon(gate.open.set)
        assert await running
        assert await queued is None  # it had not begun
        assert await session.picture(POSES[1], due=now()) is None

    run(story)


def test_callers_that_wait_for_layers_learn_that_the_studio_was_left(
    faces: dict[str, Face], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def held(face: Face, size: int) -> LayerBitmaps:
        begun.set()
        assert go_on.wait(10)
        return LayerBitmaps(face, size)

    monkeypatch.setattr(module, "LayerBitmaps", held)

    async def story() -> None:
        async with Studio(faces, default="mira") as studio:
            waiting = [
                asyncio.create_task(studio.bitmaps(name, SIZE)) for name in ("mira", "jonas")
            ]
            while not begun.is_set():
                await asyncio.sleep(0)
            asyncio.get_running_loop().call_soon(go_on.set)
        made, queued = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(made, LayerBitmaps)
        assert isinstance(queued, StudioClosed)
        for late in (studio.bitmaps("jonas", SIZE), studio.loop("mira", "h264", 96, "idle")):
            with pytest.raises(StudioClosed):
                await late
        with pytest.raises(StudioClosed):
            studio.encoding_session("mira", "h264", SIZE, 40)

    run(story)


def test_a_studio_that_drew_nothing_has_no_threads(faces: dict[str, Face]) -> None:
    async def story() -> None:
        async with Studio(faces, default="mira"):
            assert [t.name for t in threading.enumerate() if t.name.startswith("face")] == []

    run_virtual(story())
