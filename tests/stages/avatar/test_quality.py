"""Each test is a table of seconds: what happened in each of them, and the level after it."""

import pytest

from pipeline.ladder import MAX_RISE_S, RELAPSE_S, RISE_S, Ladder, LadderStep
from stages.avatar.quality import (
    FEW,
    LATE_MS,
    MESSAGE_LEVELS,
    QUALITY_LEVELS,
    PictureLoad,
    QualityLevel,
    level_at,
)

FULL, HALF, SMALL, VISEMES = QUALITY_LEVELS


class Seconds:
    """Pictures and a ladder that live through seconds in which the same things happen."""

    def __init__(self, threads: int = 2) -> None:
        self.ladder = Ladder()
        self.ladder.shown(lambda *step: None)
        self.load = PictureLoad(threads)
        self.now = 100.0
        self._judge(self.now)

    def _judge(self, now: float) -> None:
        if (verdict := self.load.judged(self.ladder.step, now)) is not None:
            self.ladder.drew(verdict, now)

    def pass_by(
        self,
        seconds: int = 1,
        *,
        pictures: int = 0,
        late: int = 0,
        refused: int = 0,
        cost_ms: float = 0.3,
    ) -> QualityLevel:
        for _ in range(seconds):
            for number in range(pictures):
                late_ms = LATE_MS + 1 if number < late else -10.0
                self._judge(self.now + number / (pictures + 1))
                self.load.encoded(late_ms, cost_ms)
            for _ in range(refused):
                self._judge(self.now + 0.9)
                self.load.refused()
            self.now += 1
            self._judge(self.now)
        return level_at(self.ladder.step)


def test_pictures_begin_on_the_top_rung() -> None:
    assert level_at(Seconds().ladder.step) == QualityLevel("25 fps", 40, 320)


@pytest.mark.parametrize("levels", [QUALITY_LEVELS, MESSAGE_LEVELS], ids=["video", "messages"])
def test_rungs_get_cheaper_and_the_last_costs_nothing(levels: tuple[QualityLevel, ...]) -> None:
    work = [level.work for level in levels]
    assert work == sorted(work, reverse=True)
    assert work[-1] == 0
    assert [level_at(step, levels) for step in LadderStep] == [*levels, levels[-1], levels[-1]]


@pytest.mark.parametrize(
    ("second", "level"),
    [
        ({}, FULL),
        ({"pictures": 25}, FULL),
        ({"pictures": 25, "late": 6}, FULL),  # a pause of a quarter of a second
        ({"pictures": 25, "late": 7}, HALF),
        ({"pictures": 1000, "late": 250}, FULL),
        ({"pictures": 1000, "late": 251}, HALF),
        ({"pictures": 15, "refused": 5}, FULL),
        ({"pictures": 14, "refused": 6}, HALF),
        ({"pictures": 10, "late": 3, "refused": 1}, HALF),
        ({"refused": FEW}, HALF),
        ({"pictures": FEW - 1, "late": FEW - 1}, FULL),  # too few to tell
        ({"pictures": 1000, "cost_ms": 1.0}, FULL),  # half of what two threads can do
        ({"pictures": 1000, "cost_ms": 1.01}, HALF),
    ],
)
def test_a_bad_second_costs_a_level(second: dict[str, float], level: QualityLevel) -> None:
    assert Seconds().pass_by(**second) == level  # type: ignore[arg-type]


def test_the_load_counts_against_all_threads() -> None:
    busy = {"pictures": 600, "cost_ms": 1.0}
    assert Seconds(threads=1).pass_by(**busy) == HALF  # type: ignore[arg-type]
    assert Seconds(threads=2).pass_by(**busy) == FULL  # type: ignore[arg-type]


def test_it_takes_three_bad_seconds_to_the_bottom_and_stays_there() -> None:
    seconds = Seconds()
    went = [seconds.pass_by(pictures=20, late=20) for _ in range(4)]
    assert went == [HALF, SMALL, VISEMES, VISEMES]


def test_it_says_why() -> None:
    seconds = Seconds()
    seconds.pass_by(pictures=20, late=8, refused=2)
    assert seconds.ladder.reason == "10 of 22 pictures late or refused within a second"
    seconds.pass_by(pictures=1000, cost_ms=1.4)
    assert seconds.ladder.reason == "70% of the drawing threads' time used"
    seconds.pass_by(int(RISE_S))
    assert seconds.ladder.reason == "calm for 10 s"


