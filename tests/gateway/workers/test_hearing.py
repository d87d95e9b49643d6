"""Who has been silent for how long."""

from gateway.workers.hearing import Hearing


def test_a_process_is_silent_from_what_it_told_last() -> None:
    hearing = Hearing(100.0, look_every_s=1.0)
    assert [hearing.silent_s(now) for now in (101.0, 102.0)] == [1.0, 2.0]
    hearing.heard(102.5)
    assert hearing.silent_s(103.0) == 0.5


def test_a_container_that_was_paused_makes_no_process_silent() -> None:
    hearing = Hearing(100.0, look_every_s=1.0)
    assert hearing.silent_s(101.0) == 1.0
    assert hearing.silent_s(162.0) == 2.0  # 60 s late
    assert hearing.silent_s(163.0) == 3.0


def test_what_was_heard_after_a_pause_and_before_the_look_counts_in_full() -> None:
    hearing = Hearing(100.0, look_every_s=1.0)
    hearing.heard(160.9)
    assert hearing.silent_s(161.0) == 0.0
    assert hearing.silent_s(162.0) == 1.0


def test_a_parent_on_a_busy_machine_still_notices_a_process_that_stands() -> None:
    hearing, now = Hearing(0.0, look_every_s=1.0), 0.0
    for _ in range(30):
        now += 1.2  # no look is late enough to count
        silent_s = hearing.silent_s(now)
    assert silent_s == now
