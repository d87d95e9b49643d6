"""Rules for animators."""

from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.frames import AvatarFrame, Spoken, Viseme
from pipeline.stage import Scene
from stages.avatar.jpeg import NotJpeg, dimensions
from stages.testing import _calls
from stages.testing._trial import Result, Rule, Trial

RATE_HZ = 16_000
START_MS = 5000
"""The position in the reply at which the usual speech begins."""

SLACK_MS = 500
"""A picture may be for a moment after the last sound."""

CUES = tuple(
    Viseme(START_MS + at_ms, 100, ("aa", "PP")[at_ms // 100 % 2]) for at_ms in range(0, 500, 100)
)


def scene(turn: int = 0, ms: int = 500, rate_hz: int = RATE_HZ, at_ms: int = START_MS) -> Scene:
    """A hum, with a mouth that opens and closes."""
    times = np.arange(rate_hz * ms // 1000) / rate_hz
    pcm = (8000 * np.sin(2 * np.pi * 220 * times)).astype(np.int16)
    cues = tuple(replace(cue, at_ms=cue.at_ms - START_MS + at_ms) for cue in CUES)
    return Scene(Spoken(turn, at_ms, rate_hz, pcm, cues, last=True), "mira", 320, 80)


def use(stage: Any, turn: int) -> Any:
    return stage.animate(scene(turn))


async def has_the_shape_of_an_animator(trial: Trial) -> None:
    """An animator has `provider`, `animate(scene)` and `aclose()`."""
    _calls.shape_of_stage(trial, {"animate": 1})
    _calls.shape_of_stream(trial, trial.stage, "animate")


async def shows_pictures(trial: Trial) -> None:
    """A scene is a stream of `AvatarFrame`s of its turn; each has bytes and says of what type."""
    frames = await trial.used(7)
    if not frames:
        trial.saw("there was no picture in it")
    for frame in frames:
        if not isinstance(frame, AvatarFrame):
            trial.saw(f"it gave a {type(frame).__name__}")
        elif frame.turn != 7:
            trial.saw(f"turn 7 got something of turn {frame.turn}")
        elif not isinstance(frame.data, bytes) or not frame.data:
            trial.saw(f"a picture is no bytes but {frame.data!r:.40}")
        elif not isinstance(frame.mime, str) or "/" not in frame.mime:
            trial.saw(f"a picture's `mime` is no media type but {frame.mime!r}")
        elif frame.mime == "image/jpeg":
            _check_jpeg(trial, frame.data)


async def keeps_to_the_times_of_the_speech(trial: Trial) -> None:
    """`at_ms` counts from the reply's first sample, as the speech's own does, grows from picture to
    picture, and lies within the speech."""
    for at_ms in (0, START_MS, 600_000):
        wanted = scene(1, at_ms=at_ms)
        result = await _shown(trial, wanted, f"speech at {at_ms} ms")
        since = at_ms - 1
        for frame in result.items:
            if (
                not isinstance(frame.at_ms, int)
                or not since < frame.at_ms <= at_ms + 500 + SLACK_MS
            ):
                trial.saw(f"speech from {at_ms} to {at_ms + 500} ms: a picture at {frame.at_ms}")
                break
            since = frame.at_ms


async def takes_any_scene(trial: Trial) -> None:
    """Whatever the scene, it ends: with pictures, without, or with a StageError."""
    usual = scene(4)
    silence = np.zeros(RATE_HZ, np.int16)
    scenes = {
        "10 ms": scene(4, ms=10),
        "no sound at all": replace(usual, speech=Spoken(4, 0, RATE_HZ, silence[:0])),
        "silence": replace(usual, speech=Spoken(4, 0, RATE_HZ, silence), mood="listening"),
        "no cues": replace(usual, speech=replace(usual.speech, cues=())),
        "8 kHz": scene(4, rate_hz=8000),
        "48 kHz": scene(4, rate_hz=48_000),
        "half a minute": scene(4, ms=30_000),
        "a face that nobody has": replace(usual, face="nobody"),
        "a small picture": replace(usual, size=64),
        "25 pictures a second": replace(usual, frame_ms=40),
    }
    for what, unusual in scenes.items():
        await _shown(trial, unusual, what)
    await trial.used(3)


async def _shown(trial: Trial, wanted: Scene, what: str) -> Result:
    return await trial.items(lambda: trial.stage.animate(wanted), what)


def _check_jpeg(trial: Trial, data: bytes) -> None:
    try:
        dimensions(data)
    except NotJpeg as error:
        trial.saw(f"a picture is no JPEG: {error}")


RULES: tuple[Rule, ...] = (
    has_the_shape_of_an_animator,
    shows_pictures,
    keeps_to_the_times_of_the_speech,
    takes_any_scene,
    _calls.keeps_calls_apart,
    _calls.may_be_left_early,
    _calls.may_be_cancelled_at_any_await,
    _calls.never_blocks_the_event_loop,
    _calls.says_whether_it_would_answer,
    _calls.ends_with_aclose,
)
