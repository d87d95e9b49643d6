"""Reads the pieces of a chat completion, in the forms that servers give them. Pure.

Servers differ in the content (a text, a list of parts, none), in where it is (`delta`, `message`,
`text`), and in the reason why the text ends: null or "" in every piece, other vendors' words for
the same reasons, a "stop" before the text.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Ending = Literal["stop", "length", "tool_calls", "filtered", "failed"]
"""Why a text ends: complete, too long, functions are called, withheld, or the server failed."""

_ENDINGS: Mapping[str, Ending] = {
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "model_length"), "length"),
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
    """What one piece adds: its text, the words of a refusal, calls in their raw form, an ending.

    `index` says of which choice it is, where the server tells it.
    """

    text: str = ""
    refusal: str = ""
    calls: tuple[Any, ...] = ()
    ending: Ending | None = None
    index: int | None = None


def choice_of(completion: Mapping[str, Any]) -> CompletionPiece:
    """The first choice of a chunk or of a whole completion; an empty one where there is none.

    Raises `AttributeError`, `TypeError` and `ValueError` for what no server should send.
    """
    choices = completion.get("choices") or ()
    if not choices or not isinstance(choices, list):
        return CompletionPiece()
    choice = min(choices, key=_index) if len(choices) > 1 else choices[0]
    index = choice.get("index")
    delta = choice.get("delta") or choice.get("message") or {}
    content = delta.get("content")
    if content is None:
        content = choice.get("text")  # as in completions without a chat
    calls = delta.get("tool_calls") or ()
    if not calls and (call := delta.get("function_call")):  # as before there were tools
        calls = ({"function": call},)
    return CompletionPiece(
        text_of(content),
        text_of(delta.get("refusal")) or _refusal_in(content),
        tuple(calls),
        ending_of(choice.get("finish_reason")),
        index if type(index) is int else None,
    )


def failure_in(chunk: Mapping[str, Any]) -> str:
    """What a chunk says that tells of a failure in another way than by `error`; mostly "".

    >>> failure_in({"type": "error", "message": "overloaded"}), failure_in({"type": "ping"})
    ('overloaded', '')
    """
    names = ("message", "detail", "msg")
    words = (chunk.get(name) for name in names)
    said: str = next((word for word in words if word and isinstance(word, str)), "")
    if chunk.get("object") == "error" or chunk.get("type") == "error":
        return said or "an error"
    return "" if "choices" in chunk else said


def text_of(content: Any) -> str:
    """The text of a content: a text, none, or a list of parts, of which reasoning is left out.

    Raises `TypeError` for anything else.
    """
    if not content:  # null, "", false, or an empty list
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        content = [content] if "value" not in content else [{"text": content["value"]}]
    if not isinstance(content, list) or not all(isinstance(part, Mapping) for part in content):
        raise TypeError("content is not text")
    parts = (part for part in content if part.get("type", "text") in ("text", "output_text"))
    return "".join(text_of(part.get("text")) for part in parts)


def _index(choice: Any) -> int:
    index = choice.get("index")
    return index if isinstance(index, int) else 0


def _refusal_in(content: Any) -> str:
    """The words of a refusal that is a part of a content."""
    if not isinstance(content, list):
        return ""
    return "".join(text_of(part.get("refusal")) for part in content)


def ending_of(reason: Any) -> Ending | None:
    """The ending that a `finish_reason` means; None where it is no reason.

    >>> ending_of(""), ending_of("MAX_TOKENS"), ending_of("eos")
    (None, 'length', 'stop')
    """
    if not isinstance(reason, str):
        return None if reason is None or reason is False else "stop"
    word = reason.strip().lower().replace("-", "_")
    return None if word in _NONE else _ENDINGS.get(word, "stop")
