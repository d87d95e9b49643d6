"""Tokens of a chat completion: as the server tells them, or about, by its request. Pure."""

import json
from collections.abc import Mapping
from typing import Any, Final

from pipeline.token_usage import TokenUsage, estimated_tokens

LONGEST_TOLD: Final = 10_000_000
"""More tokens than this are no figure of one call."""


def told_usage(value: Any) -> TokenUsage | None:
    """The `usage` of a completion, None where it tells nothing that can be one."""
    if not isinstance(value, Mapping):
        return None
    prompt, completion = count(value.get("prompt_tokens")), count(value.get("completion_tokens"))
    if prompt is None or completion is None:
        return None
    details = value.get("prompt_tokens_details")
    cached = count(details.get("cached_tokens")) if isinstance(details, Mapping) else None
    return TokenUsage(prompt, completion, cached=min(cached or 0, prompt))


def count(value: Any) -> int | None:
    """A number of tokens, None where it is none."""
    good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LONGEST_TOLD
    return value if good else None


def prompt_tokens(body: Mapping[str, Any]) -> int:
    """About how many tokens a request has: its messages and its tools, at least 1."""
    texts = [_text_of(message) for message in body.get("messages") or ()]
    tools = body.get("tools")
    characters = sum(map(len, texts)) + (len(json.dumps(tools)) if tools else 0)
    return max(1, estimated_tokens(characters))


def _text_of(message: Any) -> str:
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):  # pictures and sounds are not told by the length of their data
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""
