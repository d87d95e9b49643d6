"""Separates what a chat model says from its reasoning and its control tokens. Pure.

Servers should do this, but often leave a model's template in its text. These families are known:
tags such as `<think>` (DeepSeek, Qwen), `[THINK]` (Magistral), `◁think▷` (Kimi), Cohere's
and OpenAI's channels (`<|channel|>analysis<|message|>`); tool calls as text; the marks of turns of
ChatML, Llama, Gemma, Mistral and DeepSeek.
"""

import re
from collections.abc import Iterator
from typing import Literal

_REASONING = "think thinking thought thoughts reason reasoning reflection scratchpad seed:think"
_TOOLS = "tool_call tool_calls tool_code function_call function_calls tool_response"
_BARE = "answer final response output bos eos pad unk s start_of_turn end_of_turn"
_TAGS = "|".join((_REASONING + " " + _TOOLS + " " + _BARE).split())

_TOKEN = re.compile(
    rf"<\|[^<>|\s]{{1,40}}\|>|<｜[^<>\s]{{1,40}}｜>|</?(?:{_TAGS})>|<function=[^<>\s]{{1,40}}>"
    r"|</function>|\[/?(?:INST|THINK|TOOL_CALLS)\]|<</?SYS>>|◁/?think▷",
    re.IGNORECASE,
)
_WHOLE = [
    *(f"<{slash}{tag}>" for tag in _TAGS.split("|") for slash in ("", "/")),
    *(
        "<function=",
        "</function>",
        "[inst]",
        "[/inst]",
        "[think]",
        "[/think]",
        "[tool_calls]",
        "[/tool_calls]",
    ),
    *("<<sys>>", "<</sys>>", "◁think▷", "◁/think▷"),
]
_PREFIXES = frozenset(token[:length] for token in _WHOLE for length in range(1, len(token)))
_OPEN_ENDED = re.compile(
    r"<\|[^<>|\s]{0,40}\|?|<｜[^<>\s]{0,40}｜?|<function=[^<>\s]{0,40}", re.IGNORECASE
)

_ENDS = frozenset(
    {
        *("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|endoftext|>", "<|end_of_text|>"),
        *("<|return|>", "<|call|>", "<|user|>", "</s>", "<eos>", "[inst]"),
        *("<end_of_turn>", "<|end_of_turn|>", "<|end_of_turn_token|>", "<｜end▁of▁sentence｜>"),
    }
)
"""After these a model only invents further turns."""

_CALL = re.compile(
    r'(?:\[\s{0,20})?\{\s{0,20}"'
    r'(?:(?:name|function|function_call|tool|tool_name|tool_calls|arguments|parameters)"\s{0,20}:'
    r'|type"\s{0,20}:\s{0,20}"(?:function|tool_use)")'
)
_CALL_BEGINS = re.compile(
    r'(?:\[\s{0,20})?(?:\{\s{0,20}(?:"[a-z_]{0,13}(?:"\s{0,20})?)?)?'
    r'|(?:\[\s{0,20})?\{\s{0,20}"type"\s{0,20}:\s{0,20}(?:"[a-z_]{0,8})?'
)
_LONGEST_TOKEN = 64

_State = Literal["text", "reasoning", "tool", "header", "line", "over"]


class SaidText:
    """The text of one reply that the model says. It does not depend on how the text was cut.

    A block that is never closed is left out to its end. A reply that is nothing but a tool call
    written as JSON is left out as a whole.
    """

    def __init__(self, *, unopened: bool = False) -> None:
        self._state: _State = "text"
        self._held = ""
        self._header = ""
        self._opening = ""  # the first text, while it may begin a tool call
        self._begun = False  # whether text was said
        self._unopened: list[str] | None = [] if unopened else None
        self.closed_unopened = False
        """Whether reasoning was closed that no mark had opened: the server leaves that mark out.

        With `unopened` the text before such a mark is expected to be reasoning: it is kept back,
        and said only where the reply ends without the mark.
        """

    def push(self, delta: str) -> str:
        """Take more text; returns the part that is said, often nothing."""
        return "".join(self._read(self._held + delta, last=False))

    def finish(self) -> str:
        """The text is over: returns the part that was held back, if any."""
        said = "".join(self._read(self._held, last=True))
        kept, self._unopened = self._unopened, None
        return "".join(kept or ()) + said

    def _read(self, text: str, *, last: bool) -> Iterator[str]:
        self._held = ""
        done = 0
        for at in [m.start() for m in re.finditer("[<◁[]", text)]:
            if at < done:
                continue
            token = _TOKEN.match(text, at)
            if token is not None:
                yield from self._say(text[done:at])
                self._take(token[0].lower())
                done = token.end()
            elif not last and _may_become_token(text[at:]):
                yield from self._say(text[done:at])
                self._held = text[at:]
                return
        yield from self._say(text[done:])
        if last and self._opening:
            opening, self._opening = self._opening, ""
            self._begun = True
            yield from self._say(opening)

    def _say(self, text: str) -> Iterator[str]:
        if self._state == "line":  # a turn's role, up to the end of its line
            _, end, text = text.partition("\n")
            if not end:
                return
            self._state = "text"
        if self._state == "header":
            self._header = (self._header + text)[-80:]
        if self._state != "text" or not text:
            return
        if not self._begun:
            text = (self._opening + text).lstrip()
            self._opening = ""
            if _CALL.match(text):
                self._state = "over"
                return
            if _CALL_BEGINS.fullmatch(text):
                self._opening = text
                return
            self._begun = True
        if self._unopened is not None:
            self._unopened.append(text)
        else:
            yield text

    def _take(self, token: str) -> None:
        name = token.strip("<>|｜[]◁▷/").lower()
        closing = token[1:2] == "/" or name.startswith("end_")
        if self._state == "over":
            return
        if token in _ENDS:
            if self._begun and self._state == "text":
                self._state = "over"
        elif name in ("channel", "start", "start_header_id"):
            self._state, self._header = "header", ""
        elif name in ("message", "end_header_id"):
            hidden = "analysis" in self._header or "commentary" in self._header
            self._state = "reasoning" if hidden and name == "message" else "text"
        elif name == "im_start" or token == "<start_of_turn>":
            self._state = "line"
        elif self._thinks(name):
            if closing and self._state == "text":
                self.closed_unopened = True
                self._unopened = None
            elif closing:
                self._unopened = None
            self._state = "text" if closing else "reasoning"
        elif name in _TOOLS.split() or name.startswith("function"):
            if self._state != "reasoning":
                self._state = "text" if closing else "tool"
        elif name == "python_tag":
            self._state = "over"

    @staticmethod
    def _thinks(name: str) -> bool:
        return name in _REASONING.split() or name in (
            "start_thinking",
            "end_thinking",
            "begin_of_thought",
            "end_of_thought",
        )


def _may_become_token(text: str) -> bool:
    if len(text) > _LONGEST_TOKEN:
        return False
    return text.lower() in _PREFIXES or _OPEN_ENDED.fullmatch(text) is not None
