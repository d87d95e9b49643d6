"""Scores of answers: four criteria, each 0 to 100, each with its source. Pure.

`evaluate` is the offline evaluator. It is a heuristic: it counts words that usually go with good
answers, without understanding them, and all its scores have the source "heuristic". `judge.Judge`
asks a chat model instead and gives the same types.

Words that may not be the candidate's are not scored: an answer recognised with demo quality or low
confidence gets a reason instead of scores.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

from stages.interview.answers import InterviewAnswer, RecognitionSource
from stages.interview.bank import Question, RoleBank, bank_for
from stages.interview.cue_lists import CUES
from stages.interview.cues import Cues
from stages.interview.delivery import Delivery, delivery_of
from stages.interview.feedback_lines import FeedbackLines, feedback_lines
from stages.interview.lines import LANGUAGES
from stages.interview.wording import Wording

Criterion = Literal["coverage", "structure", "specificity", "length"]
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)

WEIGHTS: dict[Criterion, int] = {"coverage": 40, "structure": 25, "specificity": 25, "length": 10}
"""The weights of the criteria, of 100. The others share the weight of a criterion without score."""

HEURISTIC = "heuristic"
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
    """Evaluate an interview's answers offline, by the words of their language.

    Raises `UnknownRole`.
    """
    bank_for(role)
    found = [
        evaluate_answer(bank_for(role, answer.language), answer, number)
        for number, answer in enumerate(answers, 1)
    ]
    return combined(found, language_of(answers))


def language_of(answers: Sequence[InterviewAnswer]) -> str:
    """The code of an interview's language, by its answers; without any, "en"."""
    return answers[0].language if answers else LANGUAGES[0]


def evaluate_answer(bank: RoleBank, answer: InterviewAnswer, number: int = 1) -> AnswerEvaluation:
    """Evaluate one answer offline."""
    wording = Wording(answer.text)
    reason = unscored(answer)
    if reason is None and not CUES[bank.language].may_be(wording.words):
        reason = feedback_lines(bank.language).unscored["language"]
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
    reasons = feedback_lines(answer.language).unscored
    if answer.declined:
        return reasons["declined"]
    if not Wording(answer.text).words:
        return reasons["no_words"]
    if recognition is None:
        return None
    if recognition.quality == "demo":
        return reasons["demo"].format(recognition.provider)
    if recognition.unsure:
        return reasons["unsure"].format(recognition.provider, recognition.confidence)
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


def combined(answers: Sequence[AnswerEvaluation], language: str = LANGUAGES[0]) -> Evaluation:
    """An interview's evaluation from its answers' evaluations; its texts are in the language."""
    lines = feedback_lines(language)
    scored = [a for a in answers if a.overall is not None]
    sources = list(dict.fromkeys(a.source for a in scored))
    source = " and ".join(sources) or HEURISTIC
    skills = tuple(
        skill for criterion in CRITERIA if (skill := _skill(criterion, scored, lines)) is not None
    )
    overall = [a.overall for a in scored if a.overall is not None]
    return Evaluation(
        overall=round(sum(overall) / len(overall)) if overall else None,
        skills=skills,
        answers=tuple(answers),
        source=source,
        method=_method(sources, lines),
    )


def _method(sources: Sequence[str], lines: FeedbackLines) -> str:
    judged = [source for source in sources if source.startswith("model:")]
    if not judged:
        return lines.method
    names = " and ".join(source.removeprefix("model:") for source in judged)
    told = lines.judged.format(names)
    rest = len(judged) < len(sources)
    method = f"{lines.method[0].lower()}{lines.method[1:]}"
    return lines.judged_in_part.format(told, method) if rest else told


def _skill(
    criterion: Criterion, answers: Sequence[AnswerEvaluation], lines: FeedbackLines
) -> Score | None:
    scores = [s for a in answers if (s := a.score(criterion)) is not None and s.value is not None]
    if not scores:
        return None
    value = round(sum(s.value or 0 for s in scores) / len(scores))
    sources = " and ".join(dict.fromkeys(s.source for s in scores))
    of = lines.mean_of.format(len(scores)) if len(scores) > 1 else lines.from_one
    spoken = list(dict.fromkeys(s.recognition for s in scores if s.recognition is not None))
    worst = min(spoken, key=lambda r: 1.0 if r.confidence is None else r.confidence, default=None)
    return Score(criterion, value, sources, of, recognition=worst)


