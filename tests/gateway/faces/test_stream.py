"""When a picture leaves, against the audio around it."""

import asyncio
import itertools
from typing import Any

import numpy as np

from gateway.faces.stream import FRAME_MS
from pipeline.frames import (
    AvatarFrame,
    AvatarState,
    Clear,
    ReplyAudio,
    ReplyDone,
    ReplyPaused,
    ReplyResumed,
    ReplyStarted,
    Viseme,
    Visemes,
)
from pipeline.ladder import LadderStep

AUDIO = np.zeros(160, np.int16)


def mouths(frames: list[AvatarFrame]) -> list[str]:
    return [frame.data.split()[0].decode() for frame in frames]


def test_a_face_that_says_nothing_is_sent_when_it_has_changed(harness: Any) -> None:
    async def story() -> None:
        harness.open()
        await asyncio.sleep(16)
        harness.stream.close()
        await asyncio.sleep(16)

    harness.hold(story)
    frames = harness.pictures()
    assert {frame.at_ms for frame in frames} == {None}
    assert set(mouths(frames)) == {"sil"}
    assert all(one.data != two.data for one, two in itertools.pairwise(frames))
    # A breath takes 4 s and has 12 steps; a blink has up to 4 pictures.
    assert 48 <= len(frames) <= 64
    assert {b"sil closed idle", b"sil open idle"} <= {f.data.rpartition(b" ")[0] for f in frames}
    gaps = [after - at for (at, _), (after, _) in itertools.pairwise(harness.sent)]
    assert min(gaps) >= FRAME_MS / 1000 - 0.001


def test_the_mood_shows_at_once(harness: Any) -> None:
    async def story() -> None:
        harness.open()
        await asyncio.sleep(1)
        harness.send(AvatarState(1, "listening"))
        await asyncio.sleep(0.1)
        assert b" listening " in harness.pictures()[-1].data
        assert harness.pictures()[-1].turn == 1

    harness.hold(story)


def test_speech_has_a_picture_for_every_80_ms_just_before_its_audio(harness: Any) -> None:
    async def story() -> None:
        harness.open()
        await asyncio.sleep(1)
        await harness.speak(0, 2000)

    harness.hold(story)
    frames = harness.spoken(0)
    # What had never been drawn before the first 200 ms left is not among them.
    missing = set(range(0, 2000, 80)) - {frame.at_ms for frame in frames}
    assert missing <= {0, 80, 160}
    assert len(set(mouths(frames))) >= 3
    sent = [frame for _, frame in harness.sent]
    for frame in frames:
        [following] = [f for f in sent[sent.index(frame) + 1 :] if isinstance(f, ReplyAudio)][:1]
        assert following.at_ms == frame.at_ms


def test_shapes_that_come_word_by_word_are_drawn_in_time(harness: Any) -> None:
    async def story() -> None:
        harness.open()
        harness.send(ReplyStarted(0))
        # As a voice does that is faster than playout: the first 200 ms leave as they come.
        for word in range(20):
            shape = ("aa", "PP", "oh")[word % 3]
            harness.send(Visemes(0, word * 100, (Viseme(word * 100, 100, shape),)))
            for at_ms in range(word * 100, min(word * 100 + 100, 200), 20):
                harness.send(ReplyAudio(0, AUDIO, at_ms))
        for at_ms in range(200, 2000, 20):
            await asyncio.sleep(0.02)
            harness.send(ReplyAudio(0, AUDIO, at_ms))

    harness.hold(story)
    assert {frame.at_ms for frame in harness.spoken(0)} >= set(range(240, 2000, 80))


def test_once_drawn_no_picture_is_missing_not_even_the_first(harness: Any) -> None:
    async def story() -> None:
        harness.open()
        for turn in range(3):
            await harness.speak(turn, 2000)
            await asyncio.sleep(2)

    harness.hold(story)
    assert [frame.at_ms for frame in harness.spoken(2)] == list(range(0, 2000, 80))


