import random

import pytest

from benchmarks.endpointing import (
    Score,
    comparison,
    equally_careful,
    equally_patient,
    policies,
    tables,
    verdict,
)
from benchmarks.endpointing_scripts import Word, perform, plain
from benchmarks.endpointing_takes import JUDGEMENT_MS, RECOGNITION_MS, Take, decision_ms, rehearse
from benchmarks.result import Machine, Result
from pipeline.decisions import Judged, Understood
from pipeline.input_speech import CHUNK_MS
from pipeline.turns import TurnPolicy


def said(text: str, pause_ms: int = 0) -> list[Word]:
    """Words that are heard as they are said, with a pause after the last one."""
    words = [Word(word, word) for word in text.split()]
    return [*words[:-1], Word(words[-1].text, words[-1].heard, pause_ms)]


def take(*sentences: list[Word]) -> Take:
    words = [word for sentence in sentences for word in sentence]
    return perform(words, plain(words), random.Random(1))


def fixed(silence_ms: int) -> TurnPolicy:
    return TurnPolicy(silence_ms=silence_ms, adaptive=False)


ADAPTIVE = TurnPolicy(silence_ms=800)


def wait_ms(heard: Take, policy: TurnPolicy) -> float:
    return decision_ms(heard, policy) - heard.end_ms


def test_a_pause_longer_than_the_silence_cuts_the_turn_off():
    heard = take(said("we looked at logs", 600), said("and found the slow query"))
    assert wait_ms(heard, fixed(500)) < 0
    assert wait_ms(heard, fixed(700)) == pytest.approx(700, abs=CHUNK_MS)


def test_adaptive_endpointing_waits_out_a_pause_after_a_connective():
    heard = take(said("we looked at logs because", 1_000), said("users saw slow pages"))
    assert wait_ms(heard, fixed(800)) < 0
    assert wait_ms(heard, ADAPTIVE) == pytest.approx(800, abs=CHUNK_MS)


def test_adaptive_endpointing_answers_sooner_after_closing_words():
    heard = take(said("we looked at logs and that was it"))
    assert wait_ms(heard, ADAPTIVE) < wait_ms(heard, fixed(800)) - 200


def test_what_is_misheard_misleads():
    misheard = Word("logs", "because")
    right = take(said("we looked at logs"))
    wrong = take([*said("we looked at"), misheard])
    assert wait_ms(wrong, ADAPTIVE) > wait_ms(right, ADAPTIVE) + 400


def test_words_are_understood_only_after_they_were_said_and_recognised():
    heard = take(said("we looked at logs", 1_000), said("all day"))
    last_word_ms = heard.end_ms
    texts = [(at_ms, event.text) for at_ms, event in heard.events if isinstance(event, Understood)]
    whole = [at_ms for at_ms, text in texts if text == "we looked at logs all day"]
    assert min(whole) >= last_word_ms + RECOGNITION_MS
    assert [at_ms for at_ms, _ in texts] == sorted(at_ms for at_ms, _ in texts)


def test_a_turn_that_is_never_decided_is_an_error():
    heard = take(said("we looked at logs"))
    with pytest.raises(ValueError, match="no decision"):
        decision_ms(heard, TurnPolicy(silence_ms=9_000, max_wait_ms=9_000, adaptive=False))


def test_score_counts_the_turns_cut_off_and_the_waits_of_the_others():
    pausing = take(said("we looked at logs", 1_000), said("all day"))
    score = Score.of([pausing, take(said("all day long"))], fixed(500))
    assert score.cut_off == 50.0
    (wait,) = score.waits_ms
    assert wait == pytest.approx(500, abs=CHUNK_MS)


def test_metrics_of_a_policy_that_cuts_everything_off_have_no_waits():
    pausing = take(said("we looked at logs", 1_000), said("all day"))
    (metric,) = Score.of([pausing], fixed(500)).metrics("scripts, fixed 500 ms")
    assert (metric.name, metric.value) == ("scripts, fixed 500 ms, cut off", 100.0)


def test_the_equally_careful_silence_is_just_longer_than_the_pause():
    heard = [
        take(said("we looked at logs", pause_ms), said("all day")) for pause_ms in (400, 1_200)
    ]
    silence_ms, score = equally_careful(heard, 0.0)
    assert 1_200 <= silence_ms <= 1_200 + 2 * CHUNK_MS
    assert score.cut_off == 0.0
    half_ms, half = equally_careful(heard, 50.0)
    assert 400 <= half_ms <= 400 + 2 * CHUNK_MS
    assert half.cut_off == 50.0


