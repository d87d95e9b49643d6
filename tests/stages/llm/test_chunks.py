from typing import Any

import pytest

from stages.llm._chunks import CompletionPiece, choice_of, ending_of, text_of


@pytest.mark.parametrize(
    "reason", [None, "", " ", "null", "None", False, "FINISH_REASON_UNSPECIFIED"]
)
def test_what_is_no_reason_does_not_end_a_reply(reason: Any) -> None:
    assert ending_of(reason) is None


@pytest.mark.parametrize(
    ("reason", "ending"),
    [
        ("stop", "stop"),
        ("eos_token", "stop"),
        ("end_turn", "stop"),
        ("STOP", "stop"),
        (1, "stop"),
        ("length", "length"),
        ("MAX_TOKENS", "length"),
        ("content-filter", "filtered"),
        ("SAFETY", "filtered"),
        ("function_call", "tool_calls"),
        ("insufficient_system_resource", "failed"),
    ],
)
def test_every_vendors_word_means_one_of_a_few_endings(reason: Any, ending: str) -> None:
    assert ending_of(reason) == ending


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, ""),
        ("Why?", "Why?"),
        ([{"type": "text", "text": "Why"}, {"text": "?"}], "Why?"),
        ({"type": "text", "text": "Why?"}, "Why?"),
        (
            [{"type": "thinking", "thinking": "Hm."}, {"type": "output_text", "text": "Why?"}],
            "Why?",
        ),
        ([{"type": "image_url", "image_url": {}}], ""),
        ([], ""),
        (["Wh", "y?", None, {"type": "text", "text": ["", ""]}], "Why?"),
        (["Why", {"type": "text", "content": "?"}, {"type": "reasoning", "text": "Hm."}], "Why?"),
    ],
)
def test_content_is_a_text_or_parts_of_one(content: Any, text: str) -> None:
    assert text_of(content) == text


@pytest.mark.parametrize("content", [7, [7], [["a"]], [{"text": 7}]])
def test_content_that_is_no_text_is_refused(content: Any) -> None:
    with pytest.raises(TypeError, match="content is not text"):
        text_of(content)


def test_a_piece_without_choices_adds_nothing() -> None:
    assert choice_of({"choices": None}) == choice_of({}) == CompletionPiece()


@pytest.mark.parametrize(
    ("chunk", "piece"),
    [
        ({"usage": {"prompt_tokens": 1}}, CompletionPiece()),
        ({"type": "ping"}, CompletionPiece()),
        ({"type": "message_stop"}, CompletionPiece(ending="stop")),
        ({"type": "response.incomplete"}, CompletionPiece(ending="length")),
        ({"type": "response.failed"}, CompletionPiece(ending="failed")),
        ({"type": "message_delta", "delta": {}}, CompletionPiece()),
        ({"type": "content-delta", "delta": {}}, CompletionPiece()),
        ({"type": "message_delta", "delta": None}, CompletionPiece()),
        ({"message": {"content": "Why"}, "done": False}, CompletionPiece("Why")),
        ({"done": True, "done_reason": "length"}, CompletionPiece(ending="length")),
        ({"content": "", "stop": True, "stop_type": "limit"}, CompletionPiece(ending="length")),
        ({"candidates": [None]}, CompletionPiece()),
        ({"candidates": [{"finishReason": "SAFETY"}]}, CompletionPiece(ending="filtered")),
        ({"data": {"choices": []}}, CompletionPiece()),
        (
            {"choices": [{"delta": {"tool_calls": {"function": {"name": "x"}}}}]},
            CompletionPiece(calls=({"function": {"name": "x"}},)),
        ),
    ],
)
def test_a_piece_of_another_interface_is_read(chunk: Any, piece: CompletionPiece) -> None:
    assert choice_of(chunk) == piece
