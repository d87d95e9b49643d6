"""The steps of a process: when they are taken, and when they are taken back."""

from itertools import pairwise

import pytest

from pipeline.ladder import (
    MAX_RISE_S,
    PRESSED_S,
    RELAPSE_S,
    RISE_S,
    TARGETS,
    Ladder,
    LadderStep,
    PictureVerdict,
)

BUSY = "the processor is 80% busy"
EVERY_S = 0.5
"""How often the load is measured."""


def nobody(before: LadderStep, after: LadderStep, reason: str) -> None:
    """A client that is shown a face."""


class Halves:
    """A ladder that lives through half seconds of the same load. With `faces` one is shown."""

    def __init__(self, *, lighter: bool = True, faces: bool = True) -> None:
        self.ladder = Ladder(lighter=lighter)
        self.told: list[tuple[float, LadderStep, LadderStep, str]] = []
        self.ladder.on_step.append(lambda *told: self.told.append((self.now, *told)))
        self.hide = self.ladder.shown(nobody) if faces else None
        self.now = 0.0

    def strained(self, seconds: float, why: str | None = BUSY) -> LadderStep:
        for _ in range(round(seconds / EVERY_S)):
            self.ladder.strained(why, self.now)
            self.now += EVERY_S
        return self.ladder.step

    def calm(self, seconds: float) -> LadderStep:
        return self.strained(seconds, None)


def test_under_strain_it_goes_down_a_step_at_a_time_in_its_order() -> None:
    halves = Halves()
    halves.strained(100)
    assert halves.told == [
        (index * PRESSED_S, LadderStep(index), LadderStep(index + 1), BUSY)
        for index in range(LadderStep.LIGHTER_FIRST)
    ]


def test_it_comes_back_a_step_at_a_time_and_says_why() -> None:
    halves = Halves()
    halves.strained(20)
    halves.told.clear()
    over = halves.now
    halves.calm(100)
    assert halves.told[0] == (over + RISE_S, *list(LadderStep)[:3:-1], "calm for 10 s")
    assert [(before, after) for _, before, after, _ in halves.told] == [
        (LadderStep(index), LadderStep(index - 1))
        for index in range(LadderStep.LIGHTER_FIRST, 0, -1)
    ]
    times = [told[0] for told in halves.told]
    assert min(later - sooner for sooner, later in pairwise(times)) >= RISE_S


@pytest.mark.parametrize(
    ("lighter", "last"), [(True, LadderStep.LIGHTER_FIRST), (False, LadderStep.NOTHING_AHEAD)]
)
def test_lighter_providers_come_first_only_where_some_are_named(
    lighter: bool, last: LadderStep
) -> None:
    halves = Halves(lighter=lighter)
    assert halves.strained(100) is last
    assert halves.ladder.lighter_first is lighter
    assert not halves.ladder.works_ahead


def test_steps_that_nobody_would_notice_are_passed_over() -> None:
    halves = Halves(faces=False)
    assert halves.strained(EVERY_S) is LadderStep.NOTHING_AHEAD
    halves.strained(PRESSED_S)
    assert halves.calm(RISE_S + EVERY_S) is LadderStep.NOTHING_AHEAD
    assert halves.calm(RISE_S + EVERY_S) is LadderStep.EVERYTHING


def test_a_face_that_is_shown_loses_its_pictures_first_and_gets_them_back_last() -> None:
    halves = Halves()
    assert halves.strained(EVERY_S) is LadderStep.FEWER_PICTURES
    assert halves.hide is not None
    halves.hide()
    halves.hide()
    assert halves.calm(RISE_S + EVERY_S) is LadderStep.EVERYTHING
    halves.strained(EVERY_S)
    halves.ladder.shown(nobody)
    assert halves.calm(RELAPSE_S) is LadderStep.NO_PICTURES


def test_a_face_is_told_of_every_change_until_it_is_forgotten() -> None:
    halves = Halves(faces=False)
    told: list[tuple[LadderStep, LadderStep, str]] = []
    forget = halves.ladder.shown(lambda *step: told.append(step))
    halves.strained(EVERY_S)
    forget()
    halves.strained(PRESSED_S)
    assert told == [(LadderStep.EVERYTHING, LadderStep.FEWER_PICTURES, BUSY)]


