"""What is about to be heard, for whoever animates a face to it."""

import asyncio
from typing import Any

import numpy as np

from pipeline.frames import ReplyAudio, Spoken, Visemes
from stages.fakes import FakeSynthesizer, Script


def test_all_speech_is_overheard_before_it_is_sent(room: Any) -> None:
    overheard: list[tuple[float, Spoken]] = []
    room.overheard = lambda spoken: overheard.append((asyncio.get_running_loop().time(), spoken))
    room.host.say = ("Well, tell me more.", "And why?")

    async def story() -> None:
        await asyncio.sleep(5)

    room.hold(story)
    pieces = [spoken for _, spoken in overheard]
    # 200 ms a word; a sentence ends with a piece of its own.
    assert [(piece.at_ms, piece.last) for piece in pieces] == [
        (0, False),
        (200, False),
        (400, False),
        (600, False),
        (800, True),
        (800, False),
        (1000, False),
        (1200, True),
    ]
    assert {(piece.turn, piece.rate_hz) for piece in pieces} == {(0, 16_000)}
    heard = [(at, frame) for at, frame in room.frames if isinstance(frame, ReplyAudio)]
    audio = np.concatenate([frame.pcm for _, frame in heard])
    assert np.array_equal(np.concatenate([piece.pcm for piece in pieces]), audio)
    cues = [cue for _, frame in room.frames if isinstance(frame, Visemes) for cue in frame.cues]
    assert [cue for piece in pieces for cue in piece.cues] == cues
    for told_at, piece in overheard:
        assert told_at <= min((at for at, f in heard if f.at_ms >= piece.at_ms), default=told_at)


def test_a_sentence_that_breaks_off_has_no_last_piece(room: Any) -> None:
    overheard: list[Spoken] = []
    room.overheard = overheard.append
    room.synthesizers = [FakeSynthesizer(Script(error=OSError("gone"), after=2))]

    async def story() -> None:
        await asyncio.sleep(5)

    room.hold(story)
    assert [(piece.at_ms, piece.last) for piece in overheard] == [(0, False), (200, False)]
