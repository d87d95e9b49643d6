"""Order, retries, and what counts as done."""

from gateway.events.deliveries import BACK_WITHIN_S, MOST_EARLY, WINDOW, Deliveries, DeliveryPolicy
from gateway.events.event import EVENT_TYPES, OutboxEvent

ALL = frozenset(EVENT_TYPES)


def event(position: int, session: str | None = "s", type: str = "answer.accepted") -> OutboxEvent:
    return OutboxEvent(f"evt_{position}", type, session, position, 0.0, {}, position)


def positions(events: list[OutboxEvent]) -> list[int]:
    return [one.position for one in events]


def failed(
    to: Deliveries, one: OutboxEvent, now: float, chance: float = 1.0, **more: float
) -> bool:
    return to.failed(one, now, age_s=more.pop("age_s", 0.0), chance=chance, **more)


def test_the_events_of_one_session_wait_for_one_another_and_others_do_not() -> None:
    to = Deliveries(DeliveryPolicy(), ALL, 0)
    to.take([event(1), event(2), event(3, "t")], 3)
    assert positions(to.due(0.0)) == [1, 3]
    failed(to, event(1), 0.0)
    assert positions(to.due(0.5)) == []
    assert positions(to.due(1.0)) == [1]
    to.taken(event(1), 1.0, 0.0)
    assert positions(to.due(1.0)) == [2]


def test_the_wait_doubles_is_drawn_from_all_of_it_and_follows_the_receivers_wish() -> None:
    to = Deliveries(DeliveryPolicy(base_s=1.0, cap_s=8.0), ALL, 0)
    to.take([event(1)], 1)
    now, waits = 0.0, []
    for chance in (1.0, 1.0, 0.5, 1.0, 1.0):
        (one,) = to.due(now)
        failed(to, one, now, chance)
        due = to.next_due()
        assert due is not None
        waits.append(due - now)
        now = due
    assert waits == [1.0, 2.0, 2.0, 8.0, 8.0]
    (one,) = to.due(now)
    failed(to, one, now, 0.0, retry_after_s=5.0)
    assert to.next_due() == now + 5.0


def test_an_event_is_given_up_after_its_tries_or_its_age_and_the_next_one_follows() -> None:
    to = Deliveries(DeliveryPolicy(tries=2, age_s=100.0), ALL, 0)
    to.take([event(1), event(2)], 2)
    (one,) = to.due(0.0)
    assert failed(to, one, 0.0) is False
    (one,) = to.due(9.0)
    assert failed(to, one, 9.0) is True
    assert to.due(99.0) == []  # it is under way until it is kept elsewhere
    to.settle(one)
    (two,) = to.due(9.0)
    assert (two.position, failed(to, two, 9.0, age_s=100.0)) == (2, True)


def test_what_is_done_is_not_done_again_after_a_restart() -> None:
    to = Deliveries(DeliveryPolicy(), frozenset({"answer.accepted"}), 0)
    other = event(2, "s", "report.ready")  # nobody wants it
    to.take([event(1), other, event(3, "t"), event(4, "u")], 4)
    for one in to.due(0.0):
        if one.position != 1:
            to.taken(one, 0.0, 0.0)
    assert (to.at, to.done, to.open) == (0, [3, 4], 1)
    again = Deliveries(DeliveryPolicy(), frozenset({"answer.accepted"}), to.at, to.done)
    again.take([event(1), other, event(3, "t"), event(4, "u"), event(5)], 5)
    assert positions(again.due(0.0)) == [1]
    again.taken(event(1), 0.0, 0.0)
    assert (again.at, again.done, positions(again.due(0.0))) == (4, [], [5])


def test_what_was_done_and_is_erased_is_forgotten() -> None:
    to = Deliveries(DeliveryPolicy(), ALL, 1, [3, 9])
    to.take([event(4)], 4)
    assert (to.at, to.done) == (3, [9])


