"""The instance that a call gets: none that is broken, in time again, and slowly at first."""

from collections import Counter
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.services.definition import Balancing, Endpoint, ServiceSpec
from gateway.services.health import HealthState, Probed
from gateway.services.instances import BREAKER, Admission, Instance
from gateway.services.registry import Registry, Service, Unavailable
from pipeline.breaker import RESET, Breaker, BreakerState, Outcome

A, B, C = (Endpoint("10.0.0.1", 80), Endpoint("10.0.0.2", 80), Endpoint("10.0.0.3", 80))
OK, FAILED, NEUTRAL = Outcome.SUCCESS, Outcome.FAILURE, Outcome.NEUTRAL


def registry_of(*specs: ServiceSpec) -> Registry:
    ticks = count()
    return Registry(
        {spec.name: spec for spec in specs},
        chance=lambda: (next(ticks) % 10) / 10,
        made=lambda: Breaker(BREAKER),
    )


def service_of(*endpoints: Endpoint, **fields: object) -> Service:
    spec = ServiceSpec(name="plans", instances=endpoints, **fields)  # type: ignore[arg-type]
    found = registry_of(spec).find("plans")
    assert found is not None
    return found


def call(
    service: Service, now: float, outcome: Outcome = OK, **options: object
) -> str | Unavailable:
    """Make one call that ends at once; returns who had it."""
    admission = service.choose("192.0.2.1", now, **options)  # type: ignore[arg-type]
    if isinstance(admission, Unavailable):
        return admission
    admission.instance.settle(admission, outcome, now)
    admission.instance.left()
    return admission.instance.key


def admitted(service: Service, now: float = 0.0) -> Admission:
    admission = service.choose("192.0.2.1", now)
    assert isinstance(admission, Admission)
    return admission


def test_calls_go_round() -> None:
    service = service_of(A, B)
    assert [call(service, 0.0) for _ in range(4)] == [A.authority, B.authority] * 2


def test_after_three_failed_calls_an_instance_gets_none() -> None:
    service = service_of(A, B)
    for _ in range(6):
        broken = admitted(service)
        broken.instance.settle(broken, FAILED if broken.instance.key == A.authority else OK, 0.0)
        broken.instance.left()
    assert [call(service, 1.0) for _ in range(5)] == [B.authority] * 5
    assert service.instances[A.authority].failures == 3


def test_one_that_was_tried_is_asked_again_only_where_no_other_is() -> None:
    service = service_of(A, B)
    assert [call(service, 0.0, tried={A.authority}) for _ in range(3)] == [B.authority] * 3
    assert service.untried({A.authority}, 0.0)
    assert not service.untried({A.authority, B.authority}, 0.0)
    assert call(service, 0.0, tried={A.authority, B.authority}) in (A.authority, B.authority)


def test_without_any_instance_its_caller_is_told_when_to_come_back() -> None:
    service = service_of(A)
    for _ in range(3):
        call(service, 10.0, FAILED)
    assert call(service, 12.0) == Unavailable("down", 3.0)
    assert call(service, 14.9) == Unavailable("down", 1.0)


def test_one_call_finds_out_whether_it_is_well_again() -> None:
    service = service_of(A)
    for _ in range(3):
        call(service, 0.0, FAILED)
    probe = admitted(service, 5.0)
    assert probe.probe
    assert call(service, 5.0) == Unavailable("down", 1.0)
    probe.instance.settle(probe, OK, 5.1)
    assert not admitted(service, 5.1).probe


def test_a_call_that_cannot_be_repeated_is_no_probe_while_another_instance_works() -> None:
    service = service_of(A, B)
    for _ in range(3):
        call(service, 0.0, FAILED, tried={B.authority})
    assert call(service, 6.0, probe=False) == B.authority
    assert call(service, 6.0, NEUTRAL) == A.authority
    for _ in range(3):
        call(service, 6.0, FAILED, tried={A.authority})
    assert call(service, 6.0, probe=False) == A.authority


