"""When a worker process is given up, as a function of time."""

from collections.abc import Callable

import pytest

from stages._heartbeat import HELD_UP_S, SUSPECT_S, Heartbeat

EVERY_S, STALL_S = 0.5, 10.0
NOTICED_S = 2.5


def no() -> bool:
    return False


def yes() -> bool:
    return True


def heartbeat(stall_s: float = STALL_S) -> Heartbeat:
    return Heartbeat(0.0, every_s=EVERY_S, stall_s=stall_s)


def dies_at(heart: Heartbeat, stopped: Callable[[], bool], late_s: float = 0.0) -> float:
    """When the process that says nothing is given up; every timer is `late_s` late."""
    for _ in range(1000):
        now = heart.deadline + late_s
        if heart.expire(now, stopped) == "dead":
            return now
    raise AssertionError("it is never given up")


def test_a_process_that_answers_lives() -> None:
    heart = heartbeat()
    pings = 0
    for _ in range(100):
        at = heart.deadline
        pings += heart.expire(at, yes) == "ping"
        heart.heard(at + 1.0)
    assert pings == 100


def test_nothing_is_due_before_the_deadline() -> None:
    heart = heartbeat()
    assert heart.expire(0.49, yes) == "alive"
    assert heart.expire(0.5, yes) == "ping"
    assert heart.expire(0.6, yes) == "alive"


def test_a_stopped_process_is_noticed_soon() -> None:
    assert dies_at(heartbeat(), yes) == EVERY_S + SUSPECT_S <= NOTICED_S


def test_a_process_that_a_busy_machine_starves_is_waited_for() -> None:
    assert dies_at(heartbeat(), no) == EVERY_S + STALL_S


def test_one_that_is_stopped_later_is_noticed_at_the_next_look() -> None:
    looks = iter([False, False, True])
    assert dies_at(heartbeat(), lambda: next(looks)) == EVERY_S + SUSPECT_S + 2 * EVERY_S


def test_a_sign_of_life_ends_the_suspicion() -> None:
    heart = heartbeat()
    assert heart.expire(0.5, no) == "ping"
    assert heart.expire(2.0, no) == "alive"
    heart.heard(2.1)
    assert (heart.asked_at, heart.deadline) == (None, 2.6)
    heart.heard(2.2)  # nobody asked: the next ping is no later
    assert heart.deadline == 2.6


def test_who_was_held_up_itself_looks_once_more_before_it_judges() -> None:
    heart = heartbeat()
    assert heart.expire(0.5, yes) == "ping"
    assert heart.expire(heart.deadline + HELD_UP_S + 5.0, yes) == "alive"
    heart.heard(8.0)  # the answer was there, but nobody had read it
    assert heart.asked_at is None


def test_time_in_which_nobody_looked_does_not_count() -> None:
    heart = heartbeat()
    heart.expire(0.5, no)
    heart.expire(heart.deadline + 60.0, no)
    assert dies_at(heart, no) == pytest.approx(0.5 + 60.0 + STALL_S)


def test_a_short_limit_holds() -> None:
    assert dies_at(heartbeat(stall_s=0.3), no) == EVERY_S + 0.3
