"""Pacing of the input: real time passes through, what runs ahead waits, a flood is refused."""

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
from gateway.protocols.dialect import CommitTurn, Leave, PressKey, Respond, TypedText

FRAME = bytes(640)  # 20 ms at 16 kHz


def make() -> tuple[IngressPacer[bytes], list[Any]]:
    fed: list[Any] = []
    return IngressPacer(fed.append, fed.append), fed


def test_a_microphone_passes_straight_through() -> None:
    pacer, fed = make()
    for index in range(500):
        pacer.take(FRAME, 20, 100.0 + index * 0.02)
        assert len(fed) == index + 1
    assert not pacer.waiting


def test_half_a_second_may_come_at_once() -> None:
    pacer, fed = make()
    for _ in range(26):
        pacer.take(FRAME, 20, 100.0)
    assert len(fed) == 26
    assert not pacer.waiting


def test_what_runs_further_ahead_is_fed_as_time_passes_and_in_order() -> None:
    pacer, fed = make()
    frames = [bytes([index]) * 640 for index in range(100)]
    for frame in frames:
        pacer.take(frame, 20, 100.0)
    assert pacer.waiting
    assert pacer.due == pytest.approx(100.02)
    pacer.drain(100.0)
    assert len(fed) == 26
    pacer.drain(100.5)
    assert len(fed) == 51
    pacer.take(b"\xff" * 640, 20, 100.5)
    assert len(fed) == 51
    for tick in range(75):
        pacer.drain(100.5 + tick / 50)
    assert fed == [*frames, b"\xff" * 640]
    assert not pacer.waiting


def test_what_was_typed_and_keyed_behind_audio_is_among_the_last_words() -> None:
    pacer, _ = make()
    for _ in range(100):
        pacer.take(FRAME, 20, 100.0)
    for command in (TypedText("I type"), PressKey("1"), PressKey("9"), TypedText("and more")):
        pacer.follow(command)
    pacer.follow(Leave())
    pacer.follow(PressKey("1"))
    assert pacer.typed({"1": "yes", "9": ""}.__getitem__) == "I type yes and more"


def test_what_a_stall_held_up_is_caught_up_with_and_leaves_no_delay() -> None:
    pacer, fed = make()
    pacer.take(FRAME, 20, 100.0)
    for _ in range(150):  # the network stood still for three seconds
        pacer.take(FRAME, 20, 103.0)
    assert pacer.waiting
    now = 103.0
    for tick in range(1, 41):
        now = 103.0 + tick / 50
        pacer.take(FRAME, 20, now)
        pacer.drain(now)
    assert len(fed) == 191
    assert not pacer.waiting
    for _ in range(100):  # and no more than half a second ahead of real time after it
        pacer.take(FRAME, 20, now)
    assert len(fed) < 191 + 30 + 8


def test_a_long_silence_is_no_stall_to_be_made_up_for() -> None:
    pacer, fed = make()
    pacer.take(FRAME, 20, 100.0)
    for _ in range(1600):  # half a minute of sound at once
        pacer.take(FRAME, 20, 4000.0)
    for tick in range(1, 751):
        pacer.drain(4000.0 + tick / 50)
    spoken_s = 10 + 15 + 0.5  # made up for, gone by, and ahead
    assert len(fed) == pytest.approx(spoken_s * 50, abs=3)


def test_a_timer_that_fires_half_a_millisecond_early_finds_something_to_feed() -> None:
    pacer, fed = make()
    for _ in range(30):
        pacer.take(FRAME, 20, 100.0)
    before = len(fed)
    pacer.drain(pacer.due - 0.0005)
    assert len(fed) == before + 1
    pacer.drain(pacer.due - 0.002)
    assert len(fed) == before + 1


def test_messages_stay_where_they_belong_between_the_audio() -> None:
    pacer, fed = make()
    for _ in range(26):
        pacer.take(FRAME, 20, 100.0)
    pacer.follow(CommitTurn())
    pacer.take(FRAME, 20, 100.0)
    pacer.follow(TypedText("typed"))
    pacer.take(FRAME, 20, 100.0)
    assert fed[26:] == [CommitTurn()]
    pacer.drain(101.0)
    assert fed[26:] == [CommitTurn(), FRAME, TypedText("typed"), FRAME]


