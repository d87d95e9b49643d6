"""Separates what a chat model says from its reasoning and its control tokens. Pure.

Servers should do this, but often leave a model's template in its text. These families are known:
tags such as `<think>` (DeepSeek, Qwen), `[THINK]` (Magistral), `◁think▷` (Kimi), Cohere's
and OpenAI's channels (`<|channel|>analysis<|message|>`); tool calls as text; the marks of turns of
ChatML, Llama, Gemma, Mistral and DeepSeek.
"""

import re
from collections import deque
from collections.abc import Iterator
from typing import Literal

_REASONING = frozenset(
    {
        *("think", "thinking", "thinks", "thought", "thoughts", "antthinking", "reason"),
        *("reasoning", "reflection", "reflect", "scratchpad", "monologue", "analysis"),
        *("rationale", "cot", "cogitation", "deliberation"),
    }
)
"""A mark is one of reasoning if its name has one of these words: `seed:think`, `inner_monologue`,
`chain-of-thought`, `begin_of_thought`, `think_start`."""

_TOOLS = frozenset(
    {
        *("tool_call", "tool_calls", "tool_code", "tool_use", "function_call"),
        *("function_calls", "tool_response", "invoke", "minimax:tool_call"),
        *("longcat_tool_call", "action", "action_input", "observation"),
    }
)
_BARE = frozenset(
    {
        *("answer", "final", "final_answer", "final_response", "response", "output", "bos"),
        *("eos", "pad", "unk", "s", "start_of_turn", "end_of_turn"),
    }
)
_SIDED = "channel|tool_call|tool_response|turn|think"
"""Names of Gemma's marks, which have their bar on one side: `<|channel>`, `<channel|>`."""

_NAMED = _BARE | _TOOLS | {"function", "unused94", "unused95"}
_ELEMENT = r"<\s?/?\s?([a-z][a-z0-9_:-]{0,30})(?:\s[a-z_:-]{1,20}=[^<>]{0,40})?\s?/?>"
_TOKEN = re.compile(
    rf"{_ELEMENT}"
    r"|<\|[^<>|\s]{1,40}\|>|<｜[^<>\s]{1,40}｜>"
    rf"|<\|(?:{_SIDED})>|<(?:{_SIDED})\|>"
    r"|<function=[^<>\s]{1,40}>|\[/?(?:INST|THINK|TOOL_CALLS)\]|<</?SYS>>|◁/?think(?:ing)?▷"
    r"|(?-i:\[/?(?:THINKING|THOUGHT|REASONING)\])",
    re.IGNORECASE,
)
_WHOLE = [
    *(mark for name in _SIDED.split("|") for mark in (f"<|{name}>", f"<{name}|>")),
    *("<function=", "<<sys>>", "<</sys>>"),
    *(
        f"[{slash}{name}]"
        for slash in ("", "/")
        for name in ("inst", "think", "tool_calls", "thinking", "thought", "reasoning")
    ),
    *(f"◁{slash}{name}▷" for slash in ("", "/") for name in ("think", "thinking")),
]
_PREFIXES = frozenset(token[:length] for token in _WHOLE for length in range(1, len(token)))
_OPEN_ENDED = re.compile(
    r"<\|[^<>|\s]{0,40}\|?|<｜[^<>\s]{0,40}｜?|<function=[^<>\s]{0,40}"
    r"|<\s?/?\s?(?:[a-z][a-z0-9_:-]{0,30}(?:\s?/|\s(?:[a-z_:-]{1,20}(?:=[^<>]{0,40})?)?/?)?)?",
    re.IGNORECASE,
)

_OPENING = ("&lt;", "&#60;", "&#060;", "&#x3c;", "&amp;lt;", "&amp;amp;lt;", "\\u003c", "＜")
_CLOSING = ("&gt;", "&#62;", "&#062;", "&#x3e;", "&amp;gt;", "&amp;amp;gt;", "\\u003e", "＞")
"""How servers escape the brackets of a mark, and brackets of full width."""

_ESCAPED = re.compile(
    f"(?:{'|'.join(map(re.escape, _OPENING))})"
    f"([^<>&\\\\＜＞]{{1,60}})(?:{'|'.join(map(re.escape, _CLOSING))}|>)",
    re.IGNORECASE,
)
_ESCAPE_BEGINS = frozenset(
    opening[:length] for opening in _OPENING for length in range(1, len(opening) + 1)
)
_ESCAPE_ENDS = tuple(closing[:length] for closing in _CLOSING for length in range(1, len(closing)))

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
    "|arguments|parameters|action|action_input|tool_input|observation|thought|thoughts|reasoning"
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
_MARK_BEGINS = re.compile(r"[<◁[&＜\\]")
_LONGEST_TOKEN = 140