def test_a_probe_takes_an_instance_out_and_two_bring_it_back() -> None:
    service = service_of(A, B)
    instance = service.instances[A.authority]
    instance.probed(Probed(0.0, 3.0, "no answer within 3 s"))
    assert [call(service, 0.0) for _ in range(3)] == [B.authority] * 3
    for at in (5.0, 10.0):
        instance.probed(Probed(at, 0.01))
    assert instance.health.state is HealthState.UP
    assert A.authority in {call(service, 40.1) for _ in range(2)}


def test_good_probes_close_the_breaker_of_one_that_was_down() -> None:
    instance = service_of(A).instances[A.authority]
    for _ in range(3):
        admission = instance.admit(0.0)
        assert admission is not None
        instance.settle(admission, FAILED, 0.0)
    instance.probed(Probed(0.1, 0.0, "Connection refused"))
    assert [one.reason for at in (1.0, 2.0) for one in instance.probed(Probed(at, 0.0))] == [RESET]
    assert (instance.breaker.state, instance.since) == (BreakerState.CLOSED, 2.0)


def test_when_all_are_down_the_next_probe_is_when_to_come_back() -> None:
    service = service_of(A)
    service.instances[A.authority].probed(Probed(0.0, 3.0, "no answer within 3 s"))
    assert call(service, 0.0) == Unavailable("down", 5.0)


def test_an_instance_has_so_many_calls_at_once() -> None:
    service = service_of(A, B, max_connections=2)
    calls = [admitted(service) for _ in range(4)]
    assert service.choose("", 0.0) == Unavailable("busy", 1.0)
    calls[0].instance.left()
    assert admitted(service).instance is calls[0].instance


def test_one_that_has_come_back_starts_slowly() -> None:
    service = service_of(A, B, slow_start_s=30.0)
    service.instances[A.authority].since = 100.0
    shares = [service.instances[A.authority].contender(at, 30.0).share for at in (100, 115, 130)]
    assert shares == [0.1, 0.5, 1.0]
    found = Counter(call(service, 103.0) for _ in range(110))
    assert found == {A.authority: 10, B.authority: 100}


def test_a_breaker_that_closes_makes_its_instance_start_slowly() -> None:
    service = service_of(A)
    for _ in range(3):
        call(service, 0.0, FAILED)
    assert call(service, 5.0) == A.authority
    assert service.instances[A.authority].since == 5.0


def test_an_answer_that_breaks_off_counts_although_it_had_begun() -> None:
    service = service_of(A)
    instance = service.instances[A.authority]
    for _ in range(3):
        admission = admitted(service)
        instance.settle(admission, OK, 0.0)
        instance.broke_off(0.0)
        instance.left()
    assert (instance.failures, instance.breaker.state) == (3, BreakerState.CLOSED)
    for _ in range(2):
        instance.broke_off(0.1)
    assert instance.breaker.state is BreakerState.OPEN
    instance.broke_off(0.2)  # an older call, whose instance is out of use already
    assert instance.breaker.state is BreakerState.OPEN


def test_the_operator_closes_a_breaker() -> None:
    service = service_of(A)
    for _ in range(3):
        call(service, 0.0, FAILED)
    (closed,) = service.instances[A.authority].reset(1.0)
    assert (closed.reason, call(service, 1.0)) == (RESET, A.authority)


# --- other services ------------------------------------------------------------------------------


def test_what_stays_keeps_its_state_and_what_comes_starts_slowly() -> None:
    plans = ServiceSpec(name="plans", instances=(A, B))
    registry = registry_of(plans, ServiceSpec(name="gone", instances=(C,)))
    before = registry.find("plans")
    assert before is not None
    before.budget.take()
    for _ in range(3):
        call(before, 0.0, FAILED, tried={B.authority})
    heavier = replace(A, weight=7)
    changed = {
        "plans": replace(plans, instances=(heavier, C)),
        "new": replace(plans, name="new"),
    }
    registry.replace(changed, 2.0)
    after = registry.find("plans")
    assert after is not None
    assert [service.name for service in registry] == ["plans", "new"]
    assert after.instances[A.authority] is before.instances[A.authority]
    assert after.instances[A.authority].endpoint == heavier
    assert after.instances[A.authority].breaker.state is BreakerState.OPEN
    assert [one.since for one in after.instances.values()] == [None, 2.0]
    assert after.budget.left == 9
    assert registry.find("gone") is None


