"""Reads chat completions, whole or as events, as they go through to a client. Pure.

The gateway asks for more than its client wants: the reply's usage and the probabilities of its
tokens. What the client has not asked for is taken out again.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from gateway.models.routing import ReplyFacts, confidence_of
from gateway.models.usage import CallUsage, estimated_tokens, told_usage
from stages._sse import EventStream
from stages.llm._chunks import choice_of, failure_in, text_of
from stages.llm._refusal import RefusalFilter

DONE: Final = "[DONE]"

LEAST_LOGPROB: Final = -1e6
"""Lower log probabilities mean the same, and their sum might be no number."""

MOST_READ_BYTES: Final = 4_000_000
"""The usage of a longer reply is not read but estimated."""


@dataclass(frozen=True, slots=True)
class ReplyWishes:
    """Whether the client itself asked for a reply's usage, and for its probabilities."""

    usage: bool = True
    logprobs: bool = True


class ReplyReader:
    """One reply, read piece by piece: `feed` returns the part that the client gets.

    The text of a `judged` reply is kept, too; if the reply is no stream, `finish` returns all of
    it. The caller limits its length. Raises `stages._sse.MalformedStream` for a too long event.
    """

    def __init__(
        self, *, streamed: bool, judged: bool, wishes: ReplyWishes, prompt_tokens: int
    ) -> None:
        self._events = EventStream() if streamed else None
        self._judged = judged
        self._wishes = wishes
        self._prompt_tokens = prompt_tokens
        self._whole = bytearray()
        self._bytes = 0
        self._usage: CallUsage | None = None
        self._characters = 0
        self._text: list[str] = []
        self._logprobs: list[float] = []
        self._refused = self._failed = self._called = False
        self._ended = False

    def feed(self, piece: bytes) -> bytes:
        """Take a piece of the answer's body."""
        if self._events is not None:
            return b"".join(map(self._event, self._events.feed(piece)))
        self._bytes += len(piece)
        if self._judged or self._bytes <= MOST_READ_BYTES:
            self._whole += piece
        return b"" if self._judged else piece

    def finish(self) -> bytes:
        """The rest of what the client gets, at the end of the body."""
        self._ended = True
        if self._events is not None:
            return b"".join(map(self._event, self._events.finish()))
        body = bytes(self._whole)
        self._whole.clear()
        cut = not self._judged and self._bytes > MOST_READ_BYTES
        completion = None if cut else _object(body)
        if completion is None:
            self._failed = True
            self._characters += self._bytes
        else:
            self._take(completion)
            if not self._wishes.logprobs and _without_logprobs(completion):
                body = json.dumps(completion, separators=(",", ":")).encode()
        return body if self._judged else b""

    @property
    def usage(self) -> CallUsage:
        """The tokens that the reply has taken so far; estimated if the server has not told them.

        Some servers tell them with each piece, and others first tell those of the request. For a
        reply that was broken off, at least the text that has come is counted.
        """
        estimated = estimated_tokens(self._characters)
        told = self._usage
        if told is None:
            return CallUsage(self._prompt_tokens, estimated, estimated=True)
        if self._ended or told.completion >= estimated:
            return told
        return CallUsage(told.prompt, estimated, estimated=True)

    @property
    def facts(self) -> ReplyFacts:
        """The facts by which the finished reply is judged."""
        text = "".join(self._text)
        return ReplyFacts(
            empty=not text.strip() and not self._called,
            failed=self._failed,
            refused=self._refused or (not self._called and is_refusal(text)),
            confidence=confidence_of(self._logprobs),
        )

    def _event(self, data: str) -> bytes:
        done = data.strip() == DONE
        chunk = None if done else _object(data.encode())
        self._ended = self._ended or done
        if chunk is not None:
            self._take(chunk)
            if not self._wishes.usage and not chunk.get("choices") and "usage" in chunk:
                return b""
            if not self._wishes.logprobs and _without_logprobs(chunk):
                data = json.dumps(chunk, separators=(",", ":"))
        return b"".join(b"data: %b\n" % line.encode() for line in data.split("\n")) + b"\n"

    def _take(self, completion: dict[str, Any]) -> None:
        told = told_usage(completion.get("usage"))
        self._usage = told or self._usage
        # The last piece of a stream tells the usage alone.
        self._ended = self._ended or (told is not None and completion.get("choices") == [])
        try:
            if completion.get("error") or failure_in(completion):
                self._failed = True
            self._read(completion)
        except (ArithmeticError, AttributeError, TypeError, ValueError):
            self._failed = True

    def _read(self, completion: dict[str, Any]) -> None:
        first = choice_of(completion)
        if self._judged:
            self._text.append(first.text)
        self._called = self._called or bool(first.calls)
        self._refused = self._refused or bool(first.refusal) or first.ending == "filtered"
        self._failed = self._failed or first.ending == "failed"
        choices = completion.get("choices") or ()
        for choice in choices:
            delta = choice.get("delta") or choice.get("message") or {}
            self._characters += len(text_of(delta.get("content")))
            self._characters += len(delta.get("reasoning_content") or "")
            calls = delta.get("tool_calls")
            self._characters += len(json.dumps(calls)) if calls else 0
        if choices and self._judged:
            self._logprobs += _logprobs(min(choices, key=_index).get("logprobs"))


def is_refusal(text: str) -> bool:
    """Whether a text is a model's refusal as a whole."""
    filtered = RefusalFilter()
    return not filtered.push(text) and filtered.finish()[1]


def _index(choice: dict[str, Any]) -> int:
    index = choice.get("index")
    return index if isinstance(index, int) else 0


def _logprobs(value: Any) -> Iterable[float]:
    entries = value.get("content") if isinstance(value, dict) else None
    for entry in entries or ():
        logprob = entry.get("logprob")
        if isinstance(logprob, int | float) and math.isfinite(logprob):
            yield max(float(logprob), LEAST_LOGPROB)


def _without_logprobs(completion: dict[str, Any]) -> bool:
    """Take the probabilities out; whether there were any."""
    choices = completion.get("choices")
    found = False
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and choice.get("logprobs") is not None:
            choice["logprobs"] = None
            found = True
    return found


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
