"""Scores of answers: four criteria, each 0 to 100, each with its source. Pure.

`evaluate` is the offline evaluator. It is a heuristic: it counts words that usually go with good
answers, without understanding them, and all its scores have the source "heuristic". `judge.Judge`
asks a chat model instead and gives the same types.

Words that may not be the candidate's are not scored: an answer recognised with demo quality or low
confidence has a reason in place of scores.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

from stages.interview import cues
from stages.interview.answers import InterviewAnswer, RecognitionSource
from stages.interview.bank import Question, RoleBank, bank_for
from stages.interview.delivery import Delivery, delivery_of
from stages.interview.wording import Wording

Criterion = Literal["coverage", "structure", "specificity", "length"]
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)

WEIGHTS: dict[Criterion, int] = {"coverage": 40, "structure": 25, "specificity": 25, "length": 10}
"""The weights of the criteria, of 100. The others share the weight of a criterion without score."""

HEURISTIC = "heuristic"
METHOD = (
    "These scores are a heuristic. They count words that usually go with good answers: the points "
    "that a question is after, how the answer is built, numbers and names, and length. Nothing "
    "here has understood what was said, so take them as a mirror and not as a verdict."
)

_SPARE_POINTS = 1
"""Points of a rubric of four or more that may be missing without loss."""

_LENGTHS = ((5, 0), (20, 35), (60, 100), (280, 100), (500, 60), (1_000, 40))
"""Numbers of words and their scores, linear in between. 60 words are about half a minute of speech,
280 two minutes."""


@dataclass(frozen=True, slots=True)
class Score:
    """One criterion of one answer, or of all. `value` is 0..100, None if it cannot be scored.

    `source` is "heuristic" or "model:<name>". `found` and `missing` are the parts that counted,
    `quotes` the candidate's exact words. `recognition` is their recogniser if they were spoken.
    """

    criterion: Criterion
    value: int | None
    source: str
    reason: str
    found: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    quotes: tuple[str, ...] = ()
    recognition: RecognitionSource | None = None


@dataclass(frozen=True, slots=True)
class AnswerEvaluation:
    """One answer's scores, or in `unscored` the reason why there are none. `number` counts from 1.

    `source` is the origin of the scores; it says so if a chat model gave no usable answer.
    """

    number: int
    prompt_id: str | None
    overall: int | None
    scores: tuple[Score, ...]
    source: str
    unscored: str | None = None
    delivery: Delivery | None = None

    def score(self, criterion: Criterion) -> Score | None:
        """That criterion's score, if there is one."""
        return next((s for s in self.scores if s.criterion == criterion), None)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All answers of an interview. `overall` and `skills` are means over the scored answers."""

    overall: int | None
    skills: tuple[Score, ...]
    answers: tuple[AnswerEvaluation, ...]
    source: str
    method: str


def evaluate(role: str, answers: Sequence[InterviewAnswer]) -> Evaluation:
    """Evaluate an interview's answers offline. Raises `UnknownRole`."""
    bank = bank_for(role)
    return combined(
        [evaluate_answer(bank, answer, number) for number, answer in enumerate(answers, 1)]
    )


def evaluate_answer(bank: RoleBank, answer: InterviewAnswer, number: int = 1) -> AnswerEvaluation:
    """Evaluate one answer offline."""
    wording = Wording(answer.text)
    reason = unscored(answer)
    if reason is None and not cues.is_english(wording.words):
        reason = "Not scored: the heuristic reads English only, and this does not look like it."
    if reason is not None:
        return without_scores(answer, number, reason)
    question = bank.question(answer.prompt_id)
    answered = _Answered(bank, question, answer, wording)
    scores = (_coverage(answered), _structure(answered), _specificity(answered), _length(answered))
    return AnswerEvaluation(
        number,
        answer.prompt_id,
        weighted(scores),
        scores,
        HEURISTIC,
        delivery=delivery_of(answer),
    )


