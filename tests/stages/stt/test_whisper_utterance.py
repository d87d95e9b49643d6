"""An utterance's audio: where it is cut, how loud it is, whether it has a pause."""

import math

import numpy as np
import pytest

from stages.stt._levels import loudest_db, samples_of
from stages.stt._whisper_utterance import (
    PIECE_SAMPLES,
    Heard,
    WhisperUtterance,
    is_one_phrase,
)


def sound(*spans: tuple[float, float]) -> bytes:
    """Audio: seconds and level of every span, with noise far below speech."""
    noise = np.random.default_rng(1)
    parts = []
    for seconds, level in spans:
        length = round(seconds * 16_000)
        tone = np.sin(np.arange(length) * 0.2) * level
        parts.append(tone + noise.standard_normal(length) * 3)
    return np.concatenate(parts).astype(np.int16).tobytes()


def utterance(audio: bytes) -> WhisperUtterance:
    return WhisperUtterance(lambda *told, **more: None, False, audio=bytearray(audio))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spans", "one"),
    [
        (((0.2, 0), (3, 8000), (0.3, 0)), True),
        (((0.2, 0), (2, 8000), (0.15, 0), (2, 8000), (0.3, 0)), True),  # a consonant's stop
        (((0.2, 0), (2, 8000), (0.3, 0), (2, 8000), (0.3, 0)), False),
        (((0.2, 0), (6.5, 8000), (0.3, 0)), False),  # too long for one phrase
        (((3, 8000),), False),  # nothing is quiet: noise may hide a pause
        (((0.01, 8000),), False),
    ],
)
def test_a_phrase_is_short_and_has_no_pause(
    spans: tuple[tuple[float, float], ...], one: bool
) -> None:
    assert is_one_phrase(samples_of(sound(*spans))) is one


def test_the_loudest_slice_counts() -> None:
    assert loudest_db(samples_of(bytes(3200))) == -math.inf
    assert loudest_db(samples_of(sound((1, 0), (0.1, 8000)))) == pytest.approx(-15.3, abs=0.2)
    assert loudest_db(samples_of(sound((0.01, 8000)))) == pytest.approx(-15.3, abs=0.5)


def test_a_piece_ends_in_the_quietest_place_however_the_audio_arrived() -> None:
    audio = sound((5, 8000), (0.5, 0), (9, 8000), (0.5, 0), (10, 8000))
    whole = utterance(audio)
    assert whole.has_piece
    piece = whole.piece()
    assert len(piece) / 32_000 == pytest.approx(14.75, abs=0.16)
    early = utterance(audio[: 2 * PIECE_SAMPLES])
    assert early.piece() == piece


def test_a_decoded_piece_leaves_its_text_and_the_rest_of_the_audio() -> None:
    one = utterance(sound((25, 8000)))
    one.agreement.add("we used")
    one.seen_bytes = 2 * PIECE_SAMPLES
    for start_ms, text in ((0, "We used Redis."), (12_000, "It was fast.")):
        one.decoded(bytes(12 * 32_000), Heard(text, 12.0, words=(("We", 100, 300),)))
        assert one.before[-1].words == (("We", start_ms + 100, start_ms + 300),)
    assert one.audio_s == 1.0
    assert (one.shown, one.seen_bytes) == ("We used Redis. It was fast.", 0)
    assert not one.has_piece