def test_verdict_says_how_much_longer_a_fixed_silence_waits():
    heard = [take(said("we looked at logs because", 1_000), said("users saw slow pages"))]
    text = verdict(heard)
    assert text.startswith("adaptive endpointing at 800 ms cuts off 0.0 %")
    assert text.endswith("ms longer")


def test_there_is_a_table_for_each_set_with_a_row_for_each_policy():
    heard = [take(said("we looked at logs"))]
    metrics = [
        metric
        for name in ("fixtures", "scripts")
        for silence_ms in (500, 800)
        for metric in Score.of(heard, fixed(silence_ms)).metrics(f"{name}, fixed {silence_ms} ms")
    ]
    machine = Machine("cpu", 2, None, "6.1", "3.11", {}, None)
    first, second = tables(Result("endpointing", {}, tuple(metrics), machine))
    assert first.title == "endpointing: fixtures, 1 turns"
    assert list(second.columns[0].cells) == ["fixed 500 ms", "fixed 800 ms"]
    assert list(second.columns[1].cells) == ["0.0", "0.0"]
    assert [*second.columns[2].cells] == [
        f"{decision_ms(heard[0], fixed(silence_ms)) - heard[0].end_ms:.0f}"
        for silence_ms in (500, 800)
    ]


# --- turn models -----------------------------------------------------------------------------

JUDGED = TurnPolicy(silence_ms=800, judged=True)


class Silent:
    """A recogniser that understands nothing."""

    def listen(self, from_ms: int) -> None:
        pass

    def hear(self, until_ms: int) -> list[str]:
        return []

    def finish(self, until_ms: int) -> str:
        return ""


def judged(*answers: float, pause_ms: int = 1_000) -> tuple[Take, list[tuple[int, int]]]:
    """A second of speech, a pause and another second, with these answers, and the questions."""
    left, asked = [*answers], []

    def judge(from_ms: int, until_ms: int) -> float:
        asked.append((from_ms, until_ms))
        return left.pop(0)

    chunks = [32, pause_ms // CHUNK_MS, 32, 6_000 // CHUNK_MS]
    heard = [p for p, count in zip((0.9, 0.1) * 2, chunks, strict=True) for _ in range(count)]
    take = rehearse(heard, Silent(), sum(chunks[:3]) * CHUNK_MS, judge)
    return take, asked


def test_a_turn_model_is_asked_in_each_pause_and_answers_later():
    heard, asked = judged(0.1, 0.95)
    assert asked == [(0, 1_248), (0, 3_264)]
    answers = [(at_ms, event) for at_ms, event in heard.events if isinstance(event, Judged)]
    assert answers == [
        (1_248 + JUDGEMENT_MS, Judged(1, 1_248, 0.1)),
        (3_264 + JUDGEMENT_MS, Judged(1, 3_264, 0.95)),
    ]


def test_only_a_policy_that_asks_goes_by_the_answers():
    heard, _ = judged(0.1, 0.95)
    assert wait_ms(heard, ADAPTIVE) < 0
    assert wait_ms(heard, JUDGED) == pytest.approx(480, abs=CHUNK_MS)


def test_answers_that_mislead_cut_the_turn_off():
    heard, _ = judged(0.95, 0.1, pause_ms=600)
    assert wait_ms(heard, ADAPTIVE) == pytest.approx(800, abs=CHUNK_MS)
    assert wait_ms(heard, JUDGED) < 0


def test_the_equally_patient_policy_waits_about_as_long():
    heard = [take(said("we looked at logs", pause_ms), said("all day")) for pause_ms in (400, 900)]
    score = equally_patient(heard, 1_000, lambda silence_ms: fixed(silence_ms))
    assert score.waits_ms == pytest.approx((1_000, 1_000), abs=2 * CHUNK_MS)


def test_the_comparison_names_all_policies():
    heard = [judged(0.1, 0.95)[0], judged(0.95, 0.95, pause_ms=400)[0]]
    text = comparison(heard)
    assert [kind for kind, _ in policies(800, heard=False)] == ["fixed", "adaptive"]
    assert all(f"{kind} " in text for kind, _ in policies(800, heard=True))
    assert comparison([judged(0.1, 0.95)[0]]) == "every turn was cut off"