_TYPES = (
    *("json", "code", "text", "plain", "markdown", "html", "xml", "yaml", "python"),
    *("response", "answer", "message", "reply"),
)
"""The types that a header gives its text, if the mark before the type is missing."""

_TYPE_BEGINS = "|".join(
    sorted({re.escape(one[:length]) for one in _TYPES for length in range(1, len(one) + 1)})
)
_HEADER_OVER = re.compile(
    r"\s*(analysis|commentary|final)"
    rf"(?:\s+(?!(?:{_TYPE_BEGINS}|(?:{'|'.join(_TYPES)})\s+)\Z)(?=[^\st]|t[^o]|to[^=])|(?=[A-Z]))"
)
"""A channel's name with text after it, if the mark that ends the header is missing; a header
may go on with "to=" and a function's name, or with a type."""

_BARE_HEADER = re.compile(
    r"(?:assistant\s?)?(analysis|commentary|final)(?:\s+to=[\w.-]{1,40})?"
    rf"(?:\s+(?:{'|'.join(_TYPES)}))?\s*"
)
_BARE_HEADER_BEGINS = re.compile(
    r"(?:assistant\s?)?(?:analysis|commentary|final)(?:\s+[a-z][\w.=-]{0,45}){0,2}\s{0,3}"
)
"""A header whose first marks a server has taken for its own, and what may become one."""

_OTHER_SIDE = re.compile(r"\s*(?:user|human|system|developer|tool|functions\.)")
"""Roles in a header whose text is no part of the reply."""

_HEADER_NAMES = tuple(
    f"{role}{name}"
    for role in ("", "assistant", "assistant ")
    for name in ("analysis", "commentary", "final")
)

MOST_UNOPENED = 32_000
"""The most characters that are kept of a text that is expected to be reasoning. Far fewer are
spoken, but more may be left out of them. One half is the beginning, which a label may name a
thought, the other the end, where the reply to that is."""


class _BothEnds:
    """The first and the last characters of a text that comes in pieces: `most` characters of it."""

    def __init__(self, most: int) -> None:
        self._half = most // 2
        self._begin: list[str] = []
        self._room = self._half  # characters that the beginning may still take
        self._end: deque[str] = deque()
        self._length = 0  # of the end

    def add(self, text: str) -> None:
        begin, text = text[: self._room], text[self._room :][-self._half :]
        if begin:
            self._begin.append(begin)
            self._room -= len(begin)
        if text:
            self._end.append(text)
            self._length += len(text)
        while self._end and self._length - len(self._end[0]) >= self._half:
            self._length -= len(self._end.popleft())

    def text(self) -> str:
        return "".join(self._begin) + "".join(self._end)[-self._half :]


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
        self._before = ""  # the newest character that is not held
        self._channel = False  # whether the header is a channel's
        self._opening = ""  # the first text, while it may begin a tool call
        self._begun = False  # whether text was said
        self._unopened = _BothEnds(MOST_UNOPENED) if unopened else None
        self.closed_unopened = False
        """Whether reasoning was closed that no mark had opened: the server leaves that mark out.

        With `unopened` the text before such a mark is expected to be reasoning: it is kept back,
        and said only where the reply ends without the mark: `MOST_UNOPENED` characters of it.
        """

    def push(self, delta: str) -> str:
        """Take more text; returns the part that is said, often nothing."""
        return "".join(self._read(self._held + delta, last=False))

    def finish(self) -> str:
        """The text is over: returns the part that was held back, if any."""
        said = "".join(self._read(self._held, last=True))
        kept, self._unopened = self._unopened, None
        return said if kept is None else kept.text() + said

    def _read(self, text: str, *, last: bool) -> Iterator[str]:
        self._held = ""
        done = 0
        for at in [m.start() for m in _MARK_BEGINS.finditer(text)]:
            if at < done:
                continue
            token, end = _token(text, at)
            if token and not _is_type(token, text[at - 1] if at else self._before):
                yield from self._say(text[done:at])
                self._take(token.lower())
                done = end
            elif not last and _may_become_token(text[at:]):
                yield from self._say(text[done:at])
                self._held = text[at:]
                self._before = text[at - 1] if at else self._before
                return
        yield from self._say(text[done:])
        self._before = text[-1:] or self._before
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
            text = self._header + text
            over = _HEADER_OVER.match(text) if self._channel else None
            if over is None:
                self._header = text[:_LONGEST_TOKEN]
                return
            self._header = over[1]  # the mark of the header's end may come yet
            text = text[over.end() :]
            self._state = "text" if over[1] == "final" else "reasoning"
        if self._state != "text" or not text:
            return
        if not self._begun:
            text = (self._opening + text).lstrip()
            self._opening = ""
            if _CALL.match(text):
                self._state = "over"
                return
            if _CALL_BEGINS.fullmatch(text) or _may_become_header(text):
                self._opening = text
                return
            self._begun = True
        if self._unopened is not None:
            self._unopened.add(text)
        else:
            yield text

    def _take(self, token: str) -> None:
        name = token.strip("<>|｜[]◁▷/ ").partition(" ")[0].replace("▁", "_")
        closing = token.strip("<|[◁ ").startswith("/")
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
            self._state, self._header, self._channel = "header", "", name == "channel"
        elif name == "constrain":
            self._channel = False  # the mark of the header's end comes
        elif name == "end" and self._state == "reasoning":
            self._state = "text"  # that of a channel
        elif name in ("message", "end_header_id"):
            if self._opening and _BARE_HEADER.fullmatch(self._opening):
                self._header, self._opening = self._opening, ""
            hidden = "analysis" in self._header or "commentary" in self._header
            hidden = hidden or (not self._channel and _OTHER_SIDE.match(self._header) is not None)
            self._state = "reasoning" if hidden and name == "message" else "text"
        elif name == "im_start" or token in ("<start_of_turn>", "<|turn>"):
            self._state = "line"
        elif _thinks(name):
            closing = closing or not _CLOSES.isdisjoint(_PARTS.split(name))
            if closing and self._state == "text":
                self.closed_unopened = True
                self._unopened = None
            elif closing:
                self._unopened = None
            self._state = "text" if closing else "reasoning"
        elif name in _STEPS and self._begun:
            pass
        elif name in _TOOLS or name.startswith("function"):
            if self._state != "reasoning":
                self._state = "text" if closing else "tool"
        elif name.startswith("tool") and name.endswith(("_begin", "_end")):
            if self._state != "reasoning":
                self._state = "text" if name.endswith("_end") else "tool"
        elif name == "python_tag":
            self._state = "over"