def test_lips_are_closed_on_a_p_and_open_on_an_a(harness: Any) -> None:
    async def story() -> None:
        harness.open()
        await harness.speak(0, 2000)

    harness.hold(story)
    shown = {frame.at_ms: frame.data.split()[0] for frame in harness.spoken(0)}
    assert [shown[at_ms] for at_ms in (560, 720, 1040, 1200)] == [b"aa", b"PP", b"aa", b"PP"]


def test_nothing_without_a_position_is_sent_while_it_speaks(harness: Any) -> None:
    async def story() -> None:
        harness.open()
        await asyncio.sleep(1)
        await harness.speak(0, 2000)
        await asyncio.sleep(1)

    harness.hold(story)
    silent = [at for at, f in harness.sent if isinstance(f, AvatarFrame) and f.at_ms is None]
    assert not [at for at in silent if 1.0 < at < 3.0]
    assert [at for at in silent if 3.0 <= at <= 3.1]


async def cut_off(harness: Any) -> None:
    """A reply of 2 s that is cleared after 850 ms."""
    harness.open()
    speaking = asyncio.create_task(harness.speak(0, 2000))
    await asyncio.sleep(0.85)
    speaking.cancel()
    harness.send(Clear(0, 850))


def test_an_interruption_shows_a_closed_mouth_at_once_and_nothing_stale(harness: Any) -> None:
    async def story() -> None:
        await cut_off(harness)
        harness.send(ReplyDone(0, True, ""))
        await asyncio.sleep(1)

    harness.hold(story)
    [cleared] = [index for index, (_, f) in enumerate(harness.sent) if isinstance(f, Clear)]
    after = [(at, f) for at, f in harness.sent[cleared:] if isinstance(f, AvatarFrame)]
    assert {frame.at_ms for _, frame in after} == {None}
    assert set(mouths([frame for _, frame in after])) == {"sil"}
    assert after[0][0] - harness.sent[cleared][0] <= 0.021


def test_a_reply_that_goes_on_has_its_pictures_again(harness: Any) -> None:
    async def story() -> None:
        await cut_off(harness)
        harness.send(ReplyPaused(0, 850))
        await asyncio.sleep(0.5)
        harness.send(ReplyResumed(0, 700))
        await harness.speak(0, 1300, start_ms=700)

    harness.hold(story)
    [resumed] = [index for index, (_, f) in enumerate(harness.sent) if isinstance(f, ReplyResumed)]
    again = [f for _, f in harness.sent[resumed:] if isinstance(f, AvatarFrame)]
    assert [frame.at_ms for frame in again if frame.at_ms is not None] == list(range(720, 2000, 80))
    assert len(set(mouths(again))) >= 3


def test_a_client_without_room_gets_the_newest_picture_when_it_has_some(harness: Any) -> None:
    async def story() -> None:
        harness.open()
        await harness.speak(0, 1000)
        harness.room = False
        await asyncio.sleep(1)
        await harness.speak(1, 1000)
        await asyncio.sleep(1)
        harness.room = True
        await asyncio.sleep(0.2)

    harness.hold(story)
    assert harness.spoken(1) == []
    assert len([f for _, f in harness.sent if isinstance(f, ReplyAudio)]) == 100
    assert [at for at, f in harness.sent if isinstance(f, AvatarFrame)][-1] >= 4.0


def test_a_reply_that_runs_dry_closes_its_mouth_and_goes_on_with_the_sound(harness: Any) -> None:
    async def story() -> None:
        harness.open()
        await harness.speak(0, 400)
        await asyncio.sleep(0.5)
        await harness.speak(0, 400, start_ms=400, cues=False)

    harness.hold(story)
    assert [frame.at_ms for frame in harness.spoken(0)][-3:] == [560, 640, 720]
    dry = [f for at, f in harness.sent if isinstance(f, AvatarFrame) and 0.45 < at < 0.85]
    assert dry
    assert {frame.at_ms for frame in dry} == {None}
    assert set(mouths(dry)) == {"sil"}


