"""The inlet: real time passes through, what runs ahead waits, a flood is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.live.ingress import (
    MESSAGES_BURST,
    MOST_WAITING,
    WAITING_BYTES,
    WAITING_MS,
    Flooded,
    IngressPacer,
)
from gateway.protocols.native.messages import CommitTurn, TypedText

FRAME = bytes(640)  # 20 ms at 16 kHz


def make() -> tuple[IngressPacer, list[Any]]:
    fed: list[Any] = []
    return IngressPacer(fed.append, fed.append), fed


def test_a_microphone_passes_straight_through() -> None:
    inlet, fed = make()
    for index in range(500):
        inlet.take(FRAME, 20, 100.0 + index * 0.02)
        assert len(fed) == index + 1
    assert not inlet.waiting


def test_half_a_second_may_come_at_once() -> None:
    inlet, fed = make()
    for _ in range(26):
        inlet.take(FRAME, 20, 100.0)
    assert len(fed) == 26
    assert not inlet.waiting


def test_what_runs_further_ahead_is_fed_as_time_passes_and_in_order() -> None:
    inlet, fed = make()
    frames = [bytes([index]) * 640 for index in range(100)]
    for frame in frames:
        inlet.take(frame, 20, 100.0)
    assert inlet.waiting
    assert inlet.due == pytest.approx(100.02)
    inlet.drain(100.0)
    assert len(fed) == 26
    inlet.drain(100.5)
    assert len(fed) == 51
    inlet.take(b"\xff" * 640, 20, 100.5)
    assert len(fed) == 51
    for tick in range(75):
        inlet.drain(100.5 + tick / 50)
    assert fed == [*frames, b"\xff" * 640]
    assert not inlet.waiting


def test_what_a_stall_held_up_is_caught_up_with_and_leaves_no_delay() -> None:
    inlet, fed = make()
    inlet.take(FRAME, 20, 100.0)
    for _ in range(150):  # the network stood still for three seconds
        inlet.take(FRAME, 20, 103.0)
    assert inlet.waiting
    now = 103.0
    for tick in range(1, 41):
        now = 103.0 + tick / 50
        inlet.take(FRAME, 20, now)
        inlet.drain(now)
    assert len(fed) == 191
    assert not inlet.waiting
    for _ in range(100):  # and no more than half a second ahead of real time after it
        inlet.take(FRAME, 20, now)
    assert len(fed) < 191 + 30 + 8


def test_a_long_silence_is_no_stall_to_be_made_up_for() -> None:
    inlet, fed = make()
    inlet.take(FRAME, 20, 100.0)
    for _ in range(1600):  # half a minute of sound at once
        inlet.take(FRAME, 20, 4000.0)
    for tick in range(1, 751):
        inlet.drain(4000.0 + tick / 50)
    spoken_s = 10 + 15 + 0.5  # made up for, gone by, and ahead
    assert len(fed) == pytest.approx(spoken_s * 50, abs=3)


def test_a_timer_that_fires_half_a_millisecond_early_finds_something_to_feed() -> None:
    inlet, fed = make()
    for _ in range(30):
        inlet.take(FRAME, 20, 100.0)
    before = len(fed)
    inlet.drain(inlet.due - 0.0005)
    assert len(fed) == before + 1
    inlet.drain(inlet.due - 0.002)
    assert len(fed) == before + 1


def test_messages_stay_where_they_belong_between_the_audio() -> None:
    inlet, fed = make()
    for _ in range(26):
        inlet.take(FRAME, 20, 100.0)
    inlet.follow(CommitTurn())
    inlet.take(FRAME, 20, 100.0)
    inlet.follow(TypedText("typed"))
    inlet.take(FRAME, 20, 100.0)
    assert fed[26:] == [CommitTurn()]
    inlet.drain(101.0)
    assert fed[26:] == [CommitTurn(), FRAME, TypedText("typed"), FRAME]


def test_when_the_client_has_gone_all_its_audio_can_still_be_had() -> None:
    inlet, fed = make()
    for _ in range(100):
        inlet.take(FRAME, 20, 100.0)
    inlet.follow(CommitTurn())
    assert len(fed) == 26
    assert list(inlet.rest()) == [FRAME] * 74
    assert not inlet.waiting


def test_too_much_waiting_audio_is_a_flood() -> None:
    inlet, _ = make()
    for _ in range(26 + WAITING_BYTES // 640):
        inlet.take(FRAME, 20, 100.0)
    with pytest.raises(Flooded):
        inlet.take(FRAME, 20, 100.0)


@pytest.mark.parametrize("message", [TypedText("a" * 65_000), CommitTurn()])
def test_too_many_messages_behind_audio_that_waits_are_a_flood(
    message: TypedText | CommitTurn,
) -> None:
    inlet, fed = make()
    for _ in range(27):
        inlet.take(FRAME, 20, 100.0)
    most = 16 if isinstance(message, TypedText) else MOST_WAITING - 1
    for _ in range(most):
        inlet.follow(message)
    with pytest.raises(Flooded):
        inlet.follow(message)
    inlet.drain(200.0)
    assert fed.count(message) == most


def test_small_packets_last_as_long_as_they_say() -> None:
    inlet, fed = make()
    for _ in range(100):
        inlet.take(b"\x78", 60, 100.0)
    assert len(fed) == 9
    for tick in range(1, 61):
        inlet.drain(100.0 + tick / 50)
    assert len(fed) == 29


@pytest.mark.parametrize("ms", [2.5, 20, 60])
def test_too_many_waiting_packets_or_too_long_ones_are_a_flood(ms: float) -> None:
    inlet, fed = make()
    waiting = min(MOST_WAITING, int(WAITING_MS / ms))
    for _ in range(int(500 / ms) + 1 + waiting):
        inlet.take(b"\x78", ms, 100.0)
    assert len(fed) == int(500 / ms) + 1
    with pytest.raises(Flooded):
        inlet.take(b"\x78", ms, 100.0)


def test_what_was_fed_makes_room() -> None:
    inlet, fed = make()
    now = 100.0
    for _ in range(3):
        for _ in range(2000):
            inlet.take(b"\x78", 59, now)
        while inlet.waiting:
            now = max(now, inlet.due)
            inlet.drain(now)
    assert len(fed) == 6000


def test_audio_is_bounded_by_its_duration_and_not_counted() -> None:
    inlet, _ = make()
    for _ in range(2 * int(MESSAGES_BURST)):
        inlet.count(100.0, 2.5)
    for _ in range(int(MESSAGES_BURST)):
        inlet.count(100.0, 2.4)
    with pytest.raises(Flooded):
        inlet.count(100.0, 2.4)


def test_too_many_messages_are_a_flood() -> None:
    inlet, _ = make()
    for _ in range(int(MESSAGES_BURST)):
        inlet.count(100.0)
    with pytest.raises(Flooded):
        inlet.count(100.0)


def test_200_messages_a_second_are_no_flood() -> None:
    inlet, _ = make()
    for index in range(10_000):
        inlet.count(100.0 + index / 200)


@given(st.lists(st.tuples(st.floats(0, 0.2), st.integers(1, 3200)), max_size=80))
def test_nothing_is_lost_and_nothing_runs_ahead(steps: list[tuple[float, int]]) -> None:
    inlet, fed = make()
    now = 100.0
    sent = []
    for wait_s, size in steps:
        now += wait_s
        inlet.drain(now)
        data = bytes([len(sent) % 256]) * size
        sent.append(data)
        inlet.take(data, size / 32, now)
    while inlet.waiting:
        now = max(now, inlet.due)
        inlet.drain(now)
    assert fed == sent
