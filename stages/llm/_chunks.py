"""Reads the pieces of a chat completion, in the forms that servers give them. Pure.

Servers differ in the content (a text, a list of parts or of texts, none), in where it is (`delta`,
`message`, `text`, or as in another interface), and in the reason why the text ends: null or "" in
every piece, other vendors' words for the same reasons, a "stop" before the text.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.token_usage import TokenUsage
from stages.llm._other_pieces import part_of, unwrapped

Ending = Literal["stop", "length", "tool_calls", "filtered", "failed"]
"""Why a text ends: complete, too long, functions are called, withheld, or the server failed."""

_ENDINGS: Mapping[str, Ending] = {
    **dict.fromkeys(
        ("length", "max_tokens", "max_output_tokens", "model_length", "limit"), "length"
    ),
    **dict.fromkeys(("tool_calls", "tool_call", "function_call", "tool_use"), "tool_calls"),
    **dict.fromkeys(
        (
            *("content_filter", "content_filtered", "contentfilter", "filtered", "refusal"),
            *("safety", "recitation", "blocklist", "prohibited_content", "sensitive"),
            "guardrail_intervened",
        ),
        "filtered",
    ),
    **dict.fromkeys(
        (
            *("error", "abort", "aborted", "cancelled", "insufficient_system_resource"),
            *("network_error", "malformed_function_call"),
        ),
        "failed",
    ),
}
"""OpenAI's reasons and those of Azure, Mistral, Gemini, Bedrock, DeepSeek, vLLM and others; any
other word means that the text is complete."""

_NONE = ("", "null", "none", "unspecified", "finish_reason_unspecified")


@dataclass(frozen=True, slots=True)
class CompletionPiece:
    """One piece of a reply: its text, the words of a refusal, calls in their raw form, an ending.

    `index` is the number of its choice, if the server gives it. `usage` has the tokens of the whole
    reply so far, if the server gives them with this piece.
    """

    text: str = ""
    refusal: str = ""
    calls: tuple[Any, ...] = ()
    ending: Ending | None = None
    index: int | None = None
    usage: TokenUsage | None = None


def choice_of(completion: Mapping[str, Any]) -> CompletionPiece:
    """The first choice of a chunk or of a whole completion; an empty one where there is none.

    Raises `AttributeError`, `TypeError` and `ValueError` for what no server should send.
    """
    if "choices" not in completion:
        completion = unwrapped(completion)
    choices = completion.get("choices")
    if "choices" not in completion:
        content, reason, called = part_of(completion)
        return CompletionPiece(text_of(content), calls=_calls(called), ending=ending_of(reason))
    choices = [choice for choice in choices or () if choice is not None]
    if not choices or not isinstance(completion["choices"], list):
        return CompletionPiece()
    choice = min(choices, key=_index) if len(choices) > 1 else choices[0]
    index = choice.get("index")
    delta = choice.get("delta") or choice.get("message") or {}
    if isinstance(delta, str):
        delta = {"content": delta}
    content = delta.get("content")
    if content is None:
        content = choice.get("text")  # as in completions without a chat
    calls = _calls(delta.get("tool_calls"))
    if not calls and (call := delta.get("function_call")):  # as before there were tools
        calls = ({"function": call},)
    return CompletionPiece(
        text_of(content),
        text_of(delta.get("refusal")) or _refusal_in(content),
        calls,
        ending_of(choice.get("finish_reason")),
        index if type(index) is int else None,
    )


def _calls(value: Any) -> tuple[Any, ...]:
    """The calls of a piece; some servers send one that is not in a list."""
    if isinstance(value, Mapping):
        return (value,) if value else ()
    return tuple(value or ())


def failure_in(chunk: Mapping[str, Any]) -> str:
    """The message of a chunk that reports a failure in another way than by `error`; mostly "".

    >>> failure_in({"type": "error", "message": "overloaded"}), failure_in({"type": "ping"})
    ('overloaded', '')
    """
    names = ("message", "detail", "msg")
    words = (chunk.get(name) for name in names)
    said: str = next((word for word in words if word and isinstance(word, str)), "")
    if chunk.get("object") == "error" or chunk.get("type") == "error":
        return said or "an error"
    return "" if "choices" in unwrapped(chunk) else said


def text_of(content: Any) -> str:
    """The text of a content: a text, none, or a list of texts and of parts, less the reasoning.

    Raises `TypeError` for anything else.
    """
    if not content:  # null, "", false, or an empty list
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        content = [content] if "value" not in content else [{"text": content["value"]}]
    if not isinstance(content, list):
        raise TypeError("content is not text")
    return "".join(map(_text_of_part, content))


def _text_of_part(part: Any) -> str:
    if part is None or isinstance(part, str):
        return part or ""
    if not isinstance(part, Mapping):
        raise TypeError("content is not text")
    if part.get("type", "text") not in ("text", "output_text", "text_delta"):
        return ""
    return text_of(next((part[name] for name in ("text", "content") if part.get(name)), None))


def _index(choice: Any) -> int:
    index = choice.get("index")
    return index if isinstance(index, int) else 0


def _refusal_in(content: Any) -> str:
    """The words of a refusal that is a part of a content."""
    if not isinstance(content, list):
        return ""
    parts = (part for part in content if isinstance(part, Mapping))
    return "".join(text_of(part.get("refusal")) for part in parts)


def ending_of(reason: Any) -> Ending | None:
    """The ending that a `finish_reason` means; None where it is no reason.

    >>> ending_of(""), ending_of("MAX_TOKENS"), ending_of("eos")
    (None, 'length', 'stop')
    """
    if not isinstance(reason, str):
        return None if reason is None or reason is False else "stop"
    word = reason.strip().lower().replace("-", "_")
    return None if word in _NONE else _ENDINGS.get(word, "stop")