# --- under pressure --------------------------------------------------------------------------


def level(harness: Any, step: LadderStep) -> None:
    harness.ladder.reason = "busy"
    harness.ladder._change(step)


def test_under_pressure_there_are_fewer_pictures_and_then_none(harness: Any) -> None:
    async def story() -> None:
        harness.open()
        for turn, step in enumerate(LadderStep):
            level(harness, step)
            for _ in range(3):  # what was never drawn before is missing at first
                await harness.speak(turn, 2000)

    harness.hold(story)
    for turn, step_ms in enumerate((80, 160, 320)):
        assert {frame.at_ms for frame in harness.spoken(turn)} == {*range(0, 2000, step_ms)}
    assert [harness.spoken(turn) for turn in (3, 4, 5)] == [[], [], []]
    assert harness.steps == [
        (0, "12 fps", "6 fps", "busy"),
        (1, "6 fps", "3 fps", "busy"),
        (2, "3 fps", "visemes", "busy"),
    ]


def test_the_silent_face_is_sent_more_seldom_too_and_comes_back_at_once(harness: Any) -> None:
    counts: list[int] = []
    back: list[float] = []

    async def story() -> None:
        harness.open()
        await asyncio.sleep(0.5)
        for step in list(LadderStep)[:4]:
            level(harness, step)
            before = len(harness.pictures())
            await asyncio.sleep(16)
            counts.append(len(harness.pictures()) - before)
        level(harness, LadderStep.SMALL_PICTURES)
        await asyncio.sleep(0.05)
        back.append(harness.sent[-1][0] - asyncio.get_running_loop().time())

    harness.hold(story)
    assert counts[0] > counts[1] > counts[2] > 0
    assert counts[3] == 0
    assert back[0] >= -0.05
    assert harness.steps[-1] == (0, "visemes", "3 fps", "busy")


def test_the_rate_changes_in_the_middle_of_a_reply_on_its_grid(harness: Any) -> None:
    async def story() -> None:
        harness.open()
        await harness.speak(0, 4000)
        speaking = asyncio.create_task(harness.speak(1, 4000))
        for step in (LadderStep.FEWER_PICTURES, LadderStep.NO_PICTURES, LadderStep.EVERYTHING):
            await asyncio.sleep(1)
            level(harness, step)
        await speaking

    harness.hold(story)
    times = [frame.at_ms for frame in harness.spoken(1)]
    gaps = [after - at for at, after in itertools.pairwise(times)]
    assert times == sorted(times)
    assert set(gaps[:14]) == {80}
    assert 160 in gaps
    assert 900 < max(gaps) < 1200
    assert set(gaps[-8:]) == {80}


def test_a_face_that_begins_under_pressure_says_so_and_one_that_has_left_says_nothing(
    harness: Any,
) -> None:
    async def story() -> None:
        level(harness, LadderStep.SMALL_PICTURES)
        harness.open()
        harness.stream.close()
        harness.stream.close()
        level(harness, LadderStep.EVERYTHING)

    harness.hold(story)
    assert harness.steps == [(0, "12 fps", "3 fps", "the server is busy")]


def test_a_reply_that_is_resumed_without_pictures_gets_them_back_in_step(harness: Any) -> None:
    async def story() -> None:
        harness.open()
        await harness.speak(0, 1000)
        level(harness, LadderStep.NO_PICTURES)
        harness.send(ReplyResumed(0, 500))
        await harness.speak(0, 500, start_ms=500)
        level(harness, LadderStep.EVERYTHING)
        await harness.speak(0, 1000, start_ms=1000)

    harness.hold(story)
    times = [frame.at_ms for frame in harness.spoken(0)]
    assert [at_ms for at_ms in times if at_ms >= 1040][-10:] == list(range(1200, 2000, 80))
