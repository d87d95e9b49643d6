from pipeline.stage import Message
from stages.interview import (
    InterviewConfig,
    InterviewSession,
    answers_of,
    evaluate,
    give_feedback,
    make_report,
    spoken_summary,
    summary_of,
)
from tests.support.conversation import GOOD, interview

ROLE = "Software Engineer"
ANSWERS = ["I fixed a race condition in Python by hand.", "I use a debugger for that every day."]


def test_the_summary_is_the_contracts_template() -> None:
    session = interview([*ANSWERS, "I wrote it all down for the team.", GOOD, GOOD], total=5)
    assert session.is_complete
    assert summary_of(session) == {
        "summary": "Interview Complete!\n\nRole: Software Engineer\nQuestions: 5\nResponses: 5\n\n"
        "Thank you for your participation."
    }


def test_responses_are_answers_and_not_the_opening() -> None:
    assert "Responses: 0\n" in summary_of(interview([]))["summary"]
    again = interview(["Could you repeat that?", *ANSWERS])
    assert "Responses: 2\n" in summary_of(again)["summary"]


def test_answers_after_the_contracts_own_fallback_line_count() -> None:
    fallback = Message("assistant", "Thank you for your answer. Moving to next question.")
    lines = (
        Message("system", "s"),
        Message("user", "Please start the interview."),
        Message("assistant", "Hello. Question 1: Why?"),
        Message("user", "Because I like it very much."),
        fallback,
        Message("user", "And because I am good at it."),
        fallback,
    )
    session = InterviewSession(InterviewConfig(ROLE, "m", 5), lines, 3)
    assert "Responses: 2\n" in summary_of(session)["summary"]


def test_what_is_known_comes_before_the_thanks() -> None:
    session = interview(ANSWERS)
    answers = answers_of(session)
    evaluation = evaluate(ROLE, answers)
    feedback = give_feedback(ROLE, answers, evaluation)
    text = summary_of(session, evaluation, feedback, text="You spoke about bugs.")["summary"]
    parts = text.split("\n\n")
    assert parts[0] == "Interview Complete!"
    assert parts[2] == "You spoke about bugs."
    assert parts[3].startswith(f"Overall: {evaluation.overall} of 100 (heuristic)\nContent: ")
    assert parts[4].endswith(feedback.overall.next_step)
    assert parts[-1] == "Thank you for your participation."


def test_a_spoken_summary_says_that_it_is_a_heuristic() -> None:
    session = interview(ANSWERS)
    answers = answers_of(session)
    report = make_report(session, answers, evaluate(ROLE, answers))
    text = spoken_summary(report)
    assert text.startswith(f"You answered 2 questions of 3. Your overall score is {report.overall}")
    assert "It is a rough estimate that counts words and understands none." in text
    assert "\n" not in text


def test_a_spoken_summary_of_nothing_is_short() -> None:
    session = interview([])
    report = make_report(session, (), evaluate(ROLE, ()))
    assert "score" not in spoken_summary(report)