# --- the criteria ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Answered:
    """An answer with its question."""

    bank: RoleBank
    question: Question | None
    answer: InterviewAnswer
    wording: Wording

    @property
    def cues(self) -> Cues:
        return CUES[self.bank.language]

    @property
    def lines(self) -> FeedbackLines:
        return feedback_lines(self.bank.language)

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
        return answered.score("coverage", None, answered.lines.no_points)
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
    reason = answered.lines.points.format(len(found), total)
    return answered.score("coverage", 100 * len(found) / needed, reason, found, missing, quotes)


def _structure(answered: _Answered) -> Score:
    """The parts of its shape that the answer has. A story: situation, task, action, result."""
    story = answered.question is None or answered.question.shape == "story"
    cues, lines = answered.cues, answered.lines
    found, missing, quotes = [], [], []
    for name, cue in cues.story if story else cues.approach:
        hit = answered.wording.find(cue)
        if hit is None:
            missing.append(name)
        else:
            found.append(name)
            quotes.append(answered.wording.quote(hit))
    if answered.question is None and len(found) < len(cues.story):
        # The question's shape is unknown: the better one counts.
        other = [name for name, cue in cues.approach if answered.wording.find(cue)]
        if len(other) > len(found):
            found, missing = other, [n for n, _ in cues.approach if n not in other]
            quotes = []
    parts = ", ".join(lines.part_names[name] for name in found) or lines.none
    reason = lines.parts_found.format(parts)
    if missing:
        left = ", ".join(lines.part_names[name] for name in missing)
        reason += lines.parts_missing.format(left)
    total = len(found) + len(missing)
    return answered.score("structure", 100 * len(found) / total, reason, found, missing, quotes)


def _specificity(answered: _Answered) -> Score:
    """Numbers, names and deeds raise the score, vague words lower it."""
    line, cues, lines = answered.wording.line, answered.cues, answered.lines
    numbers = list(cues.number.finditer(line))
    names = list(
        dict.fromkeys((*answered.bank.terms_in(line), *_names(answered.answer.text, cues)))
    )
    story = answered.question is None or answered.question.shape == "story"
    verbs = cues.action if story else cues.habit
    deeds = list({hit[0]: hit for hit in verbs.finditer(line)}.values())
    vague = list(dict.fromkeys(hit[0] for hit in cues.vague.finditer(line)))
    value = 20 * min(2, len(numbers)) + 15 * min(2, len(names)) + 10 * min(3, len(deeds))
    value -= 5 * min(4, max(0, len(vague) - 1))
    counted = (("numbers", numbers), ("names", names), ("what you do", deeds))
    found = [name for name, hits in counted if hits]
    missing = [name for name, hits in counted if not hits]
    said = (("number", numbers), ("name", names), ("deed", deeds), ("vague", vague))
    reason = ", ".join(lines.count(len(hits), noun) for noun, hits in said) + "."
    quotes = [answered.wording.quote(hit) for hit in (*numbers[:1], *deeds[:1])]
    return answered.score("specificity", value, reason, found, missing, quotes)


def _length(answered: _Answered) -> Score:
    words = len(answered.wording.words)
    missing = []
    if words < _LENGTHS[2][0]:
        missing = ["more to say"]
    elif words > _LENGTHS[3][0]:
        missing = ["fewer words"]
    reason = f"{answered.lines.count(words, 'word')}."
    return answered.score("length", _worth(words), reason, (), missing)


def _worth(words: int) -> float:
    low = _LENGTHS[0]
    for high in _LENGTHS[1:]:
        if words < high[0]:
            share = max(0, words - low[0]) / (high[0] - low[0])
            return low[1] + share * (high[1] - low[1])
        low = high
    return low[1]


def _names(text: str, cues: Cues) -> tuple[str, ...]:
    """Words with a capital inside a sentence: names. All-capital texts have none.

    In a language whose other nouns have one, too, a name has a capital that is not its first.
    """
    if text.isupper():
        return ()
    words = text.split()
    if not cues.names_by_capitals:
        bare = (word.strip(".,;:!?()\"'“”„’") for word in words)
        return tuple(word for word in bare if any(map(str.isupper, word[1:])))
    names = (
        word.strip(".,;:!?()\"'“”’")
        for before, word in pairwise(words)
        if word[0].isupper() and not before.endswith((".", "!", "?", ":", "…", '"', "”"))
    )
    return tuple(name for name in names if name.split("'")[0].split("’")[0] not in ("I", ""))