def test_when_the_client_has_gone_all_that_waits_can_still_be_had() -> None:
    pacer, fed = make()
    for _ in range(100):
        pacer.take(FRAME, 20, 100.0)
    pacer.follow(CommitTurn())
    assert len(fed) == 26
    assert list(pacer.rest()) == [*[FRAME] * 74, CommitTurn()]
    assert not pacer.waiting


def test_too_much_waiting_audio_is_a_flood() -> None:
    pacer, _ = make()
    for _ in range(26 + MOST_WAITING):
        pacer.take(FRAME, 20, 100.0)
    with pytest.raises(Flooded):
        pacer.take(FRAME, 20, 100.0)


@pytest.mark.parametrize("message", [TypedText("a" * 65_000), CommitTurn()])
def test_too_many_messages_behind_audio_that_waits_are_a_flood(
    message: TypedText | CommitTurn,
) -> None:
    pacer, fed = make()
    for _ in range(27):
        pacer.take(FRAME, 20, 100.0)
    most = WAITING_BYTES // 65_000 if isinstance(message, TypedText) else MOST_WAITING - 1
    for _ in range(most):
        pacer.follow(message)
    with pytest.raises(Flooded):
        pacer.follow(message)
    pacer.drain(200.0)
    assert fed.count(message) == most


def test_small_packets_last_as_long_as_they_say() -> None:
    pacer, fed = make()
    for _ in range(100):
        pacer.take(b"\x78", 60, 100.0)
    assert len(fed) == 9
    for tick in range(1, 61):
        pacer.drain(100.0 + tick / 50)
    assert len(fed) == 29


@pytest.mark.parametrize("ms", [2.5, 20, 60])
def test_too_many_waiting_packets_or_too_long_ones_are_a_flood(ms: float) -> None:
    pacer, fed = make()
    waiting = min(MOST_WAITING, int(WAITING_MS / ms))
    for _ in range(int(500 / ms) + 1 + waiting):
        pacer.take(b"\x78", ms, 100.0)
    assert len(fed) == int(500 / ms) + 1
    with pytest.raises(Flooded):
        pacer.take(b"\x78", ms, 100.0)


def test_what_was_fed_makes_room() -> None:
    pacer, fed = make()
    now = 100.0
    for _ in range(3):
        for _ in range(2000):
            pacer.take(b"\x78", 59, now)
        while pacer.waiting:
            now = max(now, pacer.due)
            pacer.drain(now)
    assert len(fed) == 6000


def test_too_many_messages_are_a_flood() -> None:
    pacer, _ = make()
    for _ in range(int(MESSAGES_BURST)):
        pacer.count(100.0)
    with pytest.raises(Flooded):
        pacer.count(100.0)


def test_200_messages_a_second_are_no_flood() -> None:
    pacer, _ = make()
    for index in range(10_000):
        pacer.count(100.0 + index / 200)


@given(st.lists(st.tuples(st.floats(0, 0.2), st.integers(1, 3200)), max_size=80))
def test_nothing_is_lost_and_nothing_runs_ahead(steps: list[tuple[float, int]]) -> None:
    pacer, fed = make()
    now = 100.0
    sent = []
    for wait_s, size in steps:
        now += wait_s
        pacer.drain(now)
        data = bytes([len(sent) % 256]) * size
        sent.append(data)
        pacer.take(data, size / 32, now)
    while pacer.waiting:
        now = max(now, pacer.due)
        pacer.drain(now)
    assert fed == sent


@pytest.mark.parametrize("command", [Respond(), TypedText("hello")])
def test_a_request_for_a_reply_is_known_to_wait_until_it_is_obeyed(command: Any) -> None:
    pacer, fed = make()
    pacer.follow(command)
    assert not pacer.reply_waits
    for _ in range(30):
        pacer.take(FRAME, 20, 100.0)
    pacer.follow(CommitTurn())
    assert not pacer.reply_waits
    pacer.follow(command)
    assert pacer.reply_waits
    pacer.drain(110.0)
    assert fed[-1] == command
    assert not pacer.reply_waits


def test_no_request_waits_once_the_client_has_gone() -> None:
    pacer, _ = make()
    for _ in range(30):
        pacer.take(FRAME, 20, 100.0)
    pacer.follow(Respond())
    assert list(pacer.rest()) == [*[FRAME] * 4, Respond()]
    assert not pacer.waiting