_PARTS = re.compile("[^a-z]+")
_CLOSES = frozenset(("end", "close"))


_AMBIGUOUS = frozenset(
    ("reason", "reflection", "reflect", "analysis", "rationale", "cot", "deliberation")
)
"""Also parts of names that a reply may speak of, as `failure-reason`."""
_AROUND = frozenset(("begin", "start", "of", "", *_CLOSES))
_STEPS = frozenset(("action", "action_input", "observation"))
"""Marks of an agent's steps, which stand at the beginning of a reply; `<action>` within one is what
it speaks of."""


def _thinks(name: str) -> bool:
    parts = _REASONING.intersection(_PARTS.split(name))
    if parts <= _AMBIGUOUS:
        return bool(parts) and _AROUND.union(parts).issuperset(_PARTS.split(name))
    return True


def _token(text: str, at: int) -> tuple[str, int]:
    """The token that begins at a place of a text, with plain brackets, and where it ends; "" for
    none."""
    if text[at] in "&＜\\":
        escaped = _ESCAPED.match(text, at)
        if escaped is None:
            return "", at
        token, end = f"<{escaped[1]}>", escaped.end()
        found = _TOKEN.fullmatch(token)
    else:
        found = _TOKEN.match(text, at)
        token, end = ("", at) if found is None else (found[0], found.end())
    if found is None:
        return "", at
    name = (found[1] or "").lower()
    if name and not (name in _NAMED or _thinks(name)):
        return "", at
    if name in _BARE and token[1] == " ":  # "a < s > b"
        return "", at
    return token, end


_TYPE = re.compile(
    "<(?:action|observation|answer|final|response|output|reason|reflection|analysis|rationale)>",
    re.IGNORECASE,
)


def _is_type(token: str, before: str) -> bool:
    """Whether a token is the parameter of a type: "Promise<Response>"."""
    return before.isalnum() and _TYPE.fullmatch(token) is not None


def _may_become_header(text: str) -> bool:
    if _BARE_HEADER_BEGINS.fullmatch(text):
        return True
    return any(name.startswith(text) for name in _HEADER_NAMES)


def _may_become_token(text: str) -> bool:
    if len(text) > _LONGEST_TOKEN:
        return False
    text = text.lower()
    if text[0] not in "&＜\\":
        return text in _PREFIXES or _OPEN_ENDED.fullmatch(text) is not None
    if text in _ESCAPE_BEGINS:
        return True
    opening = next((one for one in _OPENING if text.startswith(one)), None)
    if opening is None:
        return False
    inner = text[len(opening) :]
    end = next((one for one in _ESCAPE_ENDS if inner.endswith(one)), "")
    return _OPEN_ENDED.fullmatch(f"<{inner.removesuffix(end)}") is not None
