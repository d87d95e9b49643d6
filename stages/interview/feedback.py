"""Feedback to a candidate: strengths, improvements, and one next step. Pure.

This is the offline coach. It says only what the evaluation has found, quotes only the candidate's
own words, and picks its lines by the answer, not at random: the same interview always gets the same
feedback. `judge.Judge` has a chat model write it instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from stages.interview.answers import InterviewAnswer
from stages.interview.bank import bank_for, seed_of
from stages.interview.cue_lists import CUES
from stages.interview.delivery import Delivery
from stages.interview.evaluation import (
    HEURISTIC,
    AnswerEvaluation,
    Criterion,
    Evaluation,
    Score,
    language_of,
)
from stages.interview.feedback_lines import FeedbackLines, feedback_lines
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

_FAIR = 45

_TOO_SHORT = 40
"""Below this score for length, the length is the first thing to improve."""

LABELS = feedback_lines("en").labels
"""The criteria's names in English."""


_INNER_QUOTES = str.maketrans("“”„", "‘’‚")


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
    """Feedback on what `evaluation` says about `answers`, in their language.

    Raises `UnknownRole`.
    """
    said: set[str] = set()
    each = tuple(
        feedback_on(role, answer, found, said)
        for answer, found in zip(answers, evaluation.answers, strict=True)
    )
    return InterviewFeedback(_overall(evaluation, each, feedback_lines(language_of(answers))), each)


def feedback_on(
    role: str, answer: InterviewAnswer, evaluation: AnswerEvaluation, said: set[str] | None = None
) -> Feedback:
    """Feedback on one answer. Raises `UnknownRole`.

    Lines in `said` are avoided if there are others; the lines used are added to it.
    """
    question = bank_for(role, answer.language).question(answer.prompt_id)
    known = feedback_lines(answer.language)
    shape = "story" if question is None else question.shape
    lines = _Lines(answer, evaluation, shape, set() if said is None else said)
    if evaluation.overall is None:
        wanted = question.rubric[0].say if question is not None else known.main_point
        return lines.unscored(wanted)
    strengths = lines.strengths()[:MOST]
    return Feedback(
        evaluation.number,
        headline_of(evaluation.overall, known.headlines),
        strengths or (lines.beginning(),),
        lines.improvements()[:MOST],
        lines.next_step(),
    )


def headline_of(value: int, headlines: Sequence[str]) -> str:
    """A score of 0 to 100 in a few words: one of four, the best first."""
    least = (_READY, GOOD, _FAIR, 0)
    return next(line for line, lowest in zip(headlines, least, strict=True) if value >= lowest)


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
        self._declined = answer.declined
        self._lines = feedback_lines(answer.language)
        self._cues = CUES[answer.language]
        recognised = None if answer.recognition is None else answer.recognition.language
        # A pace is comfortable or not in the language that was spoken.
        self._paced = recognised is None or recognised.lower().startswith(answer.language)

    def pick(self, lines: Sequence[str]) -> str:
        """One of the lines, if possible one that no other answer of the interview has."""
        first = self._seed % len(lines)
        rotated = (*lines[first:], *lines[:first])
        line = next((line for line in rotated if line not in self._said), rotated[0])
        self._said.add(line)
        return line

    def strengths(self) -> tuple[str, ...]:
        lines, phrases = [], self._lines
        coverage = self._good("coverage")
        if coverage is not None and coverage.found:
            lines.append(self.pick(phrases.covered).format(_listed(coverage.found[:2], phrases)))
        specificity = self._good("specificity")
        if specificity is not None and specificity.quotes:
            lines.append(self.pick(phrases.concrete).format(_quotable(specificity.quotes[0])))
        structure = self._good("structure")
        if structure is not None and not structure.missing:
            lines.append(self.pick(phrases.whole[self._shape]))
        delivery = self._evaluation.delivery
        if delivery is not None and self._comfortable(delivery):
            lines.append(self.pick(phrases.steady).format(delivery.words_per_minute))
        if self._good("length") is not None:
            lines.append(self.pick(phrases.right_length))
        return tuple(lines)

    def beginning(self) -> str:
        """A strength for an answer that has none by its scores."""
        coverage = self._evaluation.score("coverage")
        if coverage is not None and coverage.found:
            return self.pick(self._lines.beginning).format(coverage.found[0])
        return self.pick(self._lines.no_beginning)

    def improvements(self) -> tuple[str, ...]:
        lines, phrases = [], self._lines
        coverage = self._evaluation.score("coverage")
        if coverage is not None and coverage.missing:
            missing = coverage.missing[0]
            lines.append(self.pick(phrases.not_covered).format(missing, _sentence(missing)))
        structure = self._evaluation.score("structure")
        if structure is not None and structure.missing:
            # A missing end of a story weighs most.
            lines.append(phrases.parts[structure.missing[-1]])
        lines.extend(self._words())
        length = self._evaluation.score("length")
        if length is not None and length.missing:
            line = phrases.long if "fewer words" in length.missing else self.pick(phrases.short)
            lines.insert(0 if (length.value or 0) < _TOO_SHORT else len(lines), line)
        # One of the few lines is kept for the delivery.
        return (*lines[: MOST - 1], *self._spoken()[:1], *lines[MOST - 1 :])

    def next_step(self) -> str:
        phrases = self._lines
        known = [s for s in self._evaluation.scores if s.value is not None]
        worst = min(known, key=lambda score: score.value or 0)
        if (worst.value or 0) >= GOOD:
            return self.pick(phrases.next_good)
        if worst.criterion == "length" and "fewer words" in worst.missing:
            return phrases.next_long
        missing = worst.missing[0] if worst.missing else phrases.your_main_point
        return self.pick(phrases.next[worst.criterion]).format(missing, phrases.orders[self._shape])

    def unscored(self, wanted: str) -> Feedback:
        evaluation, phrases = self._evaluation, self._lines
        number, delivery = evaluation.number, evaluation.delivery
        heard = bool(self._wording.words) and not self._declined
        strengths: tuple[str, ...] = ()
        if heard and delivery is not None and self._comfortable(delivery):
            strengths = (self.pick(phrases.steady).format(delivery.words_per_minute),)
        if heard:
            step = phrases.step_language if delivery is None else phrases.step_better_recogniser
            improvements = tuple(self._spoken()[:1])
            return Feedback(number, phrases.not_scored, strengths, improvements, step)
        improvements = (phrases.skipping if self._declined else phrases.nothing_heard,)
        step = phrases.step_prepare.format(wanted)
        return Feedback(number, phrases.no_answer, (), improvements, step)

    def _good(self, criterion: Criterion) -> Score | None:
        score = self._evaluation.score(criterion)
        return score if score is not None and (score.value or 0) >= GOOD else None

    def _words(self) -> list[str]:
        lines, phrases, cues = [], self._lines, self._cues
        ours = len(cues.ours.findall(self._wording.line))
        mine = len(cues.mine.findall(self._wording.line))
        if self._shape == "story" and ours >= 3 and ours > mine:
            lines.append(phrases.we)
        specificity = self._evaluation.score("specificity")
        if specificity is not None and (specificity.value or 0) < GOOD:
            vague = list(dict.fromkeys(m[0] for m in cues.vague.finditer(self._wording.line)))
            if len(vague) > 1:
                lines.append(phrases.vague.format(vague[0]))
            elif "numbers" in specificity.missing:
                lines.append(self.pick(phrases.no_numbers))
        return lines

    def _spoken(self) -> list[str]:
        delivery = self._evaluation.delivery
        if delivery is None:
            return []
        lines, phrases = [], self._lines
        if delivery.fillers and (delivery.fillers_per_minute or 0) > MANY_FILLERS:
            worst = delivery.fillers[0]
            if worst.count > 2:
                lines.append(phrases.fillers.format(worst.text, worst.count))
        pace = delivery.words_per_minute
        low, high = self._cues.comfortable_wpm
        if pace is not None and self._paced:
            if pace > high:
                lines.append(phrases.fast.format(pace))
            elif pace < low:
                lines.append(phrases.slow.format(pace))
        if (delivery.pause_longest_ms or 0) >= LONG_PAUSE_MS:
            lines.append(phrases.pauses.format((delivery.pause_longest_ms or 0) / 1000))
        return lines

    def _comfortable(self, delivery: Delivery) -> bool:
        low, high = self._cues.comfortable_wpm
        pace = delivery.words_per_minute
        return pace is not None and low <= pace <= high and self._paced


