import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.interview.answers import AnswerSpeech, InterviewAnswer, RecognitionSource
from stages.interview.bank import bank_for, roles
from stages.interview.evaluation import (
    CRITERIA,
    WEIGHTS,
    Score,
    combined,
    evaluate,
    evaluate_answer,
    unscored,
    weighted,
)
from stages.interview.feedback_lines import feedback_lines
from tests.support.conversation import (
    DEMO,
    GOOD,
    PERFORMANCE,
    VAGUE,
    WHISPER,
    good,
    spoken_answer,
    words,
)
from tests.support.examples import examples

BANK = bank_for("Software Engineer")


def score(criterion: str, text: str, prompt_id: str | None = "performance") -> Score:
    found = evaluate_answer(BANK, InterviewAnswer(PERFORMANCE, text, prompt_id))
    return next(s for s in found.scores if s.criterion == criterion)


def test_a_good_answer_is_told_from_a_vague_one() -> None:
    fine, poor = evaluate("Software Engineer", [good(), good(text=VAGUE)]).answers
    assert fine.overall is not None
    assert poor.overall is not None
    assert fine.overall >= 90
    assert poor.overall <= 40


def test_every_score_says_that_it_is_a_heuristic() -> None:
    evaluation = evaluate("Software Engineer", [good()])
    [answer] = evaluation.answers
    assert [s.criterion for s in answer.scores] == list(CRITERIA)
    assert {s.source for s in (*answer.scores, *evaluation.skills)} == {"heuristic"}
    assert (answer.source, evaluation.source, evaluation.method) == (
        "heuristic",
        "heuristic",
        feedback_lines("en").method,
    )
    assert "heuristic" in evaluation.method


def test_a_score_of_speech_names_the_recogniser_and_its_quality() -> None:
    evaluation = evaluate("Software Engineer", [spoken_answer()])
    scores = (*evaluation.answers[0].scores, *evaluation.skills)
    assert {s.recognition for s in scores} == {WHISPER}
    assert WHISPER.quality == "full"


def test_demo_recognition_is_measured_but_never_scored() -> None:
    [found] = evaluate("Software Engineer", [spoken_answer(recognition=DEMO)]).answers
    assert (found.overall, found.scores) == (None, ())
    assert found.unscored == (
        "Not scored: recognised with demo quality (pocketsphinx), so these may not be your words."
    )
    assert found.delivery is not None
    assert found.delivery.words_per_minute == 150


def test_an_answer_that_is_half_demo_recognition_is_not_scored() -> None:
    timed = words("a b c")
    both = AnswerSpeech(WHISPER, timed).then(AnswerSpeech(DEMO, timed))
    assert "demo quality" in str(unscored(good(speech=both)))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (good(declined=True), "Not scored: this question was skipped."),
        (good(text=" … "), "Not scored: no words were understood."),
        (
            good(speech=AnswerSpeech(RecognitionSource("whisper", confidence=0.31))),
            "Not scored: the recogniser (whisper) was not sure what it heard (confidence 0.31).",
        ),
        (
            good(
                text="Letztes Jahr hat unsere Seite acht Sekunden zum Laden gebraucht und ich habe "
                "die Abfrage neu geschrieben und einen Index angelegt."
            ),
            "Not scored: the heuristic reads English only, and this does not look like it.",
        ),
        (good(), None),
    ],
)
def test_what_cannot_be_scored_says_why(answer: InterviewAnswer, reason: str | None) -> None:
    found = evaluate_answer(BANK, answer)
    assert found.unscored == reason
    assert (found.overall is None) == (reason is not None)


@pytest.mark.parametrize(
    ("text", "found", "value"),
    [
        ("It was nice.", 0, 0),
        ("The page was slow.", 1, 33),
        ("The page took two seconds, so I profiled it.", 2, 67),
        ("The page took two seconds, so I profiled it and added a cache.", 3, 100),
        (GOOD, 4, 100),
    ],
)
def test_coverage_counts_points_of_the_rubric(text: str, found: int, value: int) -> None:
    scored = score("coverage", text)
    assert len(scored.found) + len(scored.missing) == 4
    if text == "The page was slow.":  # the question's own word tells nothing, the page does
        assert scored.found == ("what was slow, and for whom",)
    assert (len(scored.found), scored.value) == (found, value)


