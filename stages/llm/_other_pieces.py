"""Reads the pieces of a reply that have no `choices`: the forms of other interfaces. Pure.

Servers and proxies at the address of chat completions answer at times in the form of their own
interface: Ollama's lines (`message`, `response`), llama.cpp's (`content`), text-generation
servers' (`token`), Anthropic's and Cohere's events, OpenAI's responses, Gemini's `candidates`.
"""

from collections.abc import Mapping
from typing import Any

Part = tuple[Any, Any, Any]
"""A content, a reason why the text ends, and calls of functions, each as the server gave it."""

_NOTHING: Part = (None, None, None)
_ENVELOPES = ("data", "result", "output")
"""Where proxies put the whole chunk."""


def unwrapped(chunk: Mapping[str, Any]) -> Mapping[str, Any]:
    """The chunk, or the one in the envelope that a proxy put around it."""
    if "choices" in chunk:
        return chunk
    inner = (chunk.get(name) for name in _ENVELOPES)
    return next((one for one in inner if isinstance(one, Mapping) and "choices" in one), chunk)


def part_of(chunk: Mapping[str, Any]) -> Part:
    """The content, the ending and the calls of a chunk without `choices`; what is missing is None.

    >>> part_of({"message": {"role": "assistant", "content": "Why?"}, "done": False})
    ('Why?', None, None)
    """
    kind = chunk.get("type", chunk.get("event_type"))
    if isinstance(kind, str):
        return _of_event(kind, chunk)
    if isinstance(candidates := chunk.get("candidates"), list) and candidates:
        return _of_candidate(candidates[0])
    message = chunk.get("message")
    calls = None
    if isinstance(message, Mapping):
        content, calls = message.get("content"), message.get("tool_calls")
    elif isinstance(token := chunk.get("token"), Mapping):
        content = None if token.get("special") else token.get("text")
    else:
        names = ("response", "content", "text")
        content = next((chunk[name] for name in names if chunk.get(name)), None)
    over = chunk.get("done", chunk.get("stop")) is True or bool(chunk.get("generated_text"))
    named = ("done_reason", "stop_type", "finish_reason")
    reason = next((chunk[name] for name in named if chunk.get(name)), "stop")
    return content, reason if over else None, calls


def _of_event(kind: str, chunk: Mapping[str, Any]) -> Part:
    """The parts of an event that names its type."""
    delta = chunk.get("delta")
    match kind:
        case "content_block_delta" if isinstance(delta, Mapping):
            return delta.get("text"), None, None  # thinking and input of tools have other names
        case "message_delta" if isinstance(delta, Mapping):
            return None, delta.get("stop_reason"), None
        case "content-delta" if isinstance(delta, Mapping):
            message = delta.get("message")
            return (message.get("content") if isinstance(message, Mapping) else None), None, None
        case "message-end" if isinstance(delta, Mapping):
            return None, delta.get("finish_reason") or "stop", None
        case "response.output_text.delta" | "response.refusal.delta" if isinstance(delta, str):
            return delta, None, None
        case "text-generation":
            return chunk.get("text"), None, None
        case "stream-end":
            return None, chunk.get("finish_reason") or "stop", None
        case "message_stop" | "response.completed":
            return None, "stop", None
        case "response.incomplete":
            return None, "length", None
        case "response.failed":
            return None, "error", None
    return _NOTHING


def _of_candidate(candidate: Any) -> Part:
    """The parts of Gemini's form; thoughts are left out."""
    if not isinstance(candidate, Mapping):
        return _NOTHING
    content = candidate.get("content")
    parts = content.get("parts") if isinstance(content, Mapping) else None
    if not isinstance(parts, list):
        return None, candidate.get("finishReason"), None
    said = [part for part in parts if not (isinstance(part, Mapping) and part.get("thought"))]
    return said, candidate.get("finishReason"), None
