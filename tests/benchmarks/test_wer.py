import numpy as np
import pytest

from benchmarks.speech import Clip
from benchmarks.wer import Score, metrics, rate, word_errors, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Let me think. I'd first…", ["let", "me", "think", "i'd", "first"]),
        ("cold-hearted", ["cold", "hearted"]),
        ("it’s 10,000 lines", ["it's", "10000", "lines"]),
        ("'quoted' words", ["quoted", "words"]),
        ("", []),
    ],
)
def test_words_are_compared_without_case_punctuation_and_hyphens(text, expected):
    assert expected == words(text)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("a b c", "a b c", 0),
        ("a b c", "a x c", 1),
        ("a b c", "a c", 1),
        ("a b c", "a b b c", 1),
        ("a b c", "", 3),
        ("", "a b", 2),
        ("the slow query", "this low query", 2),
        ("one two three four", "two three four five", 2),
    ],
)
def test_word_errors_are_the_fewest_edits(reference, hypothesis, expected):
    assert expected == word_errors(reference.split(), hypothesis.split())


def score(name: str, text: str, heard: str, *features: str) -> Score:
    clip = Clip(name, text, np.zeros(0, np.int16), features=frozenset(features))
    return Score(clip, heard, turns=1)


def test_rate_over_a_set_weighs_by_words():
    long = score("a", "one two three four five six seven eight nine", "", *())
    short = score("b", "yes", "yes")
    assert rate([long, short]) == pytest.approx(0.9)


def test_noise_and_old_recordings_are_shown_and_judged_by_no_limit():
    found = {
        metric.name: metric
        for metric in metrics(
            [
                score("software-engineer-1", "a b c d", "a b c x"),
                score("product-manager-3", "a b", "x y", "noise"),
                score("librivox-1", "a b", "a b"),
                score("jfk-1961", "a b", "c d"),
            ]
        )
    }
    assert {name: metric.value for name, metric in found.items()} == {
        "WER software-engineer-1": 0.25,
        "WER product-manager-3": 1.0,
        "WER librivox-1": 0.0,
        "WER jfk-1961": 1.0,
        "WER role answers, all": 0.25,
        "WER LibriVox, all": 0.0,
    }
    limits = {name: metric.limit for name, metric in found.items() if metric.limit is not None}
    assert limits == {"WER role answers, all": 0.2, "WER LibriVox, all": 0.4}
