"""Takes away the script of an agent that a model writes as text. Pure.

Models that learnt from transcripts of agents (ReAct: Yao et al., 2022) begin lines with "Thought:",
"Action:", "Action Input:" and "Observation:", and what they say with "Final Answer:". Where that
label does not come, `stages.llm._thoughts` finds the speech after a thought. Text after a call is
not spoken, because it rests on a result that the model made up.
"""

import re
from collections.abc import Iterator
from typing import Literal

from stages.llm import _thoughts

MOST_KEPT = 2_000
"""The most characters after a thought that are spoken."""

_MOST_HELD = 2 * MOST_KEPT
"""The most characters of a thought that are held: of a longer one only the end may be spoken."""

_THOUGHTS = _thoughts.LABELS | frozenset(
    (
        *(
            "thought",
            "thought process",
            "chain of thought",
            "internal thought",
            "internal thoughts",
        ),
        *("gedanke", "思考"),
    )
)
_CALLS = frozenset(
    {
        *("action", "action input", "tool", "tool input", "observation", "aktion", "beobachtung"),
        *("行动", "行动输入", "动作", "动作输入", "观察"),
    }
)
_CERTAIN = frozenset(("action input", "tool input", "行动输入", "动作输入"))
"""Calls, which are never speech, wherever they come."""

_ACTIONS = frozenset(("action", "tool", "aktion", "行动", "动作"))
"""A call, if it names a function."""

_FINAL = frozenset(("final answer", "final response", "endgültige antwort", "最终答案"))
"""Speech begins after these labels, also if no thought came before."""

_QUESTIONS = frozenset(("question", "next question", "frage"))
_ANSWERS = _FINAL | frozenset(
    {
        *("final", "answer", "response", "reply", "spoken reply", "interviewer", "assistant"),
        *("ai", "say", "antwort", "回答"),
    }
)
_PLAIN = _THOUGHTS | _CALLS | _FINAL
_ALL = _PLAIN | _ANSWERS | _QUESTIONS
_AFTER = _THOUGHTS | _CALLS | _QUESTIONS
"""The labels that count: in speech, in the script, and after its answer."""

_MARKS = r"[ \t]*(?:>[ \t]?)?(?:\#{1,4}[ \t]*)?[*_]{0,3}"
_NAME = rf"({'|'.join(sorted(_ALL, key=len, reverse=True))})(?:[ \t]?\d{{1,2}})?"
_LABEL = re.compile(rf"{_MARKS}{_NAME}[*_]{{0,3}}[ \t]?[:：][*_]{{0,3}}[ \t]*", re.IGNORECASE)
_HEADING = re.compile(
    rf"[ \t]*(?:\#{{1,4}}[ \t]*[*_]{{0,3}}|[*_]{{2,3}}){_NAME}[*_]{{0,3}}[ \t]?(?=\n)",
    re.IGNORECASE,
)
"""A label without its colon, as a heading or in bold."""

_BEGINS = re.compile(
    rf"{_MARKS}([^\W\d_]*(?:[ \t][^\W\d_]*){{0,2}})([ \t]?\d{{0,2}}[*_]{{0,3}}[ \t]?)"
)
_LONGEST = 60

_TOOL = re.compile(
    r"[`\"'*]{0,2}(?:[\w.-]{1,60}(?:\([^()\n]{0,200}\)|\[[^\[\]\n]{0,200}\])?|\{[^\n]*)[`\"'*]{0,2}\s*"
)
"""The action of a script: one word, with or without arguments, or a JSON object."""

_Mode = Literal["said", "thought", "action", "called", "answer", "over"]


