"""What clients of the native dialect get: a message for every output."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gateway.protocols.dialect import (
    InterviewProgress,
    Outgoing,
    OutOfBand,
    ProtocolError,
    ReplyTiming,
    Send,
    SessionReady,
    Start,
    WireAudio,
)
from gateway.protocols.left_out import LeftOut
from gateway.protocols.native import NativeDialect
from gateway.protocols.request import SessionRequest
from pipeline import frames
from pipeline.token_usage import TokenUsage

READY = SessionReady("s", WireAudio("opus", 48_000), WireAudio("opus", 48_000), {}, None)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (frames.SpeechStarted(1, 20), {"type": "speech.started", "turn": 1, "at_ms": 20}),
        (frames.SpeechStopped(1, 90), {"type": "speech.stopped", "turn": 1, "at_ms": 90}),
        (
            frames.Transcript(1, "hi", final=False),
            {"type": "transcript", "turn": 1, "text": "hi", "final": False},
        ),
        (
            frames.Transcript(1, "hi", True, "en", 0.98765, (frames.Word("hi", 0, 200),)),
            {
                "type": "transcript",
                "turn": 1,
                "text": "hi",
                "final": True,
                "language": "en",
                "confidence": 0.988,
                "words": [{"text": "hi", "start_ms": 0, "end_ms": 200}],
            },
        ),
        (frames.ReplyStarted(2), {"type": "reply.started", "turn": 2}),
        (frames.ReplyText(2, "Hm."), {"type": "reply.text", "turn": 2, "text": "Hm."}),
        (
            frames.Visemes(2, 40, (frames.Viseme(40, 80, "PP", 0.5),)),
            {
                "type": "visemes",
                "turn": 2,
                "start_ms": 40,
                "cues": [{"t": 40, "d": 80, "v": "PP", "w": 0.5}],
            },
        ),
        (
            frames.ReplyDone(2, interrupted=True, heard="H"),
            {"type": "reply.done", "turn": 2, "interrupted": True, "heard": "H"},
        ),
        (
            frames.ToolCall(2, "c", "look", '{"up": 1}'),
            {
                "type": "tool.call",
                "turn": 2,
                "call_id": "c",
                "name": "look",
                "arguments": {"up": 1},
            },
        ),
        (frames.Clear(2, 300), {"type": "clear", "turn": 2, "at_ms": 300}),
        (frames.AvatarState(2, "idle"), {"type": "avatar.state", "state": "idle"}),
        (
            frames.Degraded(2, "stt", "a", "b", "broke off"),
            {
                "type": "degraded",
                "turn": 2,
                "stage": "stt",
                "from": "a",
                "to": "b",
                "reason": "broke off",
            },
        ),
        (
            frames.TurnMetrics(
                2,
                1000,
                (frames.StageSpan("stt", "x", 1.0, None, 2.5),),
                3.5,
                (frames.StageShare("stt", "x", 3.5, failed=True),),
            ),
            {
                "type": "turn.metrics",
                "turn": 2,
                "budget_ms": 1000,
                "stages": [
                    {"stage": "stt", "provider": "x", "start": 1.0, "first": None, "end": 2.5}
                ],
                "voice_to_voice_ms": 3.5,
                "shares": [{"stage": "stt", "provider": "x", "ms": 3.5, "failed": True}],
            },
        ),
        (
            SessionReady(
                "s",
                WireAudio("mulaw", 8000, 2),
                WireAudio("opus", 48_000),
                {"stt": "x"},
                None,
                language="de",
                notices=(("no_voice", "no voice here speaks German"),),
            ),
            {
                "type": "ready",
                "version": 1,
                "session_id": "s",
                "audio_in": {"encoding": "mulaw", "rate": 8000, "channels": 2},
                "audio_out": {"encoding": "opus", "rate": 48_000},
                "providers": {"stt": "x"},
                "resume": None,
                "interview": None,
                "language": "de",
                "notices": [{"code": "no_voice", "message": "no voice here speaks German"}],
            },
        ),
        (InterviewProgress({"isComplete": True}), {"type": "interview", "isComplete": True}),
        (ReplyTiming(2, 40, 9), {"type": "reply.audio", "turn": 2, "at_ms": 40, "rtp": 9}),
        (
            frames.AvatarFrame(2, 80, "image/jpeg", b"jpeg"),
            {
                "type": "avatar.frame",
                "turn": 2,
                "at_ms": 80,
                "mime": "image/jpeg",
                "data": "anBlZw==",
            },
        ),
        (
            frames.Fault(0, "bad_json", "no", fatal=True),
            {"type": "error", "turn": 0, "code": "bad_json", "message": "no", "fatal": True},
        ),
        (
            LeftOut('{"type":"transcript","seq":4,"text":"x', 70_000),
            {
                "type": "error",
                "turn": 0,
                "code": "message_left_out",
                "message": "A message of the type transcript was left out: it has 70000 bytes, and"
                " this connection takes fewer at once (a=max-message-size of the offer).",
                "fatal": False,
            },
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_output_has_its_message(frame: Outgoing, message: dict[str, Any]) -> None:
    (text,) = NativeDialect().encode(frame, 0.0)
    assert json.loads(text) == {"seq": 1, **message}


def test_pings_before_ready_are_answered_after_it() -> None:
    dialect = NativeDialect()
    for t in (1, 2):
        assert dialect.parse(b'{"type":"ping","t":%d}' % t, 0.5) == ()
    ready, *pongs = map(json.loads, dialect.encode(READY, 2.5))
    assert ready["seq"] == 1
    assert pongs == [
        {"type": "pong", "seq": 2, "t": 1, "now": 2500},
        {"type": "pong", "seq": 3, "t": 2, "now": 2500},
    ]


def test_messages_are_numbered_from_1() -> None:
    dialect = NativeDialect()
    (ready,) = dialect.encode(READY, 2.5)
    (pong,) = dialect.parse(b'{"type":"ping","t":1}', 2.5)
    assert isinstance(pong, Send)
    (started,) = dialect.encode(frames.ReplyStarted(0), 2.5)
    (refused,) = dialect.refuse(ProtocolError("bad_json", "no"))
    assert json.loads(ready)["seq"] == 1
    assert [json.loads(text) for text in (pong.message, started, refused)] == [
        {"type": "pong", "seq": 2, "t": 1, "now": 2500},
        {"type": "reply.started", "seq": 3, "turn": 0},
        {
            "type": "error",
            "seq": 4,
            "turn": 0,
            "code": "bad_json",
            "message": "no",
            "fatal": False,
        },
    ]


@pytest.mark.parametrize(
    "output",
    [
        frames.ReplyAudio(0, np.zeros(1, np.int16), 0),
        OutOfBand("k", "text"),
        frames.ReplyUsage(0, TokenUsage(9, 2)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_the_dialect_does_not_know_has_no_text_message(output: Outgoing) -> None:
    assert NativeDialect().encode(output, 0.0) == ()


def test_reply_audio_travels_as_a_binary_message() -> None:
    frame = frames.ReplyAudio(0, np.zeros(1, np.int16), 0)
    assert NativeDialect().audio(frame, bytes(2)) is None


def test_a_client_without_a_face_is_told_nothing_of_it() -> None:
    dialect = NativeDialect()
    (start,) = dialect.parse(b'{"type":"hello","version":1,"avatar":"off"}', 0.0)
    assert start == Start(SessionRequest(avatar="off"))
    dialect.encode(replace(READY, avatar="off"), 0.0)
    assert dialect.encode(frames.AvatarState(0, "idle"), 0.0) == ()
    assert dialect.encode(frames.Visemes(0, 0, ()), 0.0) == ()
    assert len(dialect.encode(frames.ReplyStarted(0), 0.0)) == 1