def unscored(answer: InterviewAnswer) -> str | None:
    """A sentence why an answer must not be scored, by rules or by a model; or None."""
    recognition = answer.recognition
    if answer.declined:
        return "Not scored: this question was skipped."
    if not Wording(answer.text).words:
        return "Not scored: no words were understood."
    if recognition is None:
        return None
    if recognition.quality == "demo":
        return (
            f"Not scored: recognised with demo quality ({recognition.provider}), so these may not "
            "be your words."
        )
    if recognition.unsure:
        return (
            f"Not scored: the recogniser ({recognition.provider}) was not sure what it heard "
            f"(confidence {recognition.confidence:.2f})."
        )
    return None


def without_scores(answer: InterviewAnswer, number: int, reason: str) -> AnswerEvaluation:
    """The evaluation of an answer without scores. Its delivery is measured all the same, unless the
    question was declined."""
    delivery = None if answer.declined else delivery_of(answer)
    return AnswerEvaluation(
        number, answer.prompt_id, None, (), HEURISTIC, unscored=reason, delivery=delivery
    )


def weighted(scores: Sequence[Score]) -> int | None:
    """The mean of the scores that have a value, by `WEIGHTS`."""
    known = [(s.value, WEIGHTS[s.criterion]) for s in scores if s.value is not None]
    if not known:
        return None
    return round(sum(value * weight for value, weight in known) / sum(w for _, w in known))


def combined(answers: Sequence[AnswerEvaluation]) -> Evaluation:
    """An interview's evaluation from its answers' evaluations."""
    scored = [a for a in answers if a.overall is not None]
    sources = list(dict.fromkeys(a.source for a in scored))
    source = " and ".join(sources) or HEURISTIC
    skills = tuple(
        skill for criterion in CRITERIA if (skill := _skill(criterion, scored)) is not None
    )
    overall = [a.overall for a in scored if a.overall is not None]
    return Evaluation(
        overall=round(sum(overall) / len(overall)) if overall else None,
        skills=skills,
        answers=tuple(answers),
        source=source,
        method=_method(sources),
    )


def _method(sources: Sequence[str]) -> str:
    judged = [source for source in sources if source.startswith("model:")]
    if not judged:
        return METHOD
    names = " and ".join(source.removeprefix("model:") for source in judged)
    told = (
        f"Answers were scored by a language model ({names}). Models err and can be talked into "
        "things: take this as a mirror and not as a verdict."
    )
    rest = len(judged) < len(sources)
    return f"{told} Where it could not answer: {METHOD[0].lower()}{METHOD[1:]}" if rest else told


def _skill(criterion: Criterion, answers: Sequence[AnswerEvaluation]) -> Score | None:
    scores = [s for a in answers if (s := a.score(criterion)) is not None and s.value is not None]
    if not scores:
        return None
    value = round(sum(s.value or 0 for s in scores) / len(scores))
    sources = " and ".join(dict.fromkeys(s.source for s in scores))
    of = f"the mean of {len(scores)} answers" if len(scores) > 1 else "from one answer"
    spoken = list(dict.fromkeys(s.recognition for s in scores if s.recognition is not None))
    worst = min(spoken, key=lambda r: 1.0 if r.confidence is None else r.confidence, default=None)
    return Score(criterion, value, sources, f"{of[0].upper()}{of[1:]}.", recognition=worst)


# --- the criteria ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Answered:
    """An answer with its question."""

    bank: RoleBank
    question: Question | None
    answer: InterviewAnswer
    wording: Wording

    def score(
        self,
        criterion: Criterion,
        value: float | None,
        reason: str,
        found: Sequence[str] = (),
        missing: Sequence[str] = (),
        quotes: Sequence[str] = (),
    ) -> Score:
        return Score(
            criterion,
            None if value is None else max(0, min(100, round(value))),
            HEURISTIC,
            reason,
            tuple(found),
            tuple(missing),
            tuple(dict.fromkeys(quotes)),
            self.answer.recognition,
        )


