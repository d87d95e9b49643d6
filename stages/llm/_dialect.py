"""How one chat server's form of the protocol differs from the usual one. Pure.

Servers that call themselves OpenAI-compatible refuse what others need: `max_tokens` or
`temperature` (reasoning models), `stream_options` (strict validators), tools, a system message
that is not the first or any at all, two messages of one role in a row, a conversation that does not
end with the user (templates of Mistral, Gemma, Llama 2 and others). A refusal usually names what it
is about: `Form.after` gives the form to try next, and `Form.shape` brings a request into it.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from stages.llm._conversation import MAX_HISTORY

LEAST_ROOM = 2_000
"""A conversation of fewer characters is not shortened any more."""

BEGIN = "Hello."
GO_ON = "Please go on."
"""The user's words if a server wants the user to speak first (`BEGIN`), or last (`GO_ON`)."""

_OPTIONS = ("stream_options", "temperature", "tool_choice", "tools", "response_format")
_CLIENTS = ("tool_choice", "tools")
"""Options whose values are a client's: a refusal of the value holds for its request only."""

_PLAIN = ("stream_options", "temperature", "response_format")
"""The options that are left out if a server does not say what it refuses."""

_FINAL = re.compile(
    r"api.?key|invalid key|unauthori[sz]ed|quota|billing|credit|content.{0,12}(?:policy|filter)"
    r"|safety|moderation|no such model|model.{0,60}(?:not (?:found|exist)|does not exist)"
)
"""Refusals that another form of the request would not change."""

_TOO_LONG = re.compile(
    r"context.{0,3}(?:length|window|size)|maximum context|prompt (?:is )?too long|too many tokens"
    r"|input (?:is )?too long|exceeds? the (?:available |maximum )?context"
)
_NOT_TAKEN = re.compile(
    r"(?:not|n't|no longer|un)[ -]?support|unknown|unrecogni[sz]ed|unexpected|deprecat|forbidden"
    r"|not (?:permitted|allowed|accepted|available|implemented|enabled)"
)
"""Words which say that the server takes such an option from no client."""

_RENAMED = re.compile(r"(?:not|n't|no longer|un)[ -]?support|deprecat")
_ONE_VALUE = re.compile(
    r"(?:unsupported|invalid) (?:value|schema)|too (?:large|high|big|many|small|low)"
    r"|at (?:most|least)|(?:less|greater|more) than|exceed"
    r"|\btools? ?(?:\[|\.\d|/\d)|\bfunction ['\"`]"
)
"""The refusal is about the value in this request: another client's may be taken."""

_ROLES = re.compile(
    r"\broles?\b|\bsystem\b|alternat|template|jinja|last message|first message"
    r"|developer instruction|successive|interleav|prefill|(?:start|begin|end) with (?:a |the )?user"
)
_NO_SYSTEM = re.compile(
    r"system.{0,3} (?:role|message|prompt)s?.{0,6} (?:is |are )?(?:not|un).?(?:supported|allowed)"
    r"|(?:not|n't) support.{0,20}\bsystem\b|only user,? (?:and |or )?assistant"
    r"|(?:unknown|unsupported|invalid) role|developer instruction"
)
_QUIET_KEYS = ("input", "body", "url", "documentation_url")
"""Keys of an error object that repeat the request."""


