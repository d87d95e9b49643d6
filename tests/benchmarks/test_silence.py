from typing import Any

import pytest

from benchmarks.caller import Caller, Turn
from benchmarks.result import Metric
from benchmarks.silence import Taken, metrics, taken


class Finished:
    """What is read of a caller whose call is over."""

    def __init__(self, *turns: Turn, faults: tuple[dict[str, Any], ...] = ()) -> None:
        self.turns = {turn.turn: turn for turn in turns}
        self.faults = list(faults)


def call(*turns: Turn, faults: tuple[dict[str, Any], ...] = ()) -> Caller:
    finished: Any = Finished(*turns, faults=faults)
    return finished


def broken(found: list[Metric]) -> list[str]:
    return [metric.name for metric in found if not metric.holds]


def test_a_call_in_which_nothing_was_heard_took_nothing() -> None:
    assert Taken("quiet", 0, (), 0) == taken("quiet", call(Turn(0)))


def test_words_apologies_and_errors_of_a_call_are_counted() -> None:
    heard = call(
        Turn(0),
        Turn(1, started_at=3.0, transcript="thanks for watching"),
        Turn(2, started_at=9.0, transcript=""),
        faults=(
            {"type": "degraded", "stage": "stt", "from": "whisper", "to": "canned line"},
            {"type": "degraded", "stage": "stt", "from": "whisper", "to": "pocketsphinx"},
            {"type": "error", "code": "internal"},
        ),
    )
    assert Taken("breath", 2, ("thanks for watching",), 1, ("internal",)) == taken("breath", heard)


@pytest.mark.parametrize(
    ("one", "stored", "expected"),
    [
        (Taken("breath", 7, (), 7), 0, []),
        (Taken("breath", 1, ("you",), 0), 0, ["silero: transcripts with words"]),
        (Taken("breath", 0, (), 0), 1, ["silero: answers stored"]),
        (Taken("breath", 0, (), 0, ("internal",)), 0, ["silero: sessions with an error"]),
    ],
)
def test_no_sound_may_become_an_answer(one: Taken, stored: int, expected: list[str]) -> None:
    assert expected == broken(metrics("silero", [Taken("quiet", 0, (), 0), one], stored))
