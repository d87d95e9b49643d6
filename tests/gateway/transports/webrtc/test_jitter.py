"""The jitter buffer: what is given out, in which order, and when."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.transports.webrtc import jitter
from gateway.transports.webrtc.jitter import (
    ArrivedPacket,
    Item,
    Jitter,
    MediaPacket,
    MissingMedia,
    duration,
)

FRAME = 960
OPUS = b"\x78"  # the first byte of a packet with one frame of 20 ms


def packet(number: int, *, start: int = 0, clock: int = 0) -> ArrivedPacket:
    """The packet of that number: 20 ms each, with its number in it."""
    return ArrivedPacket(
        (start + number) & 0xFFFF,
        (clock + number * FRAME) & 0xFFFFFFFF,
        OPUS + number.to_bytes(4, "big"),
    )


def shown(items: list[Item]) -> list[int | str]:
    """Numbers of the packets that are given out, and how many milliseconds are missing."""
    return [
        int.from_bytes(item.payload[1:5], "big")
        if isinstance(item, MediaPacket)
        else f"{'lost' if item.lost else 'quiet'} {item.samples // 48}"
        for item in items
    ]


def settled() -> Jitter:
    """A buffer that has seen nothing but order for long."""
    buffer = Jitter()
    buffer.target_ms = jitter.LOWEST_TARGET_MS
    return buffer


def played(arrivals: list[tuple[int, int]]) -> list[tuple[int, list[int | str]]]:
    """What is given out when (ms), for packets (number, when they come), with timers kept."""
    buffer = settled()
    out: list[tuple[int, list[int | str]]] = []
    end = max(at for _, at in arrivals) + 70
    queue = sorted(arrivals, key=lambda arrival: arrival[1])
    for now in range(end):
        while queue and queue[0][1] == now:
            items = buffer.handle(packet(queue.pop(0)[0]), now / 1000)
            if items:
                out.append((now, shown(items)))
        deadline = buffer.deadline
        if deadline is not None and now / 1000 >= deadline - 1e-9:
            items = buffer.expire(now / 1000)
            if items:
                out.append((now, shown(items)))
    return out


@pytest.mark.parametrize(
    ("arrivals", "expected"),
    [
        pytest.param(
            [(0, 0), (1, 20), (2, 40)],
            [(0, [0]), (20, [1]), (40, [2])],
            id="in order: each as it comes",
        ),
        pytest.param(
            [(0, 0), (2, 40), (3, 61)],
            [(0, [0]), (60, ["lost 20", 2]), (61, [3])],
            id="one lost: given up 20 ms after the next one came",
        ),
        pytest.param(
            [(0, 0), (2, 20), (1, 25), (3, 60)],
            [(0, [0]), (25, [1, 2]), (60, [3])],
            id="two swapped: nothing is lost",
        ),
        pytest.param(
            [(0, 0), (1, 20), (1, 21), (0, 22), (2, 40)],
            [(0, [0]), (20, [1]), (40, [2])],
            id="twice: heard once",
        ),
        pytest.param(
            [(0, 0), (4, 80), (5, 101)],
            [(0, [0]), (100, ["lost 60", 4]), (101, [5])],
            id="three in a row lost: one gap of their length",
        ),
        pytest.param(
            [(0, 0), (2, 40), (4, 44), (5, 46)],
            [(0, [0]), (60, ["lost 20", 2]), (64, ["lost 20", 4, 5])],
            id="two gaps: each waits for itself",
        ),
        pytest.param(
            [(0, 0), (1, 150), (2, 151), (3, 152)],
            [(0, [0]), (150, [1]), (151, [2]), (152, [3])],
            id="a network that stalls: nothing is added, nothing is lost",
        ),
    ],
)
def test_what_is_given_out_and_when(
    arrivals: list[tuple[int, int]], expected: list[tuple[int, list[int | str]]]
) -> None:
    assert expected == played(arrivals)


@pytest.mark.parametrize("start", [0, 65_530, 32_766])
def test_sequence_numbers_and_timestamps_wrap(start: int) -> None:
    buffer = Jitter()
    out: list[int | str] = []
    for number in range(20):
        came = packet(number, start=start, clock=0xFFFFFFFF - 5 * FRAME)
        out += shown(buffer.handle(came, number * 0.02))
    assert out == [*range(20)]
    assert (buffer.lost, buffer.late, buffer.duplicates) == (0, 0, 0)


def test_the_target_grows_with_what_comes_late_and_shrinks_again() -> None:
    buffer = settled()
    buffer.handle(packet(0), 0.0)
    buffer.handle(packet(2), 0.040)
    assert shown(buffer.expire(0.060)) == ["lost 20", 2]
    assert buffer.handle(packet(1), 0.080) == []
    assert (buffer.late, buffer.target_ms) == (1, jitter.HIGHEST_TARGET_MS)
    for number in range(3, 453):
        buffer.handle(packet(number), number * 0.02)
    assert buffer.target_ms == jitter.LOWEST_TARGET_MS


def test_on_a_network_that_is_not_known_nothing_overtaken_is_lost() -> None:
    buffer = Jitter()
    out = shown(buffer.handle(packet(0), 0.0)) + shown(buffer.handle(packet(2), 0.040))
    out += shown(buffer.expire(0.090))
    out += shown(buffer.handle(packet(1), 0.095))
    assert out == [0, 1, 2]


def test_overtaking_within_the_gap_makes_the_target_grow() -> None:
    buffer = settled()
    buffer.handle(packet(0), 0.0)
    buffer.handle(packet(3), 0.001)
    assert buffer.handle(packet(2), 0.019) == []
    assert buffer.target_ms == pytest.approx(23)


def test_who_stops_sending_is_silent_in_real_time() -> None:
    buffer = Jitter()
    buffer.handle(packet(0), 0.0)
    given: list[tuple[float, int]] = []
    while buffer.deadline is not None and buffer.deadline < 1.0:
        at = buffer.deadline
        assert buffer.expire(at - 0.01) == []
        given += [
            (round(at, 3), i.samples) for i in buffer.expire(at) if isinstance(i, MissingMedia)
        ]
    assert given[:2] == [(0.2, 9600), (0.24, 1920)]
    assert sum(samples for _, samples in given) == round(given[-1][0] * 48000)


def test_silence_that_was_never_sent_is_told_once() -> None:
    """DTX: 400 ms lie between two packets that follow one another."""
    buffer = Jitter()
    buffer.handle(packet(0), 0.0)
    given = 0
    while (buffer.deadline or 1.0) < 0.4:
        items = buffer.expire(buffer.deadline or 0.0)
        given += sum(item.samples for item in items if isinstance(item, MissingMedia))
    items = buffer.handle(ArrivedPacket(1, 20 * FRAME, OPUS + bytes(4)), 0.4)
    rest = sum(item.samples for item in items if isinstance(item, MissingMedia))
    assert 19 * FRAME <= given + rest <= 20 * FRAME
    assert not any(item.lost for item in items if isinstance(item, MissingMedia))


def test_an_outage_gives_out_what_comes_after_it_and_forgets_what_was_filled() -> None:
    buffer = settled()
    buffer.handle(packet(0), 0.0)
    buffer.expire(0.2)
    late = [*(shown(buffer.handle(packet(number), 0.23)) for number in range(1, 12))]
    assert late == [[number] for number in range(1, 12)]
    after = buffer.handle(packet(16), 0.4)
    assert after == []
    # 80 ms were lost, but 200 ms of silence have been given out before.
    assert shown(buffer.expire(0.42)) == [16]


def test_one_stall_after_another_takes_the_stream_no_further_ahead() -> None:
    buffer = Jitter()
    given = 0
    for stall in range(10):
        for number in range(50 * stall, 50 * stall + 50):
            at = max(number * 0.02, stall + 0.4)  # the first 400 ms of each second come at once
            while (buffer.deadline or at) < at:
                items = buffer.expire(buffer.deadline or 0.0)
                given += sum(item.samples for item in items if isinstance(item, MissingMedia))
            assert shown(buffer.handle(packet(number), at)) == [number]
    assert buffer.ahead == given <= 0.4 * jitter.CLOCK_HZ
    buffer.left_out(given)
    assert buffer.ahead == 0


def test_another_stream_begins_anew() -> None:
    buffer = Jitter()
    buffer.handle(packet(0), 0.0)
    assert shown(buffer.handle(packet(9, start=40_000), 0.02)) == []
    assert shown(buffer.handle(packet(10, start=40_000), 0.02)) == [10]
    other = ArrivedPacket(7, 123, OPUS + bytes(4), ssrc=5)
    assert buffer.handle(other, 0.04) == [MediaPacket(other.payload)]


def test_one_packet_from_far_away_is_left_out_and_the_stream_goes_on() -> None:
    buffer = Jitter()
    assert shown(buffer.handle(packet(0), 0.0)) == [0]
    assert shown(buffer.handle(packet(7, start=40_000), 0.01)) == []
    assert shown(buffer.handle(packet(1), 0.02)) == [1]
    assert shown(buffer.handle(packet(7, start=20_000), 0.03)) == []
    assert shown(buffer.handle(packet(2), 0.04)) == [2]
    assert (buffer.lost, buffer.late) == (0, 0)


def test_a_pause_takes_the_stream_no_further_ahead_than_a_stall_could() -> None:
    buffer = Jitter()
    buffer.handle(packet(0), 0.0)
    while (buffer.deadline or 30.0) < 30.0:
        buffer.expire(buffer.deadline or 0.0)
    assert shown(buffer.handle(packet(1), 30.0)) == [1]
    assert buffer.ahead == jitter.MOST_AHEAD
    assert buffer.deadline == pytest.approx(32.0 + jitter.FILL_AFTER_S)


def test_a_burst_behind_a_gap_is_not_kept_waiting() -> None:
    buffer = Jitter()
    buffer.handle(packet(0), 0.0)
    out: list[int | str] = []
    for number in range(2, 2 + jitter.MOST_HELD + 1):
        out += shown(buffer.handle(packet(number), 0.001))
    assert out == ["lost 20", *range(2, 2 + jitter.MOST_HELD + 1)]


def test_a_timestamp_that_jumps_is_no_measure_of_time() -> None:
    buffer = Jitter()
    buffer.handle(packet(0), 0.0)
    items = buffer.handle(ArrivedPacket(1, 2**30, OPUS), 0.02)
    assert items == [MissingMedia(jitter.LONGEST_GAP, lost=False), MediaPacket(OPUS)]
    assert buffer.handle(ArrivedPacket(2, 5, OPUS), 0.04) == [MediaPacket(OPUS)]


def test_nothing_is_due_before_the_first_packet() -> None:
    buffer = Jitter()
    assert buffer.deadline is None
    assert buffer.expire(1.0) == []


@pytest.mark.parametrize(
    ("payload", "samples"),
    [
        (b"", 0),
        (b"\x78", 960),  # wideband CELT…
        (bytes([31 << 3]), 960),
        (bytes([16 << 3]), 120),
        (bytes([0 << 3]), 480),
        (bytes([3 << 3]), 2880),
        (bytes([12 << 3]), 480),
        (bytes([13 << 3 | 1]), 1920),
        (bytes([31 << 3 | 3, 6]), 5760),
        (bytes([31 << 3 | 3, 7]), 0),
        (bytes([31 << 3 | 3]), 0),
    ],
)
def test_the_first_byte_tells_the_length(payload: bytes, samples: int) -> None:
    assert duration(payload) == samples


@st.composite
def networks(draw: st.DrawFn) -> list[tuple[int, float]]:
    """Packets of a stream in the order in which they come: lost, late, twice and in bursts."""
    count = draw(st.integers(2, 120))
    arrivals: list[tuple[float, int]] = []
    for number in range(count):
        fate = draw(st.sampled_from(["fine"] * 6 + ["lost", "late", "twice"]))
        at = number * 0.02
        if fate != "lost" or number == 0:
            delay = draw(st.floats(0.0, 0.15)) if fate == "late" and number else 0.0
            arrivals.append((at + delay, number))
        if fate == "twice":
            arrivals.append((at + draw(st.floats(0.0, 0.3)), number))
    return [(number, at) for at, number in sorted(arrivals)]


def outputs(buffer: Jitter, network: list[tuple[int, float]], start: int) -> Iterator[Item]:
    clock = start * 77_777 & 0xFFFFFFFF
    for number, at in network:
        while buffer.deadline is not None and buffer.deadline <= at:
            yield from buffer.expire(buffer.deadline)
        yield from buffer.handle(packet(number, start=start, clock=clock), at)
    end = network[-1][1] + 0.1
    while buffer.deadline is not None and buffer.deadline <= end:
        yield from buffer.expire(buffer.deadline)


@given(network=networks(), start=st.integers(0, 0xFFFF))
def test_whatever_the_network_does(network: list[tuple[int, float]], start: int) -> None:
    buffer = Jitter()
    out = [*outputs(buffer, network, start)]
    heard = [
        int.from_bytes(item.payload[1:5], "big") for item in out if isinstance(item, MediaPacket)
    ]
    assert heard == sorted(set(heard)), "in order, each once"
    assert buffer.held == 0
    sent = {number for number, _ in network}
    assert len(heard) + buffer.late == len(sent), "every packet is heard or came too late"
    assert jitter.LOWEST_TARGET_MS <= buffer.target_ms <= jitter.HIGHEST_TARGET_MS
    # The timeline keeps its length: every gap is told, once.
    total = sum(FRAME if isinstance(item, MediaPacket) else item.samples for item in out)
    assert total >= (heard[-1] + 1) * FRAME
    filled = sum(item.samples for item in out if isinstance(item, MissingMedia) and not item.lost)
    assert total <= (heard[-1] + 1) * FRAME + filled


def test_what_stands_for_lost_packets_is_counted_and_silence_is_not() -> None:
    buffer = Jitter()
    for number in (0, 1, 4):  # two packets of 20 ms never come
        buffer.handle(packet(number), number * 0.02)
    buffer.expire(1.0)
    assert (buffer.lost, buffer.concealed) == (2, 2 * FRAME)
    buffer.expire(1.5)  # nothing comes any more: silence
    assert buffer.concealed == 2 * FRAME
