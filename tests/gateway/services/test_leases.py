"""Leases of instances: they hold as long as they are renewed, and no longer."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.services.definition import Endpoint, ServiceSpec
from gateway.services.leases import MOST, MOST_OF_A_SERVICE, Lease, Leases

A, B = Endpoint("192.0.2.1", 80), Endpoint("192.0.2.2", 80, weight=3)


def lease(id: str = "a", place: Endpoint = A, service: str = "plans", ttl_s: float = 30) -> Lease:
    return Lease(service, id, place, ttl_s)


def test_a_lease_ends_unless_it_is_renewed() -> None:
    leases = Leases()
    assert leases.put(lease(), 0.0)
    assert not leases.put(lease(), 20.0)
    assert leases.expire(49.9) == []
    assert leases.next_end() == 50.0
    assert leases.expire(50.0) == [lease()]
    assert ([*leases], leases.next_end()) == ([], None)


def test_an_instance_that_has_moved_is_another_place() -> None:
    leases = Leases()
    leases.put(lease(), 0.0)
    assert leases.put(lease(place=B), 1.0)
    assert [one.endpoint for one in leases] == [B]


def test_a_lease_is_ended_by_its_name() -> None:
    leases = Leases()
    leases.put(lease(), 0.0)
    assert (leases.drop("plans", "b"), leases.drop("others", "a")) == (False, False)
    assert (leases.drop("plans", "a"), leases.drop("plans", "a")) == (True, False)


def test_there_are_so_many_and_no_more() -> None:
    leases = Leases()
    for number in range(MOST_OF_A_SERVICE):
        assert leases.has_room("plans")
        leases.put(lease(f"{number}"), 0.0)
    assert (leases.has_room("plans"), leases.has_room("others")) == (False, True)
    for number in range(MOST - MOST_OF_A_SERVICE):
        leases.put(lease("a", service=f"s{number}"), 0.0)
    assert not leases.has_room("others")


def test_what_is_stored_elsewhere_ends_there() -> None:
    leases = Leases()
    assert leases.have([lease(), lease("b", B)])
    assert not leases.have([lease("b", B), lease()])
    assert (leases.expire(1e9), leases.next_end()) == ([], None)
    assert leases.have([lease("b", B)])
    assert [one.id for one in leases] == ["b"]


def test_instances_stand_beside_those_of_the_file() -> None:
    own = Endpoint("10.0.0.1", 80, weight=2)
    plans = ServiceSpec(name="plans", instances=(own,), base_path="/api")
    leases = Leases()
    leases.put(lease("b", B), 0.0)
    leases.put(lease("again", Endpoint("10.0.0.1", 80)), 0.0)
    leases.put(lease("a", A, "others"), 0.0)
    found = leases.merged({"plans": plans, "empty": ServiceSpec(name="empty", instances=())})
    assert [*found] == ["plans", "empty", "others"]
    assert (found["plans"].instances, found["plans"].base_path) == ((own, B), "/api")
    assert found["others"] == ServiceSpec(name="others", instances=(A,))
    assert plans.instances == (own,)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(5, 60), st.floats(0, 20), st.booleans()))
)
def test_those_hold_that_were_renewed_in_time(steps: list[tuple[str, float, float, bool]]) -> None:
    leases, until, now = Leases(), dict[str, float](), 0.0
    for id, ttl_s, passed_s, drops in steps:
        now += passed_s
        over = {one for one, at in until.items() if at <= now}
        assert {one.id for one in leases.expire(now)} == over
        for one in over:
            del until[one]
        if drops:
            assert leases.drop("plans", id) == (until.pop(id, None) is not None)
        else:
            leases.put(lease(id, ttl_s=ttl_s), now)
            until[id] = now + ttl_s
        assert {one.id for one in leases} == until.keys()
        assert leases.next_end() == min(until.values(), default=None)
