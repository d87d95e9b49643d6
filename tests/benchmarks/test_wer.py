import io

import numpy as np
import pytest
from rich.console import Console

from benchmarks.result import Machine, Result
from benchmarks.speech import Clip
from benchmarks.wer import Score, metrics, rate, tables


def score(name: str, text: str, heard: str, *faults: str, turns: int = 1) -> Score:
    return Score(Clip(name, text, np.zeros(0, np.int16)), heard, turns, faults)


def test_rate_over_a_set_weighs_by_words() -> None:
    long = score("a", "one two three four five six seven eight nine", "")
    short = score("b", "yes", "yes")
    assert rate([long, short]) == pytest.approx(0.9)


def test_a_number_is_no_error_however_it_is_written() -> None:
    assert (
        score(
            "a", "If a manager can read it in ten seconds", "if a manager can read it in 10 seconds"
        ).errors
        == 0
    )


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (score("a", "Find the slow query.", "find this low query"), "a: the slow → this low"),
        (score("a", "Yes.", "yes"), "a: no error"),
        (score("a", "I know.", "i no", turns=2), "a (2 turns): know → no"),
        (
            score("a", "I know.", "", "degraded.stt: whisper → canned line", turns=0),
            "a (0 turns, degraded.stt: whisper → canned line): -i know",
        ),
    ],
)
def test_a_clip_is_told_with_its_errors(one: Score, expected: str) -> None:
    assert expected == str(one)


SCORES = [
    score("software-engineer-1", "a b c d", "a b c x"),
    score("product-manager-3", "a b", "x y"),
    score("librivox-1", "a b", "a b"),
    score("jfk-1961", "a b", "c d"),
]
PEOPLE = {"librivox-1", "jfk-1961"}


def test_noisy_answers_count_and_so_do_old_recordings() -> None:
    found = {metric.name: metric for metric in metrics("whisper", SCORES, PEOPLE, 0.08, 0.03)}
    assert {name: metric.value for name, metric in found.items()} == {
        "whisper, software-engineer-1": 0.25,
        "whisper, product-manager-3": 1.0,
        "whisper, librivox-1": 0.0,
        "whisper, jfk-1961": 1.0,
        "whisper, all answers, noise included": 0.5,
        "whisper, all recordings of people": 0.5,
    }
    assert {name: metric.limit for name, metric in found.items() if metric.limit is not None} == {
        "whisper, all answers, noise included": 0.08,
        "whisper, all recordings of people": 0.03,
    }


def test_without_recordings_there_is_no_row_for_them() -> None:
    found = metrics("whisper", SCORES[:2], set(), 0.08, 0.03)
    assert found[-1].name == "whisper, all answers, noise included"


def test_recognisers_stand_side_by_side() -> None:
    found = (*metrics("whisper", SCORES, PEOPLE, 0.6, 0.03), *metrics("sphinx", SCORES, PEOPLE))
    run = Result("wer", {}, found, Machine("cpu", 2, None, "6.1", "3.11", {}, None))
    told = Console(file=io.StringIO(), width=120)
    for table in tables(run):
        told.print(table)
    assert isinstance(told.file, io.StringIO)
    rows = [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in told.file.getvalue().splitlines()
        if line.startswith("│")
    ]
    assert rows == [
        ["software-engineer-1", "4", "0.250", "0.250", ""],
        ["product-manager-3", "2", "1.000", "1.000", ""],
        ["librivox-1", "2", "0.000", "0.000", ""],
        ["jfk-1961", "2", "1.000", "1.000", ""],
        ["all answers, noise included", "6", "0.500", "0.500", "whisper ≤ 0.6: pass"],
        ["all recordings of people", "4", "0.500", "0.500", "whisper ≤ 0.03: fail"],
    ]