def test_no_more_are_under_way_than_may_be() -> None:
    to = Deliveries(DeliveryPolicy(at_once=2), ALL, 0)
    to.take([event(n, f"s{n}") for n in range(1, 6)], 5)
    first = to.due(0.0)
    assert (positions(first), to.due(0.0), to.next_due()) == ([1, 2], [], None)
    to.taken(first[0], 0.0, 0.0)
    assert positions(to.due(0.0)) == [3]


def test_a_receiver_that_is_back_gets_what_waits_within_seconds() -> None:
    to = Deliveries(DeliveryPolicy(base_s=1000.0), ALL, 0)
    to.take([event(n, f"s{n}") for n in range(1, 5)], 4)
    first = to.due(0.0)
    for one in first[:3]:
        failed(to, one, 0.0)
    to.taken(first[3], 0.0, 0.9)
    assert sorted(positions(to.due(5.0))) == [1, 2, 3]


def test_events_that_nobody_wants_do_not_make_a_wanted_one_give_way() -> None:
    to = Deliveries(DeliveryPolicy(), frozenset({"report.ready"}), 0)
    others = [event(n, f"s{n}") for n in range(2, 2 * WINDOW)]
    to.take([event(1, "s", "report.ready"), *others], 2 * WINDOW)
    assert (to.has_room, to.at, to.done, to.open) == (True, 0, [], 1)
    (one,) = to.due(0.0)
    assert failed(to, one, 0.0) is False  # the receiver is down: it is tried again
    (one,) = to.due(1.0)
    to.taken(one, 1.0, 0.0)
    assert (to.at, to.done) == (2 * WINDOW, [])


def test_events_that_were_erased_do_not_make_another_one_give_way() -> None:
    to = Deliveries(DeliveryPolicy(at_once=WINDOW), ALL, 0)
    to.take([event(n, f"s{n}") for n in range(1, WINDOW + 1)], WINDOW)
    (first, *others) = to.due(0.0)
    for one in others:
        to.settle(one)  # nothing was taken: the receiver may be down
    assert failed(to, first, 0.0) is False


def test_a_receiver_that_is_back_is_not_tried_before_it_asked_to_be() -> None:
    to = Deliveries(DeliveryPolicy(), ALL, 0)
    to.take([event(n, f"s{n}") for n in range(1, 5)], 4)
    first = to.due(0.0)
    for one in first[:3]:
        failed(to, one, 0.0, retry_after_s=60.0)
    to.taken(first[3], 0.0, 0.0)
    assert to.due(59.0) == []
    assert sorted(positions(to.due(60.0))) == [1, 2, 3]


def test_events_that_are_refused_for_good_are_not_tried_with_each_other_one_that_is_taken() -> None:
    to = Deliveries(DeliveryPolicy(), ALL, 0)
    refused, now, last = [event(n, f"s{n}") for n in range(1, 5)], 0.0, 5
    to.take(refused, 4)
    while now < 3600.0:  # of an hour in which another event is taken every ten seconds
        to.take([event(last, "ok")], last)
        for one in to.due(now):
            if one.session_id == "ok":
                to.taken(one, now, 0.0)
            else:
                assert failed(to, one, now) is False
        now, last = now + 2 * BACK_WITHIN_S, last + 1
    tries = {to.tried_before(one) for one in refused}
    assert max(tries) <= 13 + MOST_EARLY  # 12 waits that double last longer than this hour


def test_one_event_that_is_never_taken_does_not_hold_up_the_others_for_ever() -> None:
    to = Deliveries(DeliveryPolicy(base_s=1e6, cap_s=1e6), ALL, 0)
    to.take([event(n, f"s{n}") for n in range(1, WINDOW + 1)], WINDOW)
    (first, *others) = to.due(0.0)
    failed(to, first, 0.0)
    while others:
        for one in others:
            to.taken(one, 0.0, 0.0)
        others = [one for one in to.due(0.0) if one.position != 1]
        if len(to.done) == WINDOW - 1:
            break
    assert (to.has_room, to.open) == (False, 1)
    # It was due again with the last of the others: the window is full.
    assert failed(to, first, 1.0) is True
    to.settle(first)
    assert (to.at, to.has_room) == (WINDOW, True)