def _coverage(answered: _Answered) -> Score:
    """The points of the rubric that the answer has. Words of the question do not count."""
    if answered.question is None:
        reason = "Not scored: there is no list of expected points for this question."
        return answered.score("coverage", None, reason)
    asked = set(Wording(answered.question.text).words)
    found, missing, quotes = [], [], []
    for point in answered.question.rubric:
        hits = point.heard.finditer(answered.wording.line)
        hit = next((h for h in hits if h[0] not in asked), None)
        if hit is None:
            missing.append(point.say)
        else:
            found.append(point.say)
            quotes.append(answered.wording.quote(hit))
    total = len(answered.question.rubric)
    needed = total - _SPARE_POINTS if total > 3 else total
    reason = f"Words of {len(found)} of {total} expected points were found."
    return answered.score("coverage", 100 * len(found) / needed, reason, found, missing, quotes)


def _structure(answered: _Answered) -> Score:
    """The parts of its shape that the answer has. A story: situation, task, action, result."""
    story = answered.question is None or answered.question.shape == "story"
    found, missing, quotes = [], [], []
    for name, cue in cues.STORY if story else cues.APPROACH:
        hit = answered.wording.find(cues.ACTION if cue is None else cue)
        if hit is None:
            missing.append(name)
        else:
            found.append(name)
            quotes.append(answered.wording.quote(hit))
    if answered.question is None and len(found) < len(cues.STORY):
        # The question's shape is unknown: the better one counts.
        other = [n for n, cue in cues.APPROACH if cue is not None and answered.wording.find(cue)]
        if len(other) > len(found):
            found, missing = other, [n for n, _ in cues.APPROACH if n not in other]
            quotes = []
    parts = ", ".join(found) if found else "none"
    reason = f"Parts found: {parts}." + (f" Not found: {', '.join(missing)}." if missing else "")
    total = len(found) + len(missing)
    return answered.score("structure", 100 * len(found) / total, reason, found, missing, quotes)


def _specificity(answered: _Answered) -> Score:
    """Numbers, names and deeds raise the score, vague words lower it."""
    line = answered.wording.line
    numbers = list(cues.NUMBER.finditer(line))
    names = list(
        dict.fromkeys((*answered.bank.terms_in(line), *_capitalised(answered.answer.text)))
    )
    story = answered.question is None or answered.question.shape == "story"
    verbs = cues.ACTION if story else cues.HABIT
    deeds = list({hit[0]: hit for hit in verbs.finditer(line)}.values())
    vague = list(dict.fromkeys(hit[0] for hit in cues.VAGUE.finditer(line)))
    value = 20 * min(2, len(numbers)) + 15 * min(2, len(names)) + 10 * min(3, len(deeds))
    value -= 5 * min(4, max(0, len(vague) - 1))
    counted = (("numbers", numbers), ("names", names), ("what you do", deeds))
    found = [name for name, hits in counted if hits]
    missing = [name for name, hits in counted if not hits]
    reason = (
        f"{_count(len(numbers), 'number')}, {_count(len(names), 'name')}, "
        f"{_count(len(deeds), 'deed')}, {_count(len(vague), 'vague word')}."
    )
    quotes = [answered.wording.quote(hit) for hit in (*numbers[:1], *deeds[:1])]
    return answered.score("specificity", value, reason, found, missing, quotes)


def _length(answered: _Answered) -> Score:
    words = len(answered.wording.words)
    missing = []
    if words < _LENGTHS[2][0]:
        missing = ["more to say"]
    elif words > _LENGTHS[3][0]:
        missing = ["fewer words"]
    return answered.score("length", _worth(words), f"{_count(words, 'word')}.", (), missing)


def _worth(words: int) -> float:
    low = _LENGTHS[0]
    for high in _LENGTHS[1:]:
        if words < high[0]:
            share = max(0, words - low[0]) / (high[0] - low[0])
            return low[1] + share * (high[1] - low[1])
        low = high
    return low[1]


def _capitalised(text: str) -> tuple[str, ...]:
    """Words with a capital inside a sentence: names. All-capital texts have none."""
    if text.isupper():
        return ()
    words = text.split()
    names = (
        word.strip(".,;:!?()\"'“”’")
        for before, word in pairwise(words)
        if word[0].isupper() and not before.endswith((".", "!", "?", ":", "…", '"', "”"))
    )
    return tuple(name for name in names if name.split("'")[0].split("’")[0] not in ("I", ""))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