def test_saying_the_question_again_covers_nothing() -> None:
    assert score("coverage", PERFORMANCE).found == ()


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        (GOOD, ()),
        ("Last year I had to do it, so I rewrote the query.", ("result",)),
        ("I rewrote it. In the end it was faster.", ("situation", "task")),
        ("It is all about people.", ("situation", "task", "action", "result")),
    ],
)
def test_a_story_has_four_parts(text: str, missing: tuple[str, ...]) -> None:
    scored = score("structure", text)
    assert scored.missing == missing
    assert scored.value == 100 - 25 * len(missing)


def test_a_question_about_an_approach_wants_other_parts() -> None:
    text = (
        "First I ask what would break. For example we had a payment bug. I do it because time is "
        "short, but it depends on the risk."
    )
    scored = score("structure", text, "testing")
    assert scored.found == ("steps", "reasons", "example", "limits")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("It was fine.", "0 numbers, 0 names, 0 deeds, 0 vague words."),
        ("I built it in two and a half weeks.", "1 number, 0 names, 1 deed, 0 vague words."),
        ("Twenty five percent with Kafka.", "1 number, 1 name, 0 deeds, 0 vague words."),
        ("some stuff and things", "0 numbers, 0 names, 0 deeds, 2 vague words."),
        ("we called Amanda and Bill, and I’m glad", "0 numbers, 2 names, 0 deeds, 0 vague words."),
    ],
)
def test_detail_is_numbers_names_and_deeds(text: str, reason: str) -> None:
    assert score("specificity", text).reason == reason


@pytest.mark.parametrize(
    ("count", "value"),
    [
        (1, 0),
        (5, 0),
        (20, 35),
        (40, 68),
        (60, 100),
        (280, 100),
        (390, 80),
        (1_000, 40),
        (4_000, 40),
    ],
)
def test_length_is_worth_most_between_half_a_minute_and_two(count: int, value: int) -> None:
    assert score("length", "so " * count).value == value


def test_quotes_are_the_candidates_own_words() -> None:
    [found] = evaluate("Software Engineer", [good()]).answers
    quotes = [quote for s in found.scores for quote in s.quotes]
    assert len(quotes) >= 5
    assert [q for q in quotes if q.strip(" …") not in GOOD] == []


def test_a_criterion_without_a_value_gives_its_weight_to_the_others() -> None:
    scores = [Score("coverage", None, "h", ""), Score("structure", 80, "h", ""),
              Score("length", 10, "h", "")]  # fmt: skip
    assert weighted(scores) == round((80 * 25 + 10 * 10) / 35)
    assert weighted(scores[:1]) is None
    assert sum(WEIGHTS.values()) == 100


def test_a_follow_up_has_no_expected_points() -> None:
    found = evaluate_answer(BANK, good(prompt_id="any/scale"))
    coverage = found.score("coverage")
    assert coverage is not None
    assert coverage.value is None
    assert coverage.reason == "Not scored: there is no list of expected points for this question."
    assert found.overall is not None


def test_what_is_not_scored_does_not_pull_the_mean_down() -> None:
    alone = evaluate("Software Engineer", [good()])
    beside = evaluate("Software Engineer", [good(), good(declined=True)])
    assert beside.overall == alone.overall
    assert [s.value for s in beside.skills] == [s.value for s in alone.skills]
    assert combined([]).overall is None


@pytest.mark.parametrize("role", roles())
def test_every_rubric_is_found_in_an_answer_that_names_its_points(role: str) -> None:
    bank = bank_for(role)
    for question in bank.questions:
        assert 3 <= len(question.rubric) <= 5
        assert question.shape in ("story", "approach")
        first = [point.heard.pattern for point in question.rubric]
        assert len(set(first)) == len(first), question.id


@examples(60)
@given(st.text(max_size=600), st.sampled_from(["performance", "testing", "any/scale", None, "?"]))
def test_whatever_is_said_scores_stay_in_their_range(text: str, prompt_id: str | None) -> None:
    found = evaluate_answer(BANK, InterviewAnswer("Why?", text, prompt_id))
    values = [found.overall, *(s.value for s in found.scores)]
    assert all(value is None or 0 <= value <= 100 for value in values)
    assert (found.unscored is None) == bool(found.scores)


def test_an_endless_answer_takes_no_endless_work() -> None:
    for text in ("a" * 1_000_000, "I built it. " * 100_000, "um " * 500_000, "." * 1_000_000):
        evaluate("Software Engineer", [good(text=text)])
