"""The inlet: real time passes through, what runs ahead waits, a flood is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocols.native import Commit, Text
from gateway.transports.inlet import MESSAGES_BURST, WAITING_BYTES, Flooded, Inlet

FRAME = bytes(640)  # 20 ms at 16 kHz


def make() -> tuple[Inlet, list[Any]]:
    fed: list[Any] = []
    return Inlet(fed.append, fed.append, bytes_per_ms=32.0), fed


def test_a_microphone_passes_straight_through() -> None:
    inlet, fed = make()
    for index in range(500):
        inlet.take(FRAME, 100.0 + index * 0.02)
        assert len(fed) == index + 1
    assert not inlet.waiting


def test_half_a_second_may_come_at_once() -> None:
    inlet, fed = make()
    for _ in range(26):
        inlet.take(FRAME, 100.0)
    assert len(fed) == 26
    assert not inlet.waiting


def test_what_runs_further_ahead_is_fed_as_time_passes_and_in_order() -> None:
    inlet, fed = make()
    frames = [bytes([index]) * 640 for index in range(100)]
    for frame in frames:
        inlet.take(frame, 100.0)
    assert inlet.waiting
    assert inlet.due == pytest.approx(100.02)
    inlet.drain(100.0)
    assert len(fed) == 26
    inlet.drain(100.5)
    assert len(fed) == 51
    inlet.take(b"\xff" * 640, 100.5)
    assert len(fed) == 51
    for tick in range(75):
        inlet.drain(100.5 + tick / 50)
    assert fed == [*frames, b"\xff" * 640]
    assert not inlet.waiting


def test_messages_stay_where_they_belong_between_the_audio() -> None:
    inlet, fed = make()
    for _ in range(26):
        inlet.take(FRAME, 100.0)
    inlet.follow(Commit())
    inlet.take(FRAME, 100.0)
    inlet.follow(Text("typed"))
    inlet.take(FRAME, 100.0)
    assert fed[26:] == [Commit()]
    inlet.drain(101.0)
    assert fed[26:] == [Commit(), FRAME, Text("typed"), FRAME]


def test_when_the_client_has_gone_all_its_audio_is_fed() -> None:
    inlet, fed = make()
    for _ in range(100):
        inlet.take(FRAME, 100.0)
    inlet.follow(Commit())
    inlet.flush()
    assert len(fed) == 100
    assert not inlet.waiting


def test_too_much_waiting_audio_is_a_flood() -> None:
    inlet, _ = make()
    for _ in range(26 + WAITING_BYTES // 640):
        inlet.take(FRAME, 100.0)
    with pytest.raises(Flooded):
        inlet.take(FRAME, 100.0)


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
        inlet.take(data, now)
    while inlet.waiting:
        now = max(now, inlet.due)
        inlet.drain(now)
    assert fed == sent
