import pytest

from benchmarks.timing import (
    Summary,
    cpu_ms_per_session_second,
    deciding_frame,
    lateness_ms,
    percentile,
    unheard,
)

HUNDRED = [float(value) for value in range(100, 0, -1)]


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0)])
def test_percentile_is_a_measured_value_by_nearest_rank(share, expected):
    assert expected == percentile(HUNDRED, share)


def test_percentile_of_few_values_does_not_hide_the_worst():
    assert percentile([1.0, 2.0, 30.0], 0.99) == 30.0


def test_percentile_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_summary_of_values_and_of_nothing():
    assert Summary.of(HUNDRED) == Summary(count=100, p50=50.0, p95=95.0, p99=99.0, max=100.0)
    assert Summary.of([]) is None


def test_reply_on_schedule_is_not_late():
    positions = [20.0 * n for n in range(15)]
    # The first 200 ms at once, then frame by frame in real time, each by its end.
    arrivals = [100.0 + max(0.0, position + 20 - 200) / 1000 for position in positions]
    assert lateness_ms(arrivals, positions) == pytest.approx([0.0] * 15, abs=1e-6)


def test_early_frames_are_not_negative_lateness():
    assert lateness_ms([5.0, 5.0], [0.0, 400.0]) == [0.0, 0.0]


def test_lateness_counts_from_the_due_time_of_each_frame():
    # Due at 0, 0 and (320 - 200) ms after the first one.
    assert lateness_ms([5.0, 5.003, 5.150], [0.0, 20.0, 300.0]) == pytest.approx(
        [0.0, 3.0, 30.0], abs=1e-6
    )


def test_no_reply_has_no_lateness():
    assert lateness_ms([], []) == []
    assert unheard([], []) == 0


def test_frame_that_comes_after_its_play_time_is_unheard():
    # 20 ms of audio, then nothing for 50: the second frame is missed, the third is in time.
    assert unheard([0.0, 0.050, 0.050], [0.0, 20.0, 400.0]) == 1


@pytest.mark.parametrize(
    ("stopped_at_ms", "expected"),
    [
        (1_600, 119),  # decided at 2400 ms, where frame 119 ends
        (1_632, 121),  # at 2432 ms, within frame 121
        (32, 41),
    ],
)
def test_deciding_frame_completes_the_chunk_that_ends_the_silence(stopped_at_ms, expected):
    assert expected == deciding_frame(stopped_at_ms, silence_ms=800)


def test_deciding_frame_waits_for_a_whole_chunk():
    # 810 ms of silence are reached only with the 26th silent chunk: 832 ms.
    assert deciding_frame(0, silence_ms=810) == 41


def test_cpu_is_given_per_session_and_second():
    assert cpu_ms_per_session_second(cpu_s=6.0, sessions=100, wall_s=30.0) == pytest.approx(2.0)
