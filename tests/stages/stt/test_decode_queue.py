"""The order of decodes, as tables."""

import math

import pytest

from stages.stt._decode_queue import MOST_WAITING, DecodeQueue


def queue_of_one_second() -> DecodeQueue:
    """A queue that expects every decode of 8 s to take a second."""
    queue = DecodeQueue()
    queue.decoded(8.0, 1.0)
    return queue


def order(*entries: tuple[int, float], now_s: float = 0.0) -> tuple[list[int], list[int]]:
    """The jobs that are decoded and those that are refused; an entry is a job and its deadline."""
    queue = queue_of_one_second()
    for job, due_s in entries:
        assert queue.add(job, 8.0, due_s)
    refused = list(queue.late(now_s))
    decoded = []
    while (job := queue.next()) is not None:
        decoded.append(job)
    return decoded, refused


@pytest.mark.parametrize(
    ("entries", "decoded", "refused"),
    [
        ((), [], []),
        (((1, math.inf), (2, math.inf)), [1, 2], []),  # in the order of arrival
        (((1, 5.0), (2, 5.0), (3, 5.0)), [1, 2, 3], []),
        (((1, 9.0), (2, 5.0)), [2, 1], []),  # what is due first
        (((1, math.inf), (2, 5.0)), [2, 1], []),  # a recording waits for those who talk
        (((1, 0.9),), [1], []),  # the first is tried, however long it may take
        (((1, 1.1), (2, 1.2), (3, 3.0)), [1, 3], [2]),  # the second is too late behind the first
        (((1, -1.0), (2, 1.0)), [2], [1]),  # what is overdue costs the others nothing
        (((1, -1.0),), [1], []),  # what is overdue is waited for where nobody else waits
        (((1, -2.0), (2, -1.0)), [1], [2]),
    ],
)
def test_who_is_decoded_and_who_is_refused(
    entries: tuple[tuple[int, float], ...], decoded: list[int], refused: list[int]
) -> None:
    assert order(*entries) == (decoded, refused)


def test_one_who_asks_again_is_behind_those_who_waited() -> None:
    queue = queue_of_one_second()
    served = []
    for job in (1, 2, 3):
        queue.add(job, 2.0)
    for job in range(4, 9):  # one session speaks on, and asks again, after every decode of its own
        served.append(queue.next())
        if served[-1] in (1, *range(4, 9)):
            queue.add(job, 2.0)
    assert served == [1, 2, 3, 4, 7]


def test_a_cancelled_utterance_is_dropped_before_it_starts() -> None:
    queue = queue_of_one_second()
    queue.add(1, 8.0)
    queue.add(2, 8.0)
    queue.remove(1)
    queue.remove(77)
    assert (len(queue), queue.next(), queue.next()) == (1, 2, None)


def test_the_number_that_waits_is_bounded() -> None:
    queue = queue_of_one_second()
    assert [queue.add(job, 1.0) for job in range(MOST_WAITING + 1)] == [True] * MOST_WAITING + [
        False
    ]


def test_the_cost_is_learnt_from_what_decodes_take() -> None:
    queue = queue_of_one_second()
    assert queue.cost_s(8.0) == pytest.approx(1.0)
    for _ in range(30):
        queue.decoded(8.0, 0.25)
    assert queue.cost_s(8.0) == pytest.approx(0.25, rel=0.01)
    queue.add(1, 8.0, due_s=0.3)
    assert queue.late(0.0) == ()
