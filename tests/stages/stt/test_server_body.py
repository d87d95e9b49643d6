"""Transcripts in the forms of servers that answer in their own."""

import json
from typing import Any

import pytest

from stages.stt._server_body import reply_in
from stages.stt._server_reply import UploadedSpeech, transcript

UPLOAD = UploadedSpeech(5.0, -20.0, (), "en")
ANSWER = "I measured the cache first."

VTT = """WEBVTT

NOTE made by a server

1
00:00.000 --> 00:01.500 align:start
<v Speaker>I measured

2
00:01.500 --> 00:02.500
the cache first.
"""
SRT = """1
00:00:00,000 --> 00:00:01,500
I measured

2
00:00:01,500 --> 00:00:02,500
the cache
first.
"""
LINES = (
    "[00:00:00.000 --> 00:00:01.500]  I measured\n[00:00:01.500 --> 00:00:02.5]  the cache first."
)
PARTS: list[dict[str, Any]] = [{"text": " I measured"}, {"text": " the cache first."}]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (ANSWER, "text/plain; charset=utf-8"),
        (f" {ANSWER}\n", "text/html"),
        (json.dumps(ANSWER), "application/json"),
        (VTT, "text/vtt"),
        (VTT.replace("\n", "\r\n"), "text/vtt"),
        (SRT, "application/x-subrip"),
        (SRT, "text/plain"),
        (LINES, "text/plain"),
        (json.dumps(PARTS), "application/json"),
        ("\n".join(json.dumps(part) for part in PARTS), "application/x-ndjson"),
        (json.dumps({"result": {"text": ANSWER}}), "application/json"),
        (json.dumps({"transcription": PARTS}), "application/json"),
        (json.dumps({"transcript": ANSWER, "text": None}), "application/json"),
    ],
    ids=[
        *("text", "html", "string", "vtt", "vtt-crlf", "srt", "srt-as-text", "whisper-cpp"),
        *("list", "lines", "result", "transcription", "transcript"),
    ],
)
def test_the_words_are_heard_whatever_the_form_of_the_body(body: str, kind: str) -> None:
    reply = reply_in(body.encode(), kind)
    assert reply is not None
    assert transcript(4, reply, UPLOAD)[0].text == ANSWER


def test_a_number_that_was_said_is_no_number_of_a_cue() -> None:
    body = "00:00.000 --> 00:01.000\nI have\n12\n\n00:01.000 --> 00:02.000\nservers."
    reply = reply_in(body.encode(), "text/vtt")
    assert reply is not None
    assert transcript(4, reply, UPLOAD)[0].text == "I have 12 servers."


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ('{"text": "Yes."}', "application/json"),
        ('{"error": "no model", "result": "x"}', "application/json"),
        ('{"result": 5}', "application/json"),
        ('{"text": ', "text/plain"),
        ('["a"]', "application/json"),
        ("[" * 20_000, "application/json"),
        ("[]", "application/json"),
        ("<html><p>Sign in</p></html>", "text/html"),
        ("Bad gateway", "application/json"),
        ("", "application/json"),
    ],
    ids=[
        *("usual", "error", "number", "cut", "strings", "nested", "empty-list", "page", "not-json"),
        "empty",
    ],
)
def test_everything_else_is_read_as_json(body: str, kind: str) -> None:
    assert reply_in(body.encode(), kind) is None


def test_a_text_of_nothing_is_no_answer() -> None:
    for body in ("", "WEBVTT\n\n", "\ufeff"):
        reply = reply_in(body.encode(), "text/plain")
        assert reply is not None
        assert transcript(4, reply, UPLOAD)[0].text == ""
