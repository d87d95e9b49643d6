"""Long recordings cut in pauses."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.interviews.uploads.segments import LONGEST_MS, Span, SpeechRuns, pieces

MS = 16
LONGEST = LONGEST_MS * MS


def span(start_ms: int, end_ms: int) -> Span:
    return Span(start_ms * MS, end_ms * MS)


def runs(*speech_ms: tuple[int, int], length_ms: int = 60_000, chunk_ms: int = 32) -> list[Span]:
    """The runs that voice detection finds in a recording with speech in these places."""
    voice = SpeechRuns()
    for end in range(chunk_ms, length_ms + 1, chunk_ms):
        loud = any(start <= end - chunk_ms / 2 < stop for start, stop in speech_ms)
        voice.add(end * MS, 0.9 if loud else 0.1)
    return voice.runs()


def cuts(*speech_ms: tuple[int, int], length_ms: int) -> list[tuple[int, int]]:
    found = pieces([span(*pair) for pair in speech_ms], length_ms * MS)
    return [(piece.start // MS, piece.end // MS) for piece in found]


def test_speech_is_found_where_it_is() -> None:
    assert [span(3200, 6400), span(9600, 12_800)] == runs((3200, 6400), (9600, 12_800))


def test_a_breath_parts_nothing() -> None:
    assert [span(3200, 6400)] == runs((3200, 4800), (4960, 6400))


def test_doubt_neither_begins_nor_ends_speech() -> None:
    voice = SpeechRuns()
    for number, probability in enumerate([0.1, 0.45, 0.6, 0.4, 0.45, 0.2, 0.45]):
        voice.add((number + 1) * 512, probability)
    assert [Span(1024, 2560)] == voice.runs()


def test_silence_has_no_pieces() -> None:
    assert pieces(runs(), 60_000 * MS) == []


def test_a_short_answer_is_one_piece_with_a_little_round_it() -> None:
    assert cuts((1000, 4000), (6000, 9000), length_ms=12_000) == [(700, 9300)]
    assert cuts((100, 9000), length_ms=9100) == [(0, 9100)]


def test_a_long_silence_is_left_out() -> None:
    assert cuts((1000, 4000), (20_000, 22_000), length_ms=30_000) == [(700, 4300), (19_700, 22_300)]


def test_a_long_answer_is_parted_at_its_longest_pause() -> None:
    found = cuts((0, 6000), (6500, 14_000), (15_500, 20_000), (20_400, 28_000), length_ms=28_000)
    assert found == [(0, 14_300), (15_200, 28_000)]


def test_a_long_pause_near_the_beginning_makes_no_tiny_piece() -> None:
    found = cuts((0, 2000), (4000, 14_000), (14_600, 20_000), (20_400, 28_000), length_ms=28_000)
    assert found == [(0, 14_300), (14_300, 28_000)]


def test_a_pause_near_the_beginning_is_better_than_none() -> None:
    found = cuts((0, 2000), (4000, 28_000), length_ms=28_000)
    assert found == [(0, 2300), (3700, 28_000)]


def test_pieces_share_a_short_pause() -> None:
    found = cuts((0, 20_000), (20_300, 30_000), length_ms=30_000)
    assert found == [(0, 20_150), (20_150, 30_000)]


def test_speech_without_a_pause_is_cut_where_it_is_least_like_speech() -> None:
    voice = SpeechRuns()
    for number in range(1, 1600):
        voice.add(number * 512, 0.6 if number == 600 else 0.95)
    first, *_ = pieces(voice.runs(), 1600 * 512)
    assert first.end == 600 * 512


@given(
    st.lists(st.tuples(st.integers(0, 5_000), st.integers(32, 40_000)), max_size=40),
    st.integers(0, 2_000),
)
def test_every_run_is_in_a_piece_and_no_piece_is_too_long(
    lengths: list[tuple[int, int]], after_ms: int
) -> None:
    at, speech = 0, []
    for gap_ms, run_ms in lengths:
        speech.append((at + gap_ms, at + gap_ms + run_ms))
        at = speech[-1][1]
    length_ms = at + after_ms
    found_runs = runs(*speech, length_ms=length_ms, chunk_ms=32)
    found = pieces(found_runs, length_ms * MS)
    assert all(0 <= piece.start < piece.end <= length_ms * MS for piece in found)
    assert all(piece.length <= LONGEST for piece in found)
    assert all(a.end <= b.start for a, b in itertools.pairwise(found))
    for run in found_runs:
        assert any(piece.start <= run.start and run.end <= piece.end for piece in found)


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_ten_minutes_of_anything_are_cut(probability: float) -> None:
    voice = SpeechRuns()
    for number in range(1, 18_751):
        voice.add(number * 512, probability)
    found = pieces(voice.runs(), 18_750 * 512)
    assert (25 if probability else 0) <= len(found) <= (50 if probability else 0)