LEAST = ServiceSpec(name="plans", instances=(A, B), balancing=Balancing.LEAST_CONNECTIONS)


def found(registry: Registry, name: str = "plans") -> Service:
    service = registry.find(name)
    assert service is not None
    return service


@pytest.mark.parametrize("whole", [False, True], ids=["the instance", "its service"])
def test_an_instance_that_comes_back_still_has_its_websockets(whole: bool) -> None:
    registry = registry_of(LEAST)
    found(registry).instances[A.authority].websockets = 3
    without: dict[str, ServiceSpec] = {} if whole else {"plans": replace(LEAST, instances=(B,))}
    registry.replace(without, 1.0)
    if not whole:
        assert found(registry).websockets == 3, "they are the service's still"
    registry.replace({"other": replace(LEAST, name="other"), **without}, 2.0)
    assert found(registry, "other").websockets == 0
    registry.replace({"plans": LEAST}, 3.0)
    service = found(registry)
    back = service.instances[A.authority]
    assert (back.websockets, back.since, service.websockets) == (3, 3.0, 3)
    assert service.gone == {}
    # Long after it has started slowly, since it has most to do.
    assert [call(service, 100.0) for _ in range(3)] == [B.authority] * 3


def test_an_instance_that_comes_back_is_tried_like_a_new_one() -> None:
    registry = registry_of(LEAST)
    first = found(registry).instances[A.authority]
    first.websockets = 1
    for _ in range(3):
        call(found(registry), 0.0, FAILED, tried={B.authority})
    first.probed(Probed(0.0, 3.0, "no answer within 3 s"))
    registry.replace({"plans": replace(LEAST, instances=(B,))}, 1.0)
    registry.replace({"plans": LEAST}, 2.0)
    back = found(registry).instances[A.authority]
    assert (back.breaker.state, back.health.state) == (BreakerState.CLOSED, HealthState.UNKNOWN)
    assert back.usable(2.0)


def test_an_instance_that_has_gone_is_forgotten_with_its_last_call() -> None:
    registry = registry_of(LEAST)
    first = found(registry).instances[A.authority]
    first.websockets, first.in_flight = 1, 1
    alone = {"plans": replace(LEAST, instances=(B,))}
    secure = replace(A, protocol="https")
    registry.replace({"plans": replace(LEAST, instances=(secure, B))}, 1.0)
    second = found(registry).instances[A.authority]
    second.in_flight = 1
    registry.replace(alone, 1.0)
    assert [*found(registry).gone.values()] == [first, second], "one of each protocol"
    first.websockets, second.in_flight = 0, 0
    registry.replace(alone, 2.0)
    assert [*found(registry).gone.values()] == [first]
    first.in_flight = 0
    registry.replace(alone, 3.0)
    assert found(registry).gone == {}
    registry.replace({"plans": LEAST}, 4.0)
    assert found(registry).instances[A.authority] is not first


def test_a_service_that_does_not_change_is_the_same_one() -> None:
    plans = ServiceSpec(name="plans", instances=(A, B))
    registry = registry_of(plans)
    before = registry.find("plans")
    registry.replace({"plans": ServiceSpec(name="plans", instances=(A, B))}, 1.0)
    assert registry.find("plans") is before


def test_another_protocol_at_the_same_place_is_another_instance() -> None:
    plans = ServiceSpec(name="plans", instances=(A,))
    registry = registry_of(plans)
    before = registry.find("plans")
    registry.replace({"plans": replace(plans, instances=(replace(A, protocol="https"),))}, 1.0)
    after = registry.find("plans")
    assert before is not None
    assert after is not None
    assert before.instances[A.authority] is not after.instances[A.authority]


# --- whatever happens ----------------------------------------------------------------------------