@dataclass(frozen=True, slots=True)
class Form:
    """The form of a server's requests; the default is the usual one.

    `limit` is the name of the token limit, "" for none; `without` are the options left out; `roles`
    says which messages there may be, and `room` how many characters of them. `once` are the options
    left out of this request only, because of their values, which are its client's.
    """

    limit: Literal["max_tokens", "max_completion_tokens", ""] = "max_tokens"
    without: frozenset[str] = frozenset()
    roles: Literal["any", "strict", "no system"] = "any"
    room: int = MAX_HISTORY
    once: frozenset[str] = frozenset()

    def lasting(self) -> "Form":
        """The part of this form that holds for the server's next requests, too."""
        return replace(self, once=frozenset())

    def shape(self, body: dict[str, Any]) -> dict[str, Any]:
        """The request in this form; `body` has the usual one and is not changed."""
        if self == Form():
            return body
        left_out = self.without | self.once
        shaped = {key: value for key, value in body.items() if key not in left_out}
        limit = shaped.pop("max_tokens", None)
        if limit is not None and self.limit:
            shaped[self.limit] = limit
        messages = _fitting(body["messages"], self.room)
        if self.roles != "any":
            messages = _strict(messages, system=self.roles == "strict")
        shaped["messages"] = messages
        return shaped

    def after(self, refusal: str, body: dict[str, Any]) -> "Form | None":
        """The form to try once `body`, in this form, was refused; None if words give no hint.

        `refusal` is the body of the server's answer, JSON or not.
        """
        text = _told(refusal)
        sent = self.shape(body)
        if _FINAL.search(text):
            return None
        if _TOO_LONG.search(text):
            size = sum(map(_size, sent["messages"]))
            room = min(size, self.room) // 2
            return replace(self, room=room) if room >= LEAST_ROOM else None
        form = self
        lasts = _NOT_TAKEN.search(text) is not None and _ONE_VALUE.search(text) is None
        if self.limit and self.limit in sent and _names(text, self.limit):
            following = self._next_limit(text)
            if following or lasts:
                form = replace(form, limit=following)
            else:
                form = replace(form, once=form.once | {"max_tokens"})
        refused = {option for option in _OPTIONS if option in sent and _names(text, option)}
        if "tools" in refused and "tool_choice" in sent:
            refused.add("tool_choice")
        once = refused.intersection(() if lasts else _CLIENTS)
        form = replace(form, without=form.without | (refused - once), once=form.once | once)
        if form == self and _ROLES.search(text):
            form = self._stricter(text)
        return None if form == self else form

    def plain(self) -> "Form":
        """The form that demands least, for a refusal that says nothing."""
        return replace(
            self,
            without=self.without.union(_PLAIN),
            roles="strict" if self.roles == "any" else self.roles,
        )

    def differences(self) -> tuple[str, ...]:
        """The differences of this form from the usual one, in a few words each."""
        told = []
        if self.limit != "max_tokens":
            other = f"{self.limit} in place of max_tokens" if self.limit else "no max_tokens"
            told.append(other)
        told += [f"no {option}" for option in _OPTIONS if option in self.without]
        if self.roles == "strict":
            told.append("one system message, the first; then user and assistant in turn")
        elif self.roles == "no system":
            told.append("no system message; user and assistant in turn")
        if self.room < MAX_HISTORY:
            told.append(f"at most {self.room} characters of conversation")
        return tuple(told)

    def _next_limit(self, text: str) -> Literal["max_completion_tokens", ""]:
        wrong_name = _ONE_VALUE.search(text) is None and (
            "max_completion_tokens" in text or _RENAMED.search(text) is not None
        )
        return "max_completion_tokens" if self.limit == "max_tokens" and wrong_name else ""

    def _stricter(self, text: str) -> "Form":
        if self.roles == "strict" or _NO_SYSTEM.search(text):
            return replace(self, roles="no system")
        return replace(self, roles="strict") if self.roles == "any" else self


def is_final(refusal: str) -> bool:
    """Whether no form of the request would be taken: a key, a quota, a policy, a model."""
    text = _told(refusal)
    return _FINAL.search(text) is not None or _TOO_LONG.search(text) is not None


def _told(refusal: str) -> str:
    """The words of a refusal in lower case, without what repeats the request."""
    try:
        value = json.loads(refusal)
    except (ValueError, RecursionError):
        return refusal.lower()
    return " ".join(_strings(value, 8)).lower()


def _strings(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth and isinstance(value, dict):
        for key, inner in value.items():
            if key not in _QUIET_KEYS:
                yield from _strings(inner, depth - 1)
    elif depth and isinstance(value, list):
        for inner in value:
            # pydantic writes the place as a list: "tools", 0, "function"
            yield from ("[]",) if type(inner) is int else _strings(inner, depth - 1)


def _names(text: str, option: str) -> bool:
    return re.search(rf"(?<![a-z_]){option}(?![a-z_])", text) is not None


def _size(message: dict[str, Any]) -> int:
    return len(message.get("content") or "") + len(json.dumps(message.get("tool_calls", "")))


def _fitting(messages: Sequence[dict[str, Any]], room: int) -> list[dict[str, Any]]:
    """The messages without the oldest of those between the first and the last two."""
    kept = list(messages)
    while len(kept) > 3 and sum(map(_size, kept)) > room:
        del kept[1]
    while len(kept) > 2 and kept[1]["role"] == "tool":  # its call is gone
        del kept[1]
    return kept


def _strict(messages: Sequence[dict[str, Any]], *, system: bool) -> list[dict[str, Any]]:
    """One system message at most, then turns that begin and end with the user.

    Without a `system` message its words stand before the user's last ones.
    """
    rules = "\n\n".join(m["content"] for m in messages if m["role"] == "system")
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message["role"] == "system":
            continue
        last = turns[-1] if turns else None
        if last is not None and _joins(last, message):
            turns[-1] = {**last, "content": f"{last['content']}\n\n{message['content']}"}
        else:
            turns.append(message)
    if not turns or turns[0]["role"] != "user":
        turns.insert(0, {"role": "user", "content": BEGIN})
    if turns[-1]["role"] == "assistant":
        turns.append({"role": "user", "content": GO_ON})
    if not rules:
        return turns
    if system:
        return [{"role": "system", "content": rules}, *turns]
    at = max(index for index, turn in enumerate(turns) if turn["role"] == "user")
    turns[at] = {**turns[at], "content": f"{rules}\n\n{turns[at]['content']}"}
    return turns


def _joins(last: dict[str, Any], message: dict[str, Any]) -> bool:
    plain = message["role"] in ("user", "assistant") and message["role"] == last["role"]
    return plain and "tool_calls" not in last and "tool_calls" not in message
