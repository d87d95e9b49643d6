import io
import re

import pytest
from rich.console import Console

from benchmarks import __main__ as command
from benchmarks.catalogue import BENCHMARKS, Benchmark, Options, announcement, named
from benchmarks.progress import Progress, duration, estimate
from benchmarks.result import Machine, Metric, Result
from benchmarks.runs import RunFailed
from benchmarks.webrtc import JOBS, ROUNDS


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def console(*, terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), width=60, force_terminal=terminal)


def lines(told: Console) -> list[str]:
    assert isinstance(told.file, io.StringIO)
    return told.file.getvalue().splitlines()


@pytest.mark.parametrize(
    ("seconds", "measured", "expected"),
    [
        (0.0, "0.0 s", "about 10 s"),
        (9.94, "9.9 s", "about 10 s"),
        (9.96, "10 s", "about 10 s"),
        (59.6, "1 min 0 s", "about 60 s"),
        (125.0, "2 min 5 s", "about 2 min"),
        (720.0, "12 min 0 s", "about 12 min"),
    ],
)
def test_times_read_as_people_say_them(seconds: float, measured: str, expected: str) -> None:
    assert measured == duration(seconds)
    assert expected == estimate(seconds)


def test_every_run_has_a_line_with_its_place_its_time_and_what_is_left(clock: Clock) -> None:
    told = console()
    progress = Progress("webrtc", 90, told, clock)
    with progress.runs(3):
        for name in ("audio", "idle face, [VP8]", "speaking face"):
            with progress.run(name):
                clock.now += 31
    assert lines(told) == [
        "webrtc: 3 runs, about 2 min",
        "webrtc 1 of 3: audio: 31 s; about 60 s left",
        "webrtc 2 of 3: idle face, [VP8]: 31 s; about 30 s left",
        "webrtc 3 of 3: speaking face: 31 s",
    ]


def test_a_line_is_not_wrapped_however_narrow_the_log(clock: Clock) -> None:
    told = console()
    progress = Progress("load", 60, told, clock)
    with progress.runs(1), progress.run("x" * 100):
        pass
    assert f"load 1 of 1: {'x' * 100}: 0.0 s" == lines(told)[-1]


def test_runs_that_overlap_share_the_time_that_is_left(clock: Clock) -> None:
    told = console()
    progress = Progress("wer", 40, told, clock)
    with progress.runs(4):
        with progress.run("first"), progress.run("second"):
            clock.now += 20
        assert lines(told)[1:] == [
            "wer 1 of 4: second: 20 s; about 60 s left",
            "wer 2 of 4: first: 20 s; about 20 s left",
        ]


def test_a_long_run_says_how_far_it_is_every_half_minute(clock: Clock) -> None:
    told = console()
    progress = Progress("offline", 100, told, clock)
    with progress.runs(1), progress.run("20 answers") as on_progress:
        for done in range(1, 21):
            clock.now += 5
            on_progress(done, 20)
    assert lines(told)[1:] == [
        "offline: 20 answers: 30% after 30 s",
        "offline: 20 answers: 60% after 1 min 0 s",
        "offline: 20 answers: 90% after 1 min 30 s",
        "offline 1 of 1: 20 answers: 1 min 40 s",
    ]


def test_a_run_that_fails_is_not_counted(clock: Clock) -> None:
    told = console()
    progress = Progress("rest", 40, told, clock)
    with pytest.raises(OSError, match="gone"), progress.runs(2), progress.run("health"):
        raise OSError("gone")
    assert lines(told) == ["rest: 2 runs, about 40 s"]


def test_a_terminal_shows_a_bar_in_place_of_reminders(clock: Clock) -> None:
    told = console(terminal=True)
    progress = Progress("offline", 100, told, clock)
    with progress.runs(1), progress.run("2 answers") as on_progress:
        clock.now += 50
        on_progress(1, 2)
    text = "\n".join(lines(told))
    assert "50%" not in text
    assert "━" in text
    assert "offline 1 of 1: 2 answers: 50 s" in text


def test_what_will_run_is_announced_with_how_long_it_takes() -> None:
    heading, *rest = announcement(named("all"), Options())
    total_s = sum(one.lasts_s for one in BENCHMARKS)
    assert f"{len(BENCHMARKS)} benchmarks, about {total_s / 60:.0f} min in all:" == heading
    assert [one.name for one in BENCHMARKS] == [line.split()[0] for line in rest]


def test_a_quick_run_is_announced_as_shorter() -> None:
    (webrtc,) = named("webrtc")
    assert announcement([webrtc], Options())[0] == "1 benchmark, about 12 min in all:"
    assert announcement([webrtc], Options(quick=True))[0] == "1 benchmark, about 2 min in all:"
    assert webrtc.lasts_s / (len(JOBS) * ROUNDS) == 30, "each run with what goes before it"


def fair(progress: Progress, options: Options) -> Result:
    with progress.runs(1), progress.run("the whole way"):
        metric = Metric("cost", 1.0, "ms", limit=2.0)
    return Result("fair", {}, (metric,), Machine("cpu", 2, None, "6.1", "3.11", {}, None))


def broken(progress: Progress, options: Options) -> Result:
    with progress.runs(1), progress.run("half the way"):
        raise RunFailed("the client broke off")


def test_stdout_has_the_results_and_stderr_everything_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    both = [Benchmark("fair", "it works", 10, fair), Benchmark("broken", "it fails", 10, broken)]
    monkeypatch.setattr(command, "named", lambda name: both)
    monkeypatch.setattr("sys.argv", ["benchmarks"])
    assert command.main() == 1
    out, err = capsys.readouterr()
    assert out.startswith("fair: ")
    assert "≤ 2: pass" in out
    assert "broken" not in out
    assert re.sub(r"\d+\.\d s", "… s", err).splitlines() == [
        "2 benchmarks, about 20 s in all:",
        "  fair    about 10 s    it works",
        "  broken  about 10 s    it fails",
        "fair: 1 run, about 10 s",
        "fair 1 of 1: the whole way: … s",
        "broken: 1 run, about 10 s",
        "broken: the client broke off",
    ]