@given(
    st.sampled_from([*Balancing]),
    st.lists(
        st.tuples(
            st.sampled_from(["call", "end", "probe"]),
            st.sampled_from([OK, FAILED, NEUTRAL]),
            st.integers(0, 30),
            st.booleans(),
        ),
        max_size=80,
    ),
)
def test_no_call_goes_to_an_instance_that_must_not_have_it(
    kind: Balancing, steps: list[tuple[str, Outcome, int, bool]]
) -> None:
    service = service_of(A, replace(B, weight=3), C, balancing=kind, max_connections=3)
    under_way: list[Admission] = []
    now = 0.0
    for what, outcome, seconds, probe in steps:
        now += seconds / 10
        if what == "call":
            found = service.choose(f"192.0.2.{len(under_way)}", now, probe=probe)
            if isinstance(found, Unavailable):
                assert found.retry_after_s >= 1
                assert [one for one in service.instances.values() if _takes(one, now)] == []
            else:
                assert found.instance.health.state is not HealthState.DOWN
                assert found.instance.breaker.state is not BreakerState.OPEN
                assert found.instance.in_flight <= 3
                under_way.append(found)
        elif what == "end" and under_way:
            ended = under_way.pop(seconds % len(under_way))
            ended.instance.settle(ended, outcome, now)
            ended.instance.left()
        elif what == "probe":
            key = [A, B, C][seconds % 3].authority
            service.instances[key].probed(Probed(now, 0.1, "" if probe else "HTTP 500"))
    assert sum(one.in_flight for one in service.instances.values()) == len(under_way)


def _takes(instance: Instance, now: float) -> bool:
    return instance.usable(now) and instance.in_flight < 3


@pytest.mark.parametrize("kind", [*Balancing])
def test_every_way_of_balancing_serves_a_single_instance(kind: Balancing) -> None:
    assert call(service_of(A, balancing=kind), 0.0) == A.authority


def test_an_instance_that_is_no_longer_asked_gets_calls_again() -> None:
    """Its health was asked for at a path that it does not have; a reload says to ask no more."""
    spec = ServiceSpec(name="plans", instances=(A,), health_endpoints=("/health",))
    registry = registry_of(spec)
    service = registry.find("plans")
    assert service is not None
    for at in range(3):
        service.instances[A.authority].probed(Probed(float(at), 0.1, "HTTP 404"))
    assert isinstance(call(service, 3.0), Unavailable)
    registry.replace({"plans": replace(spec, health_endpoints=())}, 4.0)
    after = registry.find("plans")
    assert after is not None
    assert call(after, 5.0) == A.authority


def shown(registry: Registry, now: float) -> list[tuple[str, dict[str, int], int]]:
    return [(one.service, dict(one.states), one.transitions) for one in registry.breakers(now)]


def test_the_breakers_of_a_service_are_counted_by_their_states_of_now() -> None:
    registry = registry_of(LEAST, replace(LEAST, name="other", instances=(C,)))
    assert shown(registry, 0.0) == [("plans", {"closed": 2}, 0), ("other", {"closed": 1}, 0)]
    for _ in range(3):
        call(found(registry), 0.0, FAILED, tried={B.authority})
    assert shown(registry, 1.0)[0] == ("plans", {"closed": 1, "open": 1}, 1)
    assert shown(registry, 60.0)[0] == ("plans", {"closed": 1, "half-open": 1}, 2)


def test_changes_of_breakers_that_have_left_stay_counted_and_none_is_counted_twice() -> None:
    registry = registry_of(LEAST)
    found(registry).instances[A.authority].websockets = 1  # so that it is the same one later
    for _ in range(3):
        call(found(registry), 0.0, FAILED, tried={B.authority})
    alone = {"plans": replace(LEAST, instances=(B,))}
    registry.replace(alone, 1.0)
    assert shown(registry, 1.0) == [("plans", {"closed": 1}, 1)]
    registry.replace(alone, 2.0)
    assert shown(registry, 2.0) == [("plans", {"closed": 1}, 1)]
    registry.replace({"plans": LEAST}, 3.0)
    assert shown(registry, 3.0) == [("plans", {"closed": 2}, 1)]  # not that it was closed anew
    registry.replace({}, 4.0)
    assert shown(registry, 4.0) == []
