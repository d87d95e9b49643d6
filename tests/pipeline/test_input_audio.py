"""The session's input audio: its last seconds are kept, and utterances begin from them."""

from typing import Any

import numpy as np
import pytest

from pipeline.breaker import Breaker
from pipeline.frames import Samples
from pipeline.guard import Candidate, Guard
from pipeline.input_audio import InputAudio
from pipeline.languages import LanguageLock
from pipeline.testing import run_virtual
from stages.fakes import FakeTranscriber

FRAME = 320


class Host:
    hints = ("gRPC",)


def listening(pre_roll_ms: int = 60) -> InputAudio:
    guard: Any = Guard("stt", [Candidate("fake-stt", FakeTranscriber(), Breaker())])
    host: Any = Host()
    return InputAudio(
        pre_roll_ms,
        guard,
        host,
        language=LanguageLock(None),
        understood=lambda *_: None,
        emit=lambda output: None,
    )


def ramp(start: int, count: int) -> Samples:
    return (np.arange(start, start + count) % 30_000).astype(np.int16)


def fed(audio: InputAudio, start: int, end: int) -> None:
    for position in range(start, end, FRAME):
        audio.feed(ramp(position, FRAME))


def test_recent_audio_is_found_by_position() -> None:
    audio = listening()
    fed(audio, 0, 3200)
    assert np.array_equal(audio.since(2500), ramp(2500, 700))
    assert len(audio.since(3200)) == 0


def test_recent_audio_is_kept_as_long_as_asked_and_hardly_longer() -> None:
    audio = listening(pre_roll_ms=60)
    fed(audio, 0, 3200)
    kept = audio.since(0)
    assert 960 <= len(kept) < 960 + FRAME
    assert kept[-1] == 3199


@pytest.mark.parametrize(("pre_roll_ms", "samples"), [(100, 1600), (20, 320)])
def test_another_length_of_the_pre_roll_holds_from_then_on(pre_roll_ms: int, samples: int) -> None:
    audio = listening(pre_roll_ms=60)
    fed(audio, 0, 3200)
    audio.keep(pre_roll_ms)
    fed(audio, 3200, 9600)
    assert samples <= len(audio.since(0)) < samples + FRAME


def test_what_is_held_becomes_the_turn_with_all_of_its_audio() -> None:
    async def scene() -> None:
        audio = listening(pre_roll_ms=1000)
        fed(audio, 0, 1600)
        audio.hold(1, from_ms=50)
        fed(audio, 1600, 3200)
        audio.start(1, from_ms=50)
        fed(audio, 3200, 4800)
        utterance = audio.end()
        assert utterance is not None
        assert np.array_equal(utterance.audio, ramp(800, 4000))
        assert (audio.current, audio.held) == (None, None)

    run_virtual(scene())


def test_what_is_dropped_gets_no_more_audio() -> None:
    async def scene() -> None:
        audio = listening(pre_roll_ms=1000)
        fed(audio, 0, 1600)
        audio.hold(1, from_ms=0)
        held = audio.held
        assert held is not None
        audio.drop_held()
        audio.drop_held()  # nothing is held any more
        fed(audio, 1600, 3200)
        assert (audio.held, held.duration_ms) == (None, 100)

    run_virtual(scene())


def test_what_is_carried_comes_first_in_the_next_utterance_and_is_there_once() -> None:
    async def scene() -> None:
        audio = listening(pre_roll_ms=1000)
        fed(audio, 0, 1600)
        audio.start(1, from_ms=0)
        audio.carried = audio.end("typed")
        fed(audio, 1600, 3200)
        audio.start(2, from_ms=50)  # the pre-roll reaches into what is carried
        utterance = audio.end("more")
        assert utterance is not None
        assert np.array_equal(utterance.audio, ramp(0, 3200))
        assert utterance.typed == "typed more"
        assert audio.carried is None

    run_virtual(scene())
