"""What processes counted is told once, whichever of them have ended or do not answer."""

from pathlib import Path

import pytest

from gateway.workers import kept_pages as module
from gateway.workers.kept_pages import counted_by, end_page, keep_page
from gateway.workers.metrics_pages import added


def page(turns: float, sessions: int = 1) -> bytes:
    return (
        f"# HELP turns_total Turns\n# TYPE turns_total counter\nturns_total {turns}\n"
        f"# HELP sessions Now\n# TYPE sessions gauge\nsessions {sessions}\n"
    ).encode()


def told(folder: Path, answers: dict[int, bytes], workers: int = 3) -> float:
    """The sum that Prometheus gets where these processes answer."""
    silent = [worker for worker in range(workers) if worker not in answers]
    pages = [*(answer.decode() for answer in answers.values()), *counted_by(folder, silent)]
    lines = added(pages).splitlines()
    return sum(float(line.split()[1]) for line in lines if line.startswith("turns_total "))


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN_S", 0.0)


def test_a_process_that_does_not_answer_counts_with_the_page_that_it_kept(tmp_path: Path) -> None:
    for worker in range(3):
        keep_page(tmp_path, worker, page(10.0))
    assert told(tmp_path, {0: page(10.0), 1: page(11.0), 2: page(10.0)}) == 31.0
    assert told(tmp_path, {0: page(10.0), 1: page(11.0)}) == 31.0


def test_its_gauges_do_not_count(tmp_path: Path) -> None:
    keep_page(tmp_path, 0, page(10.0, sessions=7))
    assert not any("sessions" in text for text in counted_by(tmp_path, [0]))


def test_the_sum_is_the_same_before_and_after_the_end_of_a_process(tmp_path: Path) -> None:
    for worker in range(3):
        keep_page(tmp_path, worker, page(10.0))
    answers = {0: page(10.0), 1: page(10.0)}
    before = told(tmp_path, answers)
    end_page(tmp_path, 2)
    assert told(tmp_path, answers) == before == 30.0
    end_page(tmp_path, 2)  # the next one died before it kept a page
    assert told(tmp_path, answers) == 30.0
    keep_page(tmp_path, 2, page(4.0))
    assert told(tmp_path, {**answers, 2: page(4.0)}) == 34.0
    end_page(tmp_path, 2)
    assert told(tmp_path, answers) == 34.0


@pytest.mark.parametrize("step", ["read_text", "stat"])
def test_a_page_that_moves_meanwhile_is_neither_missed_nor_counted_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    for worker in range(2):
        keep_page(tmp_path, worker, page(10.0))
    end_page(tmp_path, 0)
    original, calls = getattr(Path, step), [0]

    def moving(path: Path, *args: object, **options: object) -> object:
        calls[0] += 1
        if calls[0] == 2:
            monkeypatch.setattr(Path, step, original)
            end_page(tmp_path, 1)
        return original(path, *args, **options)

    monkeypatch.setattr(Path, step, moving)
    assert told(tmp_path, {0: page(1.0)}, workers=2) == 21.0


def test_where_nobody_has_kept_anything_nothing_is_counted(tmp_path: Path) -> None:
    assert counted_by(tmp_path, []) == [""]
    assert counted_by(tmp_path, [1]) == ["", ""]


def test_without_room_nothing_fails(tmp_path: Path) -> None:
    keep_page(tmp_path / "gone", 0, page(1.0))
    end_page(tmp_path / "gone", 0)