def test_a_moment_of_strain_begins_the_wait_anew() -> None:
    halves = Halves()
    halves.strained(EVERY_S)
    halves.calm(RISE_S - EVERY_S)
    halves.strained(2.5 * EVERY_S)
    assert halves.calm(RISE_S) is LadderStep.SMALL_PICTURES
    assert halves.calm(EVERY_S) is LadderStep.FEWER_PICTURES


def test_a_step_up_that_does_not_hold_doubles_the_wait_to_the_longest() -> None:
    halves = Halves()
    halves.strained(EVERY_S)
    wait = RISE_S
    while wait < MAX_RISE_S:
        assert halves.calm(wait) is LadderStep.FEWER_PICTURES
        assert halves.calm(EVERY_S) is LadderStep.EVERYTHING
        assert halves.strained(EVERY_S) is LadderStep.FEWER_PICTURES
        wait *= 2
    assert halves.calm(MAX_RISE_S) is LadderStep.FEWER_PICTURES
    assert halves.calm(EVERY_S) is LadderStep.EVERYTHING


def test_a_step_up_that_holds_is_forgiven() -> None:
    halves = Halves()
    for _ in range(3):
        halves.strained(EVERY_S)
        assert halves.calm(RISE_S + EVERY_S) is LadderStep.EVERYTHING
        halves.calm(RELAPSE_S)


# --- pictures --------------------------------------------------------------------------------


def drew(ladder: Ladder, now: float, bad: str | None = None, *, calm: bool = True) -> LadderStep:
    ladder.drew(PictureVerdict(now - 1, bad, calm and bad is None), now)
    return ladder.step


def test_pictures_that_cost_too_much_lower_nothing_but_pictures() -> None:
    ladder = Ladder(lighter=True)
    went = [drew(ladder, float(now), "they are late") for now in range(5)]
    assert went == [
        LadderStep.FEWER_PICTURES,
        LadderStep.SMALL_PICTURES,
        *[LadderStep.NO_PICTURES] * 3,
    ]
    assert ladder.works_ahead


def test_strain_after_bad_pictures_waits_to_see_what_they_have_helped() -> None:
    halves = Halves()
    drew(halves.ladder, 0.0, "they are late")
    assert halves.strained(PRESSED_S) is LadderStep.FEWER_PICTURES
    assert halves.strained(EVERY_S) is LadderStep.SMALL_PICTURES


def test_it_does_not_rise_while_either_is_not_calm() -> None:
    halves = Halves()
    halves.strained(EVERY_S)
    for _ in range(60):
        drew(halves.ladder, halves.now, calm=False)
        assert halves.calm(1.0) is LadderStep.FEWER_PICTURES
    for _ in range(60):
        drew(halves.ladder, halves.now)
        halves.ladder.strained(BUSY if halves.now % 2 else None, halves.now)
        halves.now += 1
        assert halves.ladder.step > LadderStep.EVERYTHING
    drew(halves.ladder, halves.now)
    halves.ladder.strained(None, halves.now)
    went = [drew(halves.ladder, halves.now + second) for second in range(1, 60)]
    assert went[-1] < went[0]


def test_pictures_alone_bring_it_up_where_nothing_measures_the_machine() -> None:
    ladder = Ladder()
    ladder.shown(nobody)
    drew(ladder, 0.0, "they are late")
    assert [drew(ladder, float(now)) for now in (1, 9, 10)] == [
        LadderStep.FEWER_PICTURES,
        LadderStep.FEWER_PICTURES,
        LadderStep.EVERYTHING,
    ]


def test_each_step_has_a_name_for_people() -> None:
    assert [step.label for step in LadderStep] == [
        "everything",
        "fewer pictures",
        "small pictures",
        "no pictures",
        "nothing ahead",
        "lighter first",
    ]


def test_each_step_of_a_turn_has_a_label() -> None:
    assert {*TARGETS.values()} == {
        "after the decision",
        "filler",
        "holding line",
        "gap",
        "due line",
        "canned line",
        "text",
    }
