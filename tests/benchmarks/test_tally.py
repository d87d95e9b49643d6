from array import array

import pytest

from benchmarks.caller import Turn
from benchmarks.tally import Tally


class Finished:
    """What a tally reads of a caller whose call is over."""

    def __init__(self, *turns: Turn, faults: tuple[dict[str, object], ...] = ()) -> None:
        self.turns = {turn.turn: turn for turn in turns}
        self.lag_s = array("d", [0.001, 0.002])
        self.faults = list(faults)


def step_down(turn: int, source: str, target: str, *, stage: str = "stt") -> dict[str, object]:
    return {"type": "degraded", "turn": turn, "stage": stage, "from": source, "to": target}


def replied(**fields: object) -> Turn:
    turn = Turn(1, stopped_at=10.0, ready_at=9.990, ended_at=9.190, **fields)
    for arrival, position in ((10.002, 0.0), (10.002, 20.0), (10.252, 300.0)):
        turn.arrivals.append(arrival)
        turn.positions_ms.append(position)
    return turn


def tally_of(*turns: Turn, **extra: object) -> Tally:
    tally = Tally()
    tally.add(Finished(*turns, **extra))
    return tally


def test_answered_turn_is_timed_from_decision_readiness_and_end_of_speech():
    tally = tally_of(replied())
    assert tally.decision_to_first == pytest.approx([2.0])
    assert tally.ready_to_decision == pytest.approx([10.0])
    assert tally.voice_to_voice == pytest.approx([812.0])
    # The third frame is due 120 ms after the first one and came after 250.
    assert tally.lateness == pytest.approx([0.0, 0.0, 130.0])
    assert tally.frames_unheard == 0


def test_turn_without_reply_has_a_decision_and_nothing_else():
    tally = tally_of(Turn(1, stopped_at=10.0, ready_at=9.990, ended_at=9.190))
    assert tally.ready_to_decision == pytest.approx([10.0])
    assert tally.decision_to_first == []
    assert tally.voice_to_voice == []


def test_opening_question_counts_for_lateness_alone():
    turn = Turn(0)
    turn.arrivals.append(5.0)
    turn.positions_ms.append(0.0)
    tally = tally_of(turn)
    assert tally.lateness == [0.0]
    assert tally.decision_to_first == []


@pytest.mark.parametrize(("clear_at", "expected"), [(10.3, 0.0), (10.240, 12.0)])
def test_interrupted_reply_is_timed_from_clear_to_its_last_frame(clear_at, expected):
    tally = tally_of(replied(clear_at=clear_at, frames_after_clear=1))
    assert tally.clear_to_last == pytest.approx([expected])
    assert tally.frames_after_clear == 1


def test_faults_are_counted_by_what_they_are():
    tally = tally_of(
        faults=(
            {"type": "error", "code": "flooding"},
            step_down(1, "whisper", "pocketsphinx"),
            step_down(2, "whisper", "pocketsphinx"),
            step_down(2, "pocketsphinx", "canned line"),
            step_down(3, "face", "visemes", stage="avatar"),
        )
    )
    assert tally.faults == {
        "flooding": 1,
        "degraded.stt: whisper → pocketsphinx": 2,
        "degraded.stt: pocketsphinx → canned line": 1,
        "degraded.avatar: face → visemes": 1,
    }
    assert tally.stepped_down == 2


def test_recognised_turns_are_counted_by_recogniser():
    tally = tally_of(
        Turn(1, transcript="yes", recogniser="whisper"),
        Turn(2, transcript="no", recogniser="whisper"),
        Turn(3, transcript="", recogniser="whisper"),
        Turn(4, transcript="well"),
    )
    assert tally.recognisers == {"whisper": 2, "unknown": 1}
    assert tally.understood == 3


def test_report_summarises_values_and_keeps_counts():
    report = tally_of(replied()).as_dict()
    assert report["spoken"] == 0
    assert report["barge_ins"] == 0
    assert report["speech_to_last"] is None
    assert report["lag"] == {"count": 2, "p50": 1.0, "p95": 2.0, "p99": 2.0, "max": 2.0}
