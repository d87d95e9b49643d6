"""Feedback to a candidate: strengths, improvements, and one next step. Pure.

This is the offline coach. It says only what the evaluation has found, quotes only the candidate's
own words, and picks its lines by the answer, not at random: the same interview always gets the same
feedback. `judge.Judge` has a chat model write it instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from stages.interview import cues
from stages.interview import feedback_lines as phrases
from stages.interview.answers import InterviewAnswer
from stages.interview.bank import bank_for, seed_of
from stages.interview.delivery import COMFORTABLE_WPM, Delivery
from stages.interview.evaluation import HEURISTIC, AnswerEvaluation, Criterion, Evaluation, Score
from stages.interview.wording import Wording

GOOD = 70
"""Scores of at least this are strengths, lower ones need work."""

MOST = 3
"""At most this many strengths, and as many improvements: more would not be remembered."""

MANY_FILLERS = 6.0
"""Fillers a minute that listeners notice: a choice of this project."""

LONG_PAUSE_MS = 4_000

_READY = 85
"""Scores of at least this need no more work."""

_TOO_SHORT = 40
"""Below this score for length, the length is the first thing to improve."""

LABELS: dict[Criterion, str] = {
    "coverage": "Content",
    "structure": "Structure",
    "specificity": "Detail",
    "length": "Length",
}


@dataclass(frozen=True, slots=True)
class Feedback:
    """Feedback on one answer or, with number 0, on the whole interview."""

    number: int
    headline: str
    strengths: tuple[str, ...]
    improvements: tuple[str, ...]
    next_step: str
    source: str = HEURISTIC


@dataclass(frozen=True, slots=True)
class InterviewFeedback:
    """Feedback on each answer, in order, and on the whole interview."""

    overall: Feedback
    answers: tuple[Feedback, ...]


def give_feedback(
    role: str, answers: Sequence[InterviewAnswer], evaluation: Evaluation
) -> InterviewFeedback:
    """Feedback on what `evaluation` says about `answers`. Raises `UnknownRole`."""
    said: set[str] = set()
    each = tuple(
        feedback_on(role, answer, found, said)
        for answer, found in zip(answers, evaluation.answers, strict=True)
    )
    return InterviewFeedback(_overall(evaluation, each), each)


def feedback_on(
    role: str, answer: InterviewAnswer, evaluation: AnswerEvaluation, said: set[str] | None = None
) -> Feedback:
    """Feedback on one answer. Raises `UnknownRole`.

    Lines in `said` are avoided if there are others; the lines used are added to it.
    """
    question = bank_for(role).question(answer.prompt_id)
    shape = "story" if question is None else question.shape
    lines = _Lines(answer, evaluation, shape, set() if said is None else said)
    if evaluation.overall is None:
        wanted = question.rubric[0].say if question is not None else "the main point"
        return lines.unscored(wanted)
    strengths = lines.strengths()[:MOST]
    return Feedback(
        evaluation.number,
        headline_of(evaluation.overall),
        strengths or (lines.beginning(),),
        lines.improvements()[:MOST],
        lines.next_step(),
    )


def headline_of(value: int) -> str:
    """A score of 0 to 100 in a few words."""
    if value >= _READY:
        return "A strong answer"
    if value >= GOOD:
        return "A good answer"
    if value >= 45:
        return "A fair answer with room to grow"
    return "A start to build on"


class _Lines:
    """The lines for one answer."""

    def __init__(
        self, answer: InterviewAnswer, evaluation: AnswerEvaluation, shape: str, said: set[str]
    ) -> None:
        self._seed = seed_of(answer.prompt_id, answer.text)
        self._evaluation = evaluation
        self._shape = shape
        self._said = said
        self._wording = Wording(answer.text)

    def pick(self, lines: Sequence[str]) -> str:
        """One of the lines, if possible one that no other answer of the interview has."""
        first = self._seed % len(lines)
        rotated = (*lines[first:], *lines[:first])
        line = next((line for line in rotated if line not in self._said), rotated[0])
        self._said.add(line)
        return line

    def strengths(self) -> tuple[str, ...]:
        lines = []
        coverage = self._good("coverage")
        if coverage is not None and coverage.found:
            lines.append(self.pick(phrases.COVERED).format(_listed(coverage.found[:2])))
        specificity = self._good("specificity")
        if specificity is not None and specificity.quotes:
            lines.append(self.pick(phrases.CONCRETE).format(_quotable(specificity.quotes[0])))
        structure = self._good("structure")
        if structure is not None and not structure.missing:
            lines.append(self.pick(phrases.WHOLE[self._shape]))
        delivery = self._evaluation.delivery
        if delivery is not None and _comfortable(delivery):
            lines.append(self.pick(phrases.STEADY).format(delivery.words_per_minute))
        if self._good("length") is not None:
            lines.append(self.pick(phrases.RIGHT_LENGTH))
        return tuple(lines)

    def beginning(self) -> str:
        """A strength for an answer that has none by its scores."""
        coverage = self._evaluation.score("coverage")
        if coverage is not None and coverage.found:
            return self.pick(phrases.BEGINNING).format(coverage.found[0])
        return self.pick(phrases.NO_BEGINNING)

    def improvements(self) -> tuple[str, ...]:
        lines = []
        coverage = self._evaluation.score("coverage")
        if coverage is not None and coverage.missing:
            missing = coverage.missing[0]
            lines.append(self.pick(phrases.NOT_COVERED).format(missing, _sentence(missing)))
        structure = self._evaluation.score("structure")
        if structure is not None and structure.missing:
            # A missing end of a story weighs most.
            lines.append(phrases.PARTS[structure.missing[-1]])
        lines.extend(self._words())
        length = self._evaluation.score("length")
        if length is not None and length.missing:
            line = phrases.LONG if "fewer words" in length.missing else self.pick(phrases.SHORT)
            lines.insert(0 if (length.value or 0) < _TOO_SHORT else len(lines), line)
        # One of the few lines is kept for the delivery.
        return (*lines[: MOST - 1], *self._spoken()[:1], *lines[MOST - 1 :])

    def next_step(self) -> str:
        known = [s for s in self._evaluation.scores if s.value is not None]
        worst = min(known, key=lambda score: score.value or 0)
        if (worst.value or 0) >= GOOD:
            return self.pick(phrases.NEXT_GOOD)
        if worst.criterion == "length" and "fewer words" in worst.missing:
            return phrases.NEXT_LONG
        missing = worst.missing[0] if worst.missing else "your main point"
        return self.pick(phrases.NEXT[worst.criterion]).format(missing, phrases.ORDERS[self._shape])

    def unscored(self, wanted: str) -> Feedback:
        evaluation = self._evaluation
        number, delivery = evaluation.number, evaluation.delivery
        reason = evaluation.unscored or "Not scored."
        heard = bool(self._wording.words) and "skipped" not in reason
        strengths: tuple[str, ...] = ()
        if heard and delivery is not None and _comfortable(delivery):
            strengths = (self.pick(phrases.STEADY).format(delivery.words_per_minute),)
        if heard:
            step = "Type this answer, or repeat it with a better recogniser, to have it scored."
            if delivery is None:
                step = "Answer in English to have it scored offline, or let a language model judge."
            return Feedback(number, "Not scored", strengths, tuple(self._spoken()[:1]), step)
        if "skipped" in reason:
            improvements = ("Skipping is fine. In a real interview, even half an answer helps.",)
        else:
            improvements = ("Nothing reached us here. Check the microphone before the next time.",)
        step = f"Prepare three sentences for this question; begin with {wanted}."
        return Feedback(number, "No answer to score", (), improvements, step)

    def _good(self, criterion: Criterion) -> Score | None:
        score = self._evaluation.score(criterion)
        return score if score is not None and (score.value or 0) >= GOOD else None

    def _words(self) -> list[str]:
        lines = []
        ours = len(cues.OURS.findall(self._wording.line))
        mine = len(cues.MINE.findall(self._wording.line))
        if self._shape == "story" and ours >= 3 and ours > mine:
            lines.append(phrases.WE)
        specificity = self._evaluation.score("specificity")
        if specificity is not None and (specificity.value or 0) < GOOD:
            vague = list(dict.fromkeys(m[0] for m in cues.VAGUE.finditer(self._wording.line)))
            if len(vague) > 1:
                lines.append(phrases.VAGUE.format(vague[0]))
            elif "numbers" in specificity.missing:
                lines.append(self.pick(phrases.NO_NUMBERS))
        return lines

    def _spoken(self) -> list[str]:
        delivery = self._evaluation.delivery
        if delivery is None:
            return []
        lines = []
        if delivery.fillers and (delivery.fillers_per_minute or 0) > MANY_FILLERS:
            worst = delivery.fillers[0]
            if worst.count > 2:
                lines.append(phrases.FILLERS.format(worst.text, worst.count))
        pace = delivery.words_per_minute
        if pace is not None and _english(delivery):
            if pace > COMFORTABLE_WPM[1]:
                lines.append(phrases.FAST.format(pace))
            elif pace < COMFORTABLE_WPM[0]:
                lines.append(phrases.SLOW.format(pace))
        if (delivery.pause_longest_ms or 0) >= LONG_PAUSE_MS:
            lines.append(phrases.PAUSES.format((delivery.pause_longest_ms or 0) / 1000))
        return lines


def _overall(evaluation: Evaluation, each: Sequence[Feedback]) -> Feedback:
    if evaluation.overall is None:
        return Feedback(
            0,
            "No answer could be scored" if each else "No question was answered",
            (),
            (),
            "Take one question from this interview and answer it again in writing.",
        )
    scored = [a for a in evaluation.answers if a.overall is not None]
    best = max(scored, key=lambda a: a.overall or 0)
    weakest = min(scored, key=lambda a: a.overall or 0)
    # Praise for the length alone would discourage.
    telling = [s for s in evaluation.skills if s.criterion != "length"]
    skills = sorted(telling, key=lambda s: -(s.value or 0))
    strengths = [
        f"{LABELS[skill.criterion]} is your strength: {skill.value} of 100."
        for skill in skills[:1]
        if (skill.value or 0) >= GOOD
    ]
    if (best.overall or 0) >= GOOD:
        strengths.append(f"Your best answer was to question {best.number}: {best.overall} of 100.")
    improvements = [
        f"{LABELS[skill.criterion]} has the most to gain: {skill.value} of 100."
        for skill in skills[-1:]
        if (skill.value or 0) < GOOD
    ]
    if len(scored) < len(evaluation.answers):
        left = len(evaluation.answers) - len(scored)
        improvements.append(f"{left} of {len(evaluation.answers)} answers could not be scored.")
    step = next(f for f in each if f.number == weakest.number).next_step
    told = f"Begin with question {weakest.number}. {step}"
    if (weakest.overall or 0) >= _READY:
        told = "Practise questions that you have not met yet: this way of answering carries them."
    headline = headline_of(evaluation.overall).replace("answer", "interview")
    return Feedback(0, headline, tuple(strengths), tuple(improvements), told)


def with_source(feedback: InterviewFeedback, source: str) -> InterviewFeedback:
    """The same feedback with another source, for example after a model failed to answer."""
    return InterviewFeedback(
        replace(feedback.overall, source=source),
        tuple(replace(each, source=source) for each in feedback.answers),
    )


def _comfortable(delivery: Delivery) -> bool:
    low, high = COMFORTABLE_WPM
    pace = delivery.words_per_minute
    return pace is not None and low <= pace <= high and _english(delivery)


def _english(delivery: Delivery) -> bool:
    language = delivery.recognition.language
    return language is None or language.lower().startswith("en")


def _listed(parts: Sequence[str]) -> str:
    return (", and " if any("," in part for part in parts) else " and ").join(parts)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _quotable(quote: str) -> str:
    """A quotation inside quotation marks, without the full stop that would end the sentence."""
    return quote.strip().rstrip(".").replace("“", "‘").replace("”", "’")
