"""Tokens are counted for keys, sessions and models."""

from typing import Any

import pytest

from gateway.models.usage import (
    LONGEST_REPLY,
    CallUsage,
    UsageLedger,
    UsageTotal,
    most_tokens,
    prompt_tokens,
)


def test_a_call_is_counted_for_its_key_its_session_and_each_model() -> None:
    ledger = UsageLedger()
    ledger.add("key", "s-1", "small", CallUsage(10, 2), asked=False, escalated=True)
    ledger.add("key", "s-1", "large", CallUsage(10, 7, estimated=True))
    ledger.add("key", "", "large", CallUsage(1, 1))
    assert dict(ledger.of_keys()) == {"key": UsageTotal(2, 21, 10, 17, 1)}
    assert dict(ledger.of_sessions()) == {("key", "s-1"): UsageTotal(1, 20, 9, 17, 1)}
    models = [("large", UsageTotal(2, 11, 8, 17, 0)), ("small", UsageTotal(1, 10, 2, 0, 1))]
    assert [*ledger.of_models()] == models


def test_keys_that_came_least_recently_are_forgotten() -> None:
    ledger = UsageLedger(most_kept=2)
    for key in ("a", "b", "a", "c"):
        ledger.add(key, "s", "m", CallUsage(1, 1))
    assert [key for key, _ in ledger.of_keys()] == ["c", "a"]
    assert [key for key, _ in ledger.of_sessions()] == [("c", "s"), ("a", "s")]


def test_a_prompt_is_estimated_by_its_texts_and_tools() -> None:
    messages = [
        {"role": "system", "content": "x" * 40},
        {"role": "user", "content": [{"type": "text", "text": "y" * 8}, {"type": "image_url"}]},
        {"role": "assistant", "content": None},
    ]
    assert prompt_tokens({"messages": messages}) == 12
    assert prompt_tokens({"messages": messages, "tools": [{"a": 1}]}) == 15
    assert prompt_tokens({"messages": [{}]}) == 1


@pytest.mark.parametrize(
    ("more", "replies"),
    [
        ({}, LONGEST_REPLY),
        ({"max_tokens": 50}, 50),
        ({"max_completion_tokens": 70, "max_tokens": 50, "n": 3}, 210),
        ({"max_completion_tokens": None, "max_tokens": 50}, 50),
        ({"max_tokens": -5, "n": 0}, LONGEST_REPLY),
        ({"max_tokens": "many", "n": True}, LONGEST_REPLY),
        ({"max_tokens": 1.5, "n": [3]}, LONGEST_REPLY),
    ],
    ids=["nothing", "max_tokens", "both and n", "null", "negative", "texts", "fractions"],
)
def test_a_call_may_take_its_request_and_each_reply_at_its_longest(
    more: dict[str, Any], replies: int
) -> None:
    body = {"messages": [{"role": "user", "content": "x" * 40}], **more}
    assert most_tokens(body) == 10 + replies
