import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.interview.answers import AnswerSpeech, InterviewAnswer, RecognitionSource
from stages.interview.evaluation import evaluate
from stages.interview.feedback import MOST, InterviewFeedback, give_feedback, with_source
from stages.interview.feedback_lines import feedback_lines
from tests.support.conversation import (
    DEMO,
    GOOD,
    VAGUE,
    WHISPER,
    good,
    spoken_answer,
    words,
)
from tests.support.examples import examples

ROLE = "Software Engineer"
LINES = feedback_lines("en")


def told(*answers: InterviewAnswer) -> InterviewFeedback:
    return give_feedback(ROLE, answers, evaluate(ROLE, answers))


def everything(feedback: InterviewFeedback) -> str:
    parts = (feedback.overall, *feedback.answers)
    return "\n".join("\n".join((*f.strengths, *f.improvements, f.next_step)) for f in parts)


def test_a_good_answer_is_praised_for_something_that_was_said() -> None:
    [found] = told(good()).answers
    assert found.headline == "A strong answer"
    assert found.improvements == ()
    quotes = [line for line in found.strengths if "“" in line]
    assert len(quotes) == 1
    assert quotes[0].split("“")[1].split("”")[0].strip(" …") in GOOD


def test_a_vague_answer_hears_what_is_missing() -> None:
    [found] = told(good(text=f"{VAGUE} {VAGUE}")).answers
    assert found.headline == "A start to build on"
    assert len(found.improvements) == MOST
    assert any("“kind of” leave people guessing" in line for line in found.improvements)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (
            "Last year our team had to make checkout faster, so we measured it and we cached the "
            "page, and in the end it took half the time for our customers.",
            {LINES.we},
        ),
        ("I fixed it.", set(LINES.short)),
        (GOOD + " so" * 400, {LINES.long}),
        (GOOD.replace("In the end", "Then").partition("Then")[0], {LINES.parts["result"]}),
        ("Last year I had to do it. In the end it was faster.", {LINES.parts["action"]}),
    ],
)
def test_what_is_wrong_is_named(text: str, lines: set[str]) -> None:
    [found] = told(good(text=text)).answers
    assert len(lines & set(found.improvements)) == 1


@pytest.mark.parametrize(
    ("each_ms", "line"),
    [(300, "You spoke fast, 200 words a minute."), (700, "You spoke slowly, 86 words a minute.")],
)
def test_the_pace_is_part_of_the_feedback(each_ms: int, line: str) -> None:
    answer = good(text=GOOD, speech=AnswerSpeech(WHISPER, words(GOOD, each_ms=each_ms)))
    assert line in everything(told(answer))


def test_a_pace_in_another_language_is_not_judged() -> None:
    speech = AnswerSpeech(RecognitionSource("whisper", language="ja"), words(GOOD, each_ms=300))
    assert "You spoke fast" not in everything(told(good(speech=speech)))


def test_fillers_and_long_pauses_are_part_of_the_feedback() -> None:
    text = " ".join(["um"] * 8 + GOOD.split()[:30])
    fillers = good(text=text, speech=AnswerSpeech(WHISPER, words(text)))
    assert "“um” came up 8 times" in everything(told(fillers))
    begin, end = " ".join(GOOD.split()[:40]), " ".join(GOOD.split()[40:])
    timed = (*words(begin, each_ms=350), *words(end, each_ms=350, first_ms=40 * 350 + 4_500))
    assert "Your longest pause lasted 4 seconds." in everything(
        told(good(speech=AnswerSpeech(WHISPER, timed)))
    )


def test_nothing_is_said_about_words_of_demo_recognition() -> None:
    feedback = told(spoken_answer(VAGUE, DEMO))
    [found] = feedback.answers
    assert found.headline == "Not scored"
    assert "to have it scored" in found.next_step
    assert "“" not in everything(feedback)
    assert feedback.overall.headline == "No answer could be scored"


def test_a_skipped_question_gets_a_way_into_it() -> None:
    [found] = told(good(declined=True)).answers
    assert found.next_step == (
        "Prepare three sentences for this question; begin with what was slow, and for whom."
    )


def test_no_line_is_used_twice_where_there_are_others() -> None:
    texts = ["I fixed it well.", "I made it quick.", "I got it done."]
    feedback = told(*(good(text=text) for text in texts))
    steps = [f.next_step for f in feedback.answers]
    assert len(set(steps[:2])) == 2


def test_the_whole_points_at_the_weakest_answer() -> None:
    feedback = told(good(), good(text=VAGUE))
    assert feedback.overall.next_step.startswith("Begin with question 2. ")
    assert "Your best answer was to question 1" in " ".join(feedback.overall.strengths)


def test_an_empty_interview_has_feedback_too() -> None:
    feedback = told()
    assert (feedback.overall.headline, feedback.answers) == ("No question was answered", ())


def test_feedback_says_where_it_comes_from() -> None:
    feedback = told(good())
    assert {f.source for f in (feedback.overall, *feedback.answers)} == {"heuristic"}
    other = with_source(feedback, "x")
    assert {f.source for f in (other.overall, *other.answers)} == {"x"}


@examples(60)
@given(st.lists(st.text(max_size=200), max_size=3))
def test_whatever_is_said_feedback_is_short_and_there(texts: list[str]) -> None:
    feedback = told(*(good(text=text) for text in texts))
    for found in (feedback.overall, *feedback.answers):
        assert found.headline
        assert found.next_step
        assert len(found.strengths) <= MOST
        assert len(found.improvements) <= MOST
        assert all(len(line) < 400 for line in (*found.strengths, *found.improvements))
