"""A small interview with its answers, for tests."""

from collections.abc import Sequence

from pipeline.frames import Word
from stages.interview import InterviewConfig, InterviewSession, respond, start
from stages.interview.answers import AnswerSpeech, InterviewAnswer, RecognitionSource

GOOD = (
    "Last year at my previous company our checkout page took eight seconds to load. I had to get "
    "it under two seconds before Black Friday. I profiled the requests with Jaeger, found that one "
    "query ran four hundred times, and I rewrote it as a single join with an index in Postgres. In "
    "the end the page loaded in 1.4 seconds and conversion went up by 6 percent."
)
VAGUE = "We kind of made it faster with some stuff, basically, and various things."

WHISPER = RecognitionSource("whisper", confidence=0.9, language="en")
DEMO = RecognitionSource("pocketsphinx")

PERFORMANCE = "Give me an example of something slow that you made fast."


def good(**changes: object) -> InterviewAnswer:
    fields: dict[str, object] = {
        "question": PERFORMANCE,
        "text": GOOD,
        "prompt_id": "performance",
        **changes,
    }
    return InterviewAnswer(**fields)  # type: ignore[arg-type]


def words(text: str, each_ms: int = 400, gap_ms: int = 0, first_ms: int = 0) -> tuple[Word, ...]:
    """Words of equal length with equal silences between them."""
    step = each_ms + gap_ms
    return tuple(
        Word(word, first_ms + n * step, first_ms + n * step + each_ms)
        for n, word in enumerate(text.split())
    )


def spoken_answer(text: str = GOOD, recognition: RecognitionSource = WHISPER) -> InterviewAnswer:
    timed = words(text)
    return good(
        text=text, speech=AnswerSpeech(recognition, timed, timed[-1].end_ms + 500, wait_ms=700)
    )


def interview(
    answers: Sequence[str], role: str = "Software Engineer", total: int = 3
) -> InterviewSession:
    session = start(InterviewConfig(role, "auto", total)).session
    for answer in answers:
        session = respond(session, answer).session
    return session
