"""Calls are spread as their service says: within 5 % of the weights."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.services.balancing import Balancer, Contender, balancer
from gateway.services.definition import Balancing

WEIGHTS = st.lists(st.integers(1, 10), min_size=1, max_size=6)


def made(weights: Sequence[int], share: float = 1.0) -> list[Contender]:
    return [Contender(f"10.0.0.{at}:80", weight, share) for at, weight in enumerate(weights)]


def spread(ways: Balancer, contenders: Sequence[Contender], calls: int) -> list[int]:
    """How many calls each gets, from clients of many addresses."""
    chosen = Counter(ways.choose(contenders, f"192.0.{n >> 8}.{n & 255}").key for n in range(calls))
    return [chosen[one.key] for one in contenders]


@given(WEIGHTS, st.integers(1, 5))
def test_round_robin_gives_everyone_the_same(weights: list[int], rounds: int) -> None:
    found = spread(
        balancer(Balancing.ROUND_ROBIN, random.random), made(weights), rounds * len(weights)
    )
    assert found == [rounds] * len(weights)


@given(WEIGHTS, st.integers(1, 5))
def test_weighted_round_robin_gives_each_its_weight(weights: list[int], rounds: int) -> None:
    ways = balancer(Balancing.WEIGHTED_ROUND_ROBIN, random.random)
    assert spread(ways, made(weights), rounds * sum(weights)) == [rounds * one for one in weights]


def test_the_heaviest_does_not_get_its_calls_in_a_row() -> None:
    ways = balancer(Balancing.WEIGHTED_ROUND_ROBIN, random.random)
    contenders = made([5, 1, 1])
    names = {one.key: name for one, name in zip(contenders, "abc", strict=True)}
    assert "".join(names[ways.choose(contenders, "").key] for _ in range(7)) == "aabacaa"


@given(WEIGHTS, st.data())
def test_one_that_is_left_out_gets_nothing_and_the_others_share_by_weight(
    weights: list[int], data: st.DataObject
) -> None:
    ways, everyone = balancer(Balancing.WEIGHTED_ROUND_ROBIN, random.random), made([3, *weights])
    left = data.draw(st.integers(0, 20), label="calls before")
    spread(ways, everyone, left)
    found = spread(ways, everyone[1:], 20 * sum(weights))
    assert all(
        abs(got - 20 * weight) <= sum(weights) + 3
        for got, weight in zip(found, weights, strict=True)
    )


@pytest.mark.parametrize("kind", [Balancing.IP_HASH, Balancing.TWO_CHOICES])
@pytest.mark.parametrize("weights", [(1, 1), (1, 2, 3), (5, 1), (1, 1, 1, 1)], ids=str)
def test_chance_and_addresses_spread_within_five_percent(
    kind: Balancing, weights: tuple[int, ...]
) -> None:
    calls = 10_000
    found = spread(balancer(kind, random.Random(7).random), made(weights), calls)
    for got, weight in zip(found, weights, strict=True):
        expected = calls * weight / sum(weights)
        assert abs(got - expected) <= 0.05 * expected


@pytest.mark.parametrize("kind", [Balancing.LEAST_CONNECTIONS, Balancing.TWO_CHOICES])
@pytest.mark.parametrize("weights", [(1, 1), (1, 3), (2, 1, 1)], ids=str)
def test_those_that_count_calls_keep_them_at_the_weights(
    kind: Balancing, weights: tuple[int, ...]
) -> None:
    ways, dice = balancer(kind, random.Random(3).random), random.Random(5)
    contenders, under_way = made(weights), [0.0] * len(weights)
    open_calls: list[int] = []
    for _ in range(3_000):
        chosen = ways.choose(contenders, "").key
        at = next(n for n, one in enumerate(contenders) if one.key == chosen)
        open_calls.append(at)
        ended = open_calls.pop(dice.randrange(len(open_calls))) if len(open_calls) > 200 else None
        for which, step in ((at, 1), (ended, -1)):
            if which is not None:
                one = contenders[which]
                contenders[which] = replace(one, in_flight=one.in_flight + step)
        for which, one in enumerate(contenders):
            under_way[which] += one.in_flight
    for got, weight in zip(under_way, weights, strict=True):
        share = got / sum(under_way)
        assert abs(share - weight / sum(weights)) <= 0.05 * weight / sum(weights)


def test_least_connections_takes_the_one_with_least_to_do() -> None:
    ways = balancer(Balancing.LEAST_CONNECTIONS, random.random)
    busy, idle = Contender("a", in_flight=1), Contender("b", in_flight=0)
    strong = Contender("c", weight=4, in_flight=3)
    assert ways.choose([busy, idle, strong], "") == idle
    assert ways.choose([busy, strong], "") == strong


def test_least_connections_takes_turns_where_all_are_idle() -> None:
    found = spread(balancer(Balancing.LEAST_CONNECTIONS, random.random), made([1, 2]), 30)
    assert found == [10, 20]


def test_a_client_keeps_its_instance_and_only_those_of_a_lost_one_move() -> None:
    ways = balancer(Balancing.IP_HASH, random.random)
    clients = [f"198.51.{n >> 8}.{n & 255}" for n in range(1000)]
    everyone = made([1, 2, 1])
    before = {client: ways.choose(everyone, client) for client in clients}
    after = {client: ways.choose(everyone[1:], client) for client in clients}
    moved = {client for client in clients if before[client] != after[client]}
    assert moved == {client for client in clients if before[client] == everyone[0]}
    assert before == {client: ways.choose([*reversed(everyone)], client) for client in clients}


@pytest.mark.parametrize("kind", [kind for kind in Balancing if kind is not Balancing.IP_HASH])
def test_one_that_starts_slowly_gets_its_share(kind: Balancing) -> None:
    contenders = [Contender("old"), Contender("new", share=0.1)]
    old, new = spread(balancer(kind, random.Random(1).random), contenders, 11_000)
    assert abs(new - 1000) <= 50
    assert old + new == 11_000


@given(st.floats(0, 1, exclude_max=True), WEIGHTS)
def test_any_chance_draws_one_that_is_there(chance: float, weights: list[int]) -> None:
    contenders = made(weights)
    assert balancer(Balancing.TWO_CHOICES, lambda: chance).choose(contenders, "") in contenders
