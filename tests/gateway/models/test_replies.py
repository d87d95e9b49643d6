"""What a reply says of itself, whole or as events cut anywhere, and what of it a client gets."""

import json
from typing import Any

import pytest

from gateway.models.replies import ReplyReader, ReplyWishes, is_refusal
from gateway.models.usage import CallUsage

ALL = ReplyWishes()
NONE = ReplyWishes(usage=False, logprobs=False)


def whole(content: str | None, **more: Any) -> bytes:
    message = {"role": "assistant", "content": content, **more.pop("message", {})}
    choice = {"index": 0, "message": message, "finish_reason": "stop", **more.pop("choice", {})}
    return json.dumps({"choices": [choice], **more}).encode()


def events(*chunks: dict[str, Any]) -> bytes:
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return "".join([*lines, "data: [DONE]\n\n"]).encode()


def piece(content: str, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": content}, **more}]}


def read(
    body: bytes,
    *,
    judged: bool = True,
    wishes: ReplyWishes = ALL,
    size: int = 7,
    streamed: bool = False,
) -> tuple[bytes, ReplyReader]:
    reader = ReplyReader(streamed=streamed, judged=judged, wishes=wishes, prompt_tokens=5)
    said = [reader.feed(body[at : at + size]) for at in range(0, len(body), size)]
    return b"".join([*said, reader.finish()]), reader


USAGE = {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}


@pytest.mark.parametrize("judged", [False, True])
def test_a_whole_reply_passes_as_it_is_and_tells_its_usage(judged: bool) -> None:
    body = whole("Grüße, what was hard?", usage=USAGE)
    said, reader = read(body, judged=judged)
    assert said == body
    assert reader.usage == CallUsage(11, 3)


@pytest.mark.parametrize(
    "usage",
    [None, [], {}, {"prompt_tokens": 1}, {"prompt_tokens": -1, "completion_tokens": 1}]
    + [{"prompt_tokens": 1, "completion_tokens": number} for number in (True, "2", 1.5, 10**30)],
    ids=["none", "list", "empty", "half", "negative", "true", "text", "fraction", "huge"],
)
def test_usage_that_is_not_told_is_an_estimate_and_is_marked_so(usage: Any) -> None:
    _, reader = read(whole("x" * 41, usage=usage))
    assert reader.usage == CallUsage(5, 11, estimated=True)


def test_a_stream_passes_event_by_event_and_tells_its_usage_at_the_end() -> None:
    chunks = [piece("What "), piece("now?", finish_reason="stop"), {"choices": [], "usage": USAGE}]
    body = events(*chunks)
    for size in (1, 7, 1000):
        said, reader = read(body, streamed=True, judged=False, size=size)
        assert said == body
        assert reader.usage == CallUsage(11, 3)


def test_a_client_that_did_not_ask_for_usage_gets_no_chunk_of_it() -> None:
    asked, usage = [piece("What "), piece("now?")], {"choices": [], "usage": USAGE}
    said, reader = read(events(*asked, usage), streamed=True, judged=False, wishes=NONE)
    assert said == events(*asked)
    assert reader.usage == CallUsage(11, 3)


def test_a_stream_that_breaks_off_is_counted_by_its_text_so_far() -> None:
    reader = ReplyReader(streamed=True, judged=False, wishes=ALL, prompt_tokens=5)
    reader.feed(events(piece("x" * 8), piece("y" * 9))[:-20])
    assert reader.usage == CallUsage(5, 2, estimated=True)  # the second is not there as a whole


def test_confidence_comes_from_the_probabilities_and_they_are_taken_out_again() -> None:
    logprobs = {"content": [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -1.5}]}
    said, reader = read(whole("a b", choice={"logprobs": logprobs}), wishes=NONE)
    assert reader.facts.confidence == pytest.approx(0.3679, abs=1e-4)
    assert json.loads(said)["choices"][0]["logprobs"] is None
    kept, _ = read(whole("a b", choice={"logprobs": logprobs}))
    assert json.loads(kept)["choices"][0]["logprobs"] == logprobs

    half = {"content": logprobs["content"][:1]}
    body = events(piece("a", logprobs=half), piece("b", logprobs=logprobs))
    said, reader = read(body, streamed=True, wishes=NONE)
    assert reader.facts.confidence == pytest.approx(0.4346, abs=1e-4)
    assert b'logprob"' not in said
    assert b'"logprobs": null' in said or b'"logprobs":null' in said


@pytest.mark.parametrize(
    ("body", "refused", "failed", "empty"),
    [
        (whole("What did you build?"), False, False, False),
        (whole("I'm sorry, but I can't assist with that."), True, False, False),
        (whole(None, message={"refusal": "No."}), True, False, True),
        (whole("", choice={"finish_reason": "content_filter"}), True, False, True),
        (whole("half", choice={"finish_reason": "error"}), False, True, False),
        (whole(""), False, False, True),
        (whole(None, message={"tool_calls": [{"id": "1"}]}), False, False, False),
        (b'{"error": {"message": "overloaded"}}', False, True, True),
        (b"<html>", False, True, True),
        (b'{"choices": 7}', False, True, True),
        (b'{"choices": [7]}', False, True, True),
    ],
    ids=[
        *("answer", "refusal", "refusal-field", "filtered", "gave-up", "nothing", "call"),
        *("error", "no-json", "no-list", "no-choice"),
    ],
)
def test_a_reply_tells_whether_it_is_one(
    body: bytes, refused: bool, failed: bool, empty: bool
) -> None:
    facts = read(body)[1].facts
    assert (facts.refused, facts.failed, facts.empty) == (refused, failed, empty)


@pytest.mark.parametrize(
    "logprob", ["NaN", "Infinity", "-Infinity", "1" + "0" * 400, '"x"', "null"]
)
def test_probabilities_that_are_none_are_passed_over(logprob: str) -> None:
    body = whole("a", choice={"logprobs": {"content": [{"logprob": -0.1}, {"logprob": "HERE"}]}})
    _, reader = read(body.replace(b'"HERE"', logprob.encode()))
    assert reader.facts.confidence is None or reader.facts.confidence > 0.9


def test_a_refusal_is_told_from_an_answer_that_is_sorry() -> None:
    assert is_refusal("I cannot help with that request.")
    assert not is_refusal("Sorry to hear that. What did you do then?")


def test_a_probability_of_nothing_is_no_confidence() -> None:
    logprobs = {"content": [{"logprob": -1e308}] * 3}
    _, reader = read(events(piece("Why?", logprobs=logprobs)), streamed=True)
    assert reader.facts.confidence == 0.0


def test_what_was_told_before_a_stream_broke_off_is_not_all_of_it() -> None:
    begun = {"prompt_tokens": 11, "completion_tokens": 0}
    body = events({**piece("x" * 40), "usage": begun}, {"choices": [], "usage": USAGE})
    first, last, done = body.split(b"\n\n")[:3]

    def usage(*parts: bytes) -> CallUsage:
        reader = ReplyReader(streamed=True, judged=False, wishes=ALL, prompt_tokens=5)
        for part in parts:
            reader.feed(part + b"\n\n")
        return reader.usage

    assert usage(first) == CallUsage(11, 10, estimated=True)
    assert usage(first, last) == usage(first, last, done) == CallUsage(11, 3)
    assert usage(first, done) == CallUsage(11, 0)