@pytest.mark.parametrize("calm", [{}, {"pictures": 12}, {"pictures": 100, "late": 5}])
def test_calm_brings_it_up_a_rung_at_a_time(calm: dict[str, int]) -> None:
    seconds = Seconds()
    seconds.pass_by(2, pictures=20, late=20)
    assert seconds.pass_by(int(RISE_S) - 1, **calm) == SMALL  # type: ignore[arg-type]
    assert seconds.pass_by(**calm) == HALF  # type: ignore[arg-type]
    assert seconds.pass_by(int(RISE_S) - 1, **calm) == HALF  # type: ignore[arg-type]
    assert seconds.pass_by(**calm) == FULL  # type: ignore[arg-type]


def test_windows_between_calm_and_bad_change_nothing() -> None:
    seconds = Seconds()
    seconds.pass_by(pictures=20, late=20)
    assert seconds.pass_by(1000, pictures=100, late=10) == HALF


def test_a_restless_second_begins_the_wait_anew() -> None:
    seconds = Seconds()
    seconds.pass_by(pictures=20, late=20)
    seconds.pass_by(int(RISE_S) - 1)
    seconds.pass_by(pictures=100, late=10)
    assert seconds.pass_by(int(RISE_S) - 1) == HALF
    assert seconds.pass_by() == FULL


def test_it_stays_down_while_what_is_drawn_would_not_fit_above() -> None:
    """Half the pictures at 20 % of the time are all of them at 40 %: no room, yet nothing bad."""
    seconds = Seconds(threads=1)
    seconds.pass_by(pictures=20, late=20)
    assert seconds.pass_by(100, pictures=200, cost_ms=1.0) == HALF
    assert seconds.pass_by(int(RISE_S), pictures=170, cost_ms=1.0) == FULL


def test_a_small_picture_is_foreseen_to_cost_more_when_it_is_large() -> None:
    seconds = Seconds(threads=1)
    seconds.pass_by(2, pictures=20, late=20)
    assert seconds.pass_by(100, pictures=130, cost_ms=1.0) == SMALL  # 2.8 times 13 %
    assert seconds.pass_by(int(RISE_S), pictures=120, cost_ms=1.0) == HALF


def test_a_rise_that_fails_doubles_the_wait() -> None:
    seconds = Seconds()
    seconds.pass_by(pictures=20, late=20)
    wait = int(RISE_S)
    while wait < MAX_RISE_S:
        assert seconds.pass_by(wait - 1) == HALF
        assert seconds.pass_by() == FULL
        assert seconds.pass_by(pictures=20, late=20) == HALF
        wait *= 2
    assert seconds.pass_by(int(MAX_RISE_S) - 1) == HALF
    assert seconds.pass_by() == FULL
    seconds.pass_by(pictures=20, late=20)
    assert seconds.pass_by(int(MAX_RISE_S)) == FULL  # it never waits longer than that


def test_a_rise_that_holds_is_forgiven() -> None:
    seconds = Seconds()
    for _ in range(3):
        seconds.pass_by(pictures=20, late=20)
        assert seconds.pass_by(int(RISE_S)) == FULL
        assert seconds.pass_by(int(RELAPSE_S), pictures=25) == FULL


def test_seconds_that_were_not_looked_at_count_as_one_window() -> None:
    """Without a session nothing is judged; the load is per second all the same."""
    load = PictureLoad(1)
    assert load.judged(LadderStep.EVERYTHING, 0.0) is None
    load.encoded(0, 2000)
    verdict = load.judged(LadderStep.EVERYTHING, 100.0)
    assert verdict is not None
    assert (verdict.since, verdict.bad, verdict.calm) == (0.0, None, True)
    load.encoded(0, 2000)
    verdict = load.judged(LadderStep.EVERYTHING, 101.0)
    assert verdict is not None
    assert (verdict.bad, verdict.calm) == ("200% of the drawing threads' time used", False)


def test_fifty_speakers_fit_on_a_thread() -> None:
    """At 0.25 ms a picture, which is what H.264 takes."""
    assert Seconds(threads=1).pass_by(60, pictures=50 * 25, cost_ms=0.25) == FULL
    assert Seconds(threads=1).pass_by(1, pictures=100 * 25, cost_ms=0.25) == HALF


def test_a_window_with_pictures_is_pending_until_it_is_judged() -> None:
    load = PictureLoad(1)
    assert load.judged(LadderStep.EVERYTHING, 10.0) is None
    assert not load.pending
    for begun, record in ((10.0, load.refused), (20.0, lambda: load.encoded(0.0, 1.0))):
        record()
        assert load.pending
        assert load.judged(LadderStep.EVERYTHING, begun + 0.5) is None
        assert load.pending
        assert load.judged(LadderStep.EVERYTHING, begun + 10.0) is not None
        assert not load.pending