def _overall(evaluation: Evaluation, each: Sequence[Feedback], phrases: FeedbackLines) -> Feedback:
    if evaluation.overall is None:
        return Feedback(
            0,
            phrases.none_scored if each else phrases.none_answered,
            (),
            (),
            phrases.step_none,
        )
    scored = [a for a in evaluation.answers if a.overall is not None]
    best = max(scored, key=lambda a: a.overall or 0)
    weakest = min(scored, key=lambda a: a.overall or 0)
    # Praise for the length alone would discourage.
    telling = [s for s in evaluation.skills if s.criterion != "length"]
    skills = sorted(telling, key=lambda s: -(s.value or 0))
    strengths = [
        phrases.best_skill.format(phrases.labels[skill.criterion], skill.value)
        for skill in skills[:1]
        if (skill.value or 0) >= GOOD
    ]
    if (best.overall or 0) >= GOOD:
        strengths.append(phrases.best_answer.format(best.number, best.overall))
    improvements = [
        phrases.weakest_skill.format(phrases.labels[skill.criterion], skill.value)
        for skill in skills[-1:]
        if (skill.value or 0) < GOOD
    ]
    if len(scored) < len(evaluation.answers):
        left = len(evaluation.answers) - len(scored)
        improvements.append(phrases.unscored_count.format(left, len(evaluation.answers)))
    step = next(f for f in each if f.number == weakest.number).next_step
    told = phrases.begin_with.format(weakest.number, step)
    if (weakest.overall or 0) >= _READY:
        told = phrases.go_on
    headline = headline_of(evaluation.overall, phrases.headlines_overall)
    return Feedback(0, headline, tuple(strengths), tuple(improvements), told)


def with_source(feedback: InterviewFeedback, source: str) -> InterviewFeedback:
    """The same feedback with another source, for example after a model failed to answer."""
    return InterviewFeedback(
        replace(feedback.overall, source=source),
        tuple(replace(each, source=source) for each in feedback.answers),
    )


def _listed(parts: Sequence[str], phrases: FeedbackLines) -> str:
    plain, with_commas = phrases.joins
    return (with_commas if any("," in part for part in parts) else plain).join(parts)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _quotable(quote: str) -> str:
    """A quotation inside quotation marks, without the full stop that would end the sentence."""
    return quote.strip().rstrip(".").translate(_INNER_QUOTES)
