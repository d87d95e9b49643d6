"""An interview as a value: its settings, its messages, its progress. Pure.

`InterviewSession.to_contract` is the JSON that clients hold, `to_record` the JSON that is stored.
Only the record has `asked`, which is found again in the messages of a client's JSON, and the
language: a client's interview is English.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

from pipeline.stage import Message
from stages.interview.bank import RoleBank, bank_for
from stages.interview.errors import InvalidCount, InvalidSession
from stages.interview.lines import LANGUAGES, Lines, lines_for

FEWEST_QUESTIONS = 1
MOST_QUESTIONS = 15
"""The contract's safety limit."""
DEFAULT_QUESTIONS = 5

_SPEAKERS: dict[str, Literal["system", "user", "assistant"]] = {
    "system": "system",
    "user": "user",
    "assistant": "assistant",
}


@dataclass(frozen=True, slots=True)
class InterviewConfig:
    """The settings of an interview. `role` may be in any case; it is kept as the bank spells it.

    `model` names the language model that the client chose; the interview itself needs none.
    `language` is the code of the language in which it is held. Raises `UnknownRole`,
    `UnknownLanguage` and `InvalidCount`.
    """

    role: str
    model: str
    total_questions: int = DEFAULT_QUESTIONS
    language: str = LANGUAGES[0]

    def __post_init__(self) -> None:
        _count(self.total_questions)
        object.__setattr__(self, "role", self.bank.role)

    @property
    def bank(self) -> RoleBank:
        """The questions."""
        return bank_for(self.role, self.language)

    @property
    def lines(self) -> Lines:
        """The interviewer's other sentences."""
        return lines_for(self.language)


@dataclass(frozen=True, slots=True)
class InterviewSession:
    """An interview after some turns. `current_question` counts from 1 to `total_questions`.

    `asked` has the ids of the bank's prompts asked so far, in order: `current_question` of them, or
    fewer if a question was not in the bank's words. Raises `InvalidSession`.
    """

    config: InterviewConfig
    messages: tuple[Message, ...]
    current_question: int = 1
    is_complete: bool = False
    asked: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        total = self.config.total_questions
        if not 1 <= self.current_question <= total:
            raise InvalidSession(
                "currentQuestion", f"must be from 1 to {total}, not {self.current_question}"
            )
        if len(self.asked) > self.current_question:
            raise InvalidSession("asked", "has more entries than questions were asked")

    def to_contract(self) -> dict[str, Any]:
        """The session as JSON, exactly as the client contract has it."""
        return {
            "config": {
                "role": self.config.role,
                "model": self.config.model,
                "totalQuestions": self.config.total_questions,
            },
            "messages": [{"role": m.role, "content": m.content} for m in self.messages],
            "currentQuestion": self.current_question,
            "isComplete": self.is_complete,
        }

    @classmethod
    def from_contract(cls, obj: object) -> "InterviewSession":
        """Read a session that a client sent back; unknown keys are ignored.

        The asked prompts are found in the interviewer's messages. Raises `InvalidSession`,
        `UnknownRole` and `InvalidCount`.
        """
        session = _read(obj)
        said = (m.content for m in session.messages if m.role == "assistant")
        asked = session.config.bank.asked_in(said)
        return _with_asked(session, asked[-session.current_question :])

    def to_record(self) -> dict[str, Any]:
        """The session as JSON for storage: the contract, its language, and `asked`."""
        contract = self.to_contract()
        config = {**contract["config"], "language": self.config.language}
        return {**contract, "config": config, "asked": list(self.asked)}

    @classmethod
    def from_record(cls, obj: object) -> "InterviewSession":
        """Read the JSON of `to_record`, of older versions, too: their interviews are English.

        Raises as `from_contract` does, and `UnknownLanguage`.
        """
        session = _read(obj)
        config = _object(_object(obj, "session").get("config"), "config")
        if (language := config.get("language")) is not None:
            language = _text(language, "config.language")
            session = replace(session, config=replace(session.config, language=language))
        asked = _list(_object(obj, "session"), "asked", "asked")
        return _with_asked(session, tuple(_text(a, f"asked[{i}]") for i, a in enumerate(asked)))

    def state(self) -> dict[str, Any]:
        """The interview's progress as JSON, for messages to clients."""
        return {
            "currentQuestion": self.current_question,
            "totalQuestions": self.config.total_questions,
            "isComplete": self.is_complete,
        }


def _with_asked(session: InterviewSession, asked: tuple[str, ...]) -> InterviewSession:
    return InterviewSession(
        session.config, session.messages, session.current_question, session.is_complete, asked
    )


def _read(obj: object) -> InterviewSession:
    session = _object(obj, "session")
    config = _object(session.get("config"), "config")
    messages = _list(session, "messages", "messages")
    current = session.get("currentQuestion")
    if isinstance(current, bool) or not isinstance(current, int):
        raise InvalidSession("currentQuestion", f"must be a whole number, {_but(current)}")
    complete = session.get("isComplete")
    if not isinstance(complete, bool):
        raise InvalidSession("isComplete", f"must be true or false, {_but(complete)}")
    return InterviewSession(
        config=InterviewConfig(
            role=_text(config.get("role"), "config.role"),
            model=_text(config.get("model"), "config.model"),
            total_questions=_count(config.get("totalQuestions")),
        ),
        messages=tuple(_message(m, f"messages[{i}]") for i, m in enumerate(messages)),
        current_question=current,
        is_complete=complete,
    )


def _message(value: object, where: str) -> Message:
    message = _object(value, where)
    role = _SPEAKERS.get(_text(message.get("role"), f"{where}.role"))
    if role is None:
        raise InvalidSession(f"{where}.role", f"must be one of {', '.join(_SPEAKERS)}")
    return Message(role, _text(message.get("content"), f"{where}.content"))


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidCount(value, FEWEST_QUESTIONS, MOST_QUESTIONS)
    if not FEWEST_QUESTIONS <= value <= MOST_QUESTIONS:
        raise InvalidCount(value, FEWEST_QUESTIONS, MOST_QUESTIONS)
    return value


def _object(value: object, where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise InvalidSession(where, f"must be an object, {_but(value)}")
    return value


def _list(owner: dict[str, object], key: str, where: str) -> list[object]:
    value = owner.get(key)
    if not isinstance(value, list):
        raise InvalidSession(where, f"must be a list, {_but(value)}")
    return value


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise InvalidSession(where, f"must be text, {_but(value)}")
    return value


def _but(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    return "but is missing" if value is None else f"not {kinds.get(type(value), 'a number')}"
