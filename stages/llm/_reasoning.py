"""Separates what a chat model says from its reasoning and its control tokens. Pure.

Servers should do this, but often leave a model's template in its text. These families are known:
tags such as `<think>` (DeepSeek, Qwen), `[THINK]` (Magistral), `◁think▷` (Kimi), Cohere's
and OpenAI's channels (`<|channel|>analysis<|message|>`); tool calls as text; the marks of turns of
ChatML, Llama, Gemma, Mistral and DeepSeek.
"""

import re
from collections.abc import Iterator
from typing import Literal

_REASONING = (
    "think thinking thought thoughts thought_process thinking_process reason reasoning reflection"
    " scratchpad seed:think mm:think analysis inner_monologue internal_monologue antthinking"
    " chain_of_thought internal_reasoning longcat_think"
)
_TOOLS = (
    "tool_call tool_calls tool_code tool_use function_call function_calls tool_response invoke"
    " minimax:tool_call longcat_tool_call"
)
_BARE = "answer final response output bos eos pad unk s start_of_turn end_of_turn"
_TAGS = "|".join(sorted((_REASONING + " " + _TOOLS + " " + _BARE).split(), key=len, reverse=True))
_SIDED = "channel|tool_call|tool_response|turn|think"
"""Names of Gemma's marks, which have their bar on one side: `<|channel>`, `<channel|>`."""

_HIDDEN = "|".join((_REASONING + " " + _TOOLS).split())
_TOKEN = re.compile(
    rf"<\|[^<>|\s]{{1,40}}\|>|<｜[^<>\s]{{1,40}}｜>|</?(?:{_TAGS})>"
    rf"|<\s?/?\s?(?:{_HIDDEN})(?:\s[a-z_:-]{{1,20}}=[^<>]{{0,40}})?\s?/?>"
    rf"|<\|(?:{_SIDED})>|<(?:{_SIDED})\|>|<unused9[45]>"
    r"|<function=[^<>\s]{1,40}>|</function>|\[/?(?:INST|THINK|TOOL_CALLS)\]|<</?SYS>>|◁/?think▷",
    re.IGNORECASE,
)
_WHOLE = [
    *(f"<{slash}{tag}>" for tag in _TAGS.split("|") for slash in ("", "/")),
    *(
        f"<{slash}{tag}>"
        for tag in _HIDDEN.split("|")
        for slash in ("", "/", " ", " /", "/ ", " / ")
    ),
    *(mark for name in _SIDED.split("|") for mark in (f"<|{name}>", f"<{name}|>")),
    *("<unused94>", "<unused95>"),
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
    rf"<\|[^<>|\s]{{0,40}}\|?|<｜[^<>\s]{{0,40}}｜?|<function=[^<>\s]{{0,40}}"
    rf"|<\s?/?\s?(?:{_HIDDEN})(?:/|\s(?:[a-z_:-]{{1,20}}(?:=[^<>]{{0,40}})?)?/?)",
    re.IGNORECASE,
)

_ENDS = frozenset(
    {
        *("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|endoftext|>", "<|end_of_text|>"),
        *("<|return|>", "<|call|>", "<|user|>", "</s>", "<eos>", "[inst]"),
        *(
            "<turn|>",
            "<end_of_turn>",
            "<|end_of_turn|>",
            "<|end_of_turn_token|>",
            "<｜end▁of▁sentence｜>",
        ),
    }
)
"""After these a model only invents further turns."""

_NAMES = (
    "name|function|function_call|function_name|tool|tool_name|tool_call|tool_calls|tool_call_id"
    "|arguments|parameters|action|action_input"
)
_CALL = re.compile(
    r'(?:\[\s{0,20})?\{\s{0,20}"'
    rf'(?:(?:{_NAMES})"\s{{0,20}}:'
    r'|type"\s{0,20}:\s{0,20}"(?:function|tool_use)"|id"\s{0,20}:\s{0,20}"call)'
    r"|\[\s{0,20}[a-z_][a-z0-9_.]{0,40}\([a-z_][a-z0-9_]{0,40}="
    r"|functions\.[a-z_][a-z0-9_]{0,40}\("
)
"""A call as JSON, as in Python's notation, or as OpenAI's models name their functions."""

_OPTIONAL = "|".join("functions"[:length] for length in range(1, 10))
_CALL_BEGINS = re.compile(
    r'(?:\[\s{0,20})?(?:\{\s{0,20}(?:"[a-z_]{0,13}(?:"\s{0,20})?)?)?'
    r'|(?:\[\s{0,20})?\{\s{0,20}"(?:type|id)"\s{0,20}:\s{0,20}(?:"[a-z_]{0,8})?'
    r"|\[\s{0,20}[a-z_][a-z0-9_.]{0,40}(?:\((?:[a-z_][a-z0-9_]{0,40})?)?"
    rf"|{_OPTIONAL}"
    r"|functions\.(?:[a-z_][a-z0-9_]{0,40})?"
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
        name = token.strip("<>|｜[]◁▷/ ").partition(" ")[0].replace("▁", "_")
        closing = token.strip("<|[◁ ").startswith("/") or name.startswith("end_")
        if token.endswith("/>") and not closing:
            return  # an empty element
        if token in ("<|channel>", "<unused94>") or token == "<channel|>":
            name, closing = "think", token == "<channel|>"
        elif token == "<unused95>":
            name, closing = "think", True
        elif token.endswith("|>") and token[1:2] not in "|/":
            closing = True
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
        elif name == "im_start" or token in ("<start_of_turn>", "<|turn>"):
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
        elif name.startswith("tool") and name.endswith(("_begin", "_end")):
            if self._state != "reasoning":
                self._state = "text" if name.endswith("_end") else "tool"
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
