"""How busy a recogniser is, and how long utterances wait for it: arithmetic alone."""

import pytest

from stages.stt.recogniser_load import BUSY_S, QUEUE_S, SHARED_S, RecogniserLoad


def test_the_shortest_wait_counts() -> None:
    load = RecogniserLoad()
    for person in "abc":  # all finish at the same moment, and decoding takes 0.5 s each
        load.finished(person, 10.0)
    waits = []
    for place, person in enumerate("abc", 1):
        now = 10.0 + place * 0.5
        load.answered(person, 0.5, place * 0.5, now)
        waits.append(load.queue_s(now))
    assert waits == [0.0, 0.0, 0.0]
    assert load.queue_s(10.5 + QUEUE_S) == 0.5
    assert load.queue_s(20.0) == 0.0


def test_a_queue_that_never_empties_is_seen() -> None:
    load = RecogniserLoad()
    for second in range(10):
        load.finished(second, float(second))
    for second in range(10):
        load.answered(second, 0.1, second * 0.1, second + 3.0)
    assert load.queue_s(12.0) == pytest.approx(2.9)


def test_without_an_answer_the_one_behind_the_first_tells_how_long_it_waits() -> None:
    load = RecogniserLoad()
    load.finished("decodes", 1.0)
    assert load.queue_s(5.0) == 0.0
    load.finished("waits", 2.0)
    load.finished("waits too", 4.0)
    assert load.queue_s(5.0) == 3.0
    load.dropped("waits")
    assert load.queue_s(5.0) == 1.0
    load.dropped("waits")
    load.finished("decodes", 5.0)  # in another process, from its beginning
    assert load.queue_s(6.0) == 1.0


def test_an_answer_that_nobody_waits_for_any_more_counts_for_nothing_but_its_work() -> None:
    load = RecogniserLoad()
    load.finished("one", 0.0)
    load.finished("two", 0.0)
    load.dropped("one")
    load.answered("one", 2.0, 2.0, 3.0)
    assert load.queue_s(3.0) == 0.0
    assert load.factor(3.0) == pytest.approx(2.0 / BUSY_S)


def test_the_factor_is_the_share_of_the_time_in_which_it_decodes() -> None:
    load = RecogniserLoad()
    load.finished("another", 9.0)
    for second in range(10):
        load.finished(second, float(second))
        load.answered(second, 0.85, (second + 1) * 0.85, second + 0.9)
    assert load.factor(9.9) == pytest.approx(0.85)
    assert load.factor(9.9 + BUSY_S / 2) == pytest.approx(0.425)
    assert load.factor(30.0) == 0.0


def test_one_persons_slow_recogniser_is_no_overload() -> None:
    load = RecogniserLoad()
    for second in range(0, 40, 4):
        load.finished(second, float(second))
        load.answered(second, 3.9, (second / 4 + 1) * 3.9, second + 3.9 + SHARED_S / 2)
        assert load.factor(second + 4.0) == 0.0


def test_who_waited_for_anothers_work_was_not_alone() -> None:
    """Such as a piece of a long answer, whose person goes on."""
    load = RecogniserLoad()
    load.answered("before", 0.0, 10.0, -5.0)
    load.finished("short", 0.0)
    load.answered("short", 0.5, 14.0, 4.0)
    assert load.factor(4.0) == pytest.approx(4.0 / BUSY_S)


def test_what_was_decoded_before_the_time_that_is_judged_does_not_count() -> None:
    """People give answers of a minute, which are decoded as they come."""
    load = RecogniserLoad()
    load.finished("one", 0.0)
    load.answered("one", 0.2, 1.0, 1.0)
    load.finished("one", 60.5)
    load.finished("other", 60.6)
    load.answered("one", 0.2, 13.0, 61.0)
    assert load.factor(61.0) == pytest.approx(0.2)
    load.answered("other", 0.2, 13.2, 61.2)
    assert load.factor(61.2) == pytest.approx(0.22)


def test_what_a_shared_model_decodes_for_other_processes_counts_in_each_of_them() -> None:
    ours, theirs = RecogniserLoad(), RecogniserLoad()
    for load in (ours, theirs):
        load.finished("another", 9.0)
    busy_s = 500.0  # the model is older than both
    for second in range(10):
        busy_s += 0.9
        load = theirs if second % 2 else ours
        load.finished(second, float(second))
        load.answered(second, 0.9, busy_s, second + 0.95)
    assert theirs.factor(9.95) == pytest.approx(0.9 * 9 / BUSY_S)  # of its first one the own part
    assert ours.factor(9.95) == pytest.approx(0.9 * 9 / BUSY_S)


def test_a_model_in_a_new_process_begins_to_count_anew() -> None:
    load = RecogniserLoad()
    load.finished("one", 0.0)
    load.finished("two", 0.0)
    load.answered("one", 1.0, 90.0, 1.0)
    load.answered("two", 0.5, 0.75, 2.0)
    assert load.factor(2.0) == pytest.approx(1.75 / BUSY_S)