class AgentScript:
    """The text of one reply without such a script. It does not depend on how the text was cut.

    `asking` is that of `_thoughts.at_the_end`.
    """

    def __init__(self, *, asking: bool = False) -> None:
        self._asking = asking
        self._mode: _Mode = "said"
        self._line: str | None = ""  # the beginning of a line, while it may be a label
        self._label = ""  # the line of an action or a thought up to its text
        self._thought = ""  # the name of a thought's label
        self._held = ""  # an action's line, or what is behind a thought, from its end
        self._long = False  # whether more is behind the thought than is held
        self._begun = False  # whether something was said

    def push(self, delta: str) -> str:
        """Take more text; returns the part that is said, often nothing."""
        if self._line is None and self._begun and self._mode == "said" and "\n" not in delta:
            return delta
        return "".join(self._read(delta, last=False))

    def finish(self) -> str:
        """The text is over: returns the part that was held back, if any."""
        said = "".join(self._read("", last=True))
        if self._mode == "action":
            said += "".join(self._end_line())
        elif self._mode == "thought":
            said += self._behind()
        return said

    def _read(self, text: str, *, last: bool) -> Iterator[str]:
        while self._mode != "over" and (text or (last and self._line)):
            if self._line is None:  # inside a line
                line, end, text = text.partition("\n")
                yield from self._take(line + end)
                if end:
                    yield from self._end_line()
                continue
            line, text = self._line + text[:1], text[1:]
            label = _LABEL.match(line) or _HEADING.match(line)
            if not last and (self._may_be(line) if label is None else label.end() == len(line)):
                self._line = line
                continue
            self._line = None
            if label is not None and self._turns(label[1].lower(), label[0]):
                line = line[label.end() :]
            text = line + text

    def _take(self, text: str) -> Iterator[str]:
        """Take a piece of a line."""
        if self._mode in ("said", "answer"):
            self._begun = self._begun or not text.isspace()
            yield text
        elif self._mode == "action":
            self._held = (self._held + text)[:_MOST_HELD]
        elif self._mode == "thought":
            self._held += text
            if len(self._held) > _MOST_HELD:
                self._long = True
                self._held = self._held[-_MOST_HELD:]

    def _behind(self) -> str:
        """The spoken text after a thought for which no label of an answer came."""
        if not self._long:
            if _thoughts.is_said(self._thought, self._held):
                return (self._label + self._held)[:MOST_KEPT]
            said = _thoughts.behind(self._held)
            kept = said[:MOST_KEPT]
            if kept == said or _thoughts.is_speech(kept):
                return kept
            return self._at_the_end(said)[:MOST_KEPT] or kept
        said = self._at_the_end(self._held)
        return said if len(said) <= MOST_KEPT else ""

    def _at_the_end(self, text: str) -> str:
        return _thoughts.at_the_end(text, asking=self._asking)

    def _end_line(self) -> Iterator[str]:
        self._line = ""
        if self._mode == "action":
            held, self._held = self._held, ""
            self._mode = "called" if _TOOL.fullmatch(held) else "said"
            yield from self._take(self._label + held)

    def _may_be(self, line: str) -> bool:
        """Whether what follows decides if a line begins with a label."""
        found = _BEGINS.fullmatch(line)
        if found is None or len(line) > _LONGEST:
            return False
        name = " ".join(found[1].lower().split())
        labels = self._labels()
        return name in labels if found[2].strip() else any(one.startswith(name) for one in labels)

    def _labels(self) -> frozenset[str]:
        return {"said": _PLAIN, "answer": _AFTER}.get(self._mode, _ALL)

    def _turns(self, label: str, line: str) -> bool:
        """Whether `line`, up to its label, is one of a script's: the mode changes."""
        if label not in self._labels():
            return False
        match self._mode:
            case "answer":
                self._mode = "over"
            case "said":
                return self._begins(label, line)
            case mode:
                self._held, self._long = "", False
                if label in _THOUGHTS:
                    self._think(label, line)
                elif label in _CALLS:
                    self._mode = "called"
                else:
                    made_up = mode == "called" and label in _QUESTIONS
                    self._mode = "over" if made_up else "answer"
        return True

    def _think(self, label: str, line: str) -> None:
        self._mode, self._thought, self._label = "thought", label, line

    def _begins(self, label: str, line: str) -> bool:
        """Whether a script begins with a label, in or before what is said."""
        if label in _CERTAIN:
            self._mode = "called"
        elif label in _THOUGHTS and (not self._begun or label.startswith("thought")):
            self._think(label, line)
        elif self._begun:
            return False
        elif label in _ACTIONS:
            self._mode, self._label = "action", line
        else:
            return label in _FINAL
        return True
