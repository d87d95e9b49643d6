"""RTP timestamps as times, with and without sender reports."""

import pytest

from gateway.commands.call.clock import NTP_UNITS, StreamClock

START = (1 << 32) - 48_000
"""A second before the timestamps begin again."""


def sound(*packets: tuple[int, float]) -> StreamClock:
    clock = StreamClock(48_000)
    for timestamp, now in packets:
        clock.arrived(timestamp & 0xFFFFFFFF, now)
    return clock


def test_the_packet_that_was_the_least_on_its_way_says_what_the_time_is() -> None:
    clock = sound((0, 10.030), (960, 10.025), (1920, 10.090))
    assert clock.at(clock.unwrapped(2880)) == pytest.approx(10.065)


def test_what_is_heard_keeps_its_place() -> None:
    clock = sound((0, 10.030))
    clock.hold()
    clock.arrived(960, 10.025)
    assert clock.at(0) == pytest.approx(10.030)


def test_timestamps_go_on_where_they_begin_again_and_may_come_late() -> None:
    clock = sound((START, 10.0), (START + 96_000, 12.0))
    assert clock.unwrapped((START + 95_040) & 0xFFFFFFFF) == START + 95_040
    assert clock.at(clock.unwrapped(48_000)) == pytest.approx(12.0)


def test_reports_put_two_streams_side_by_side() -> None:
    clock = sound((1_000, 10.0))
    pictures = StreamClock(90_000)
    pictures.arrived(500, 10.2)  # it took longer on its way
    assert pictures.beside(clock, 90_500) == pytest.approx(11.2)
    clock.report(7 * NTP_UNITS, 1_000)
    assert pictures.beside(clock, 90_500) == pytest.approx(11.2)
    pictures.report(7 * NTP_UNITS + NTP_UNITS // 2, 500)
    assert pictures.beside(clock, 500) == pytest.approx(10.5)
    assert pictures.beside(clock, 90_500) == pytest.approx(11.5)
