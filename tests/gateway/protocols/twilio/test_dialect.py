"""Twilio's dialect as a table: messages to commands, outputs to messages, and what is refused."""

import base64
import json
from typing import Any

import numpy as np
import pytest

from gateway.media.format import AudioFormat
from gateway.protocols.dialect import (
    AudioMessage,
    CommitTurn,
    GoingAway,
    Leave,
    PressKey,
    ProtocolError,
    ReportPlayed,
    Start,
    Truncate,
)
from gateway.protocols.request import InterviewRequest, SessionRequest, TurnRequest
from gateway.protocols.twilio import TwilioDialect, greeting
from pipeline.frames import Clear, Fault, ReplyAudio, ReplyDone, ReplyStarted, ReplyText

SID = "MZ18ad3ab5a668481ce02b83e7395059f0"
MULAW = AudioFormat("mulaw", 8000)
FORMAT = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
FRAME = bytes(range(160))


def connected() -> bytes:
    return b'{"event":"connected","protocol":"Call","version":"1.0.0"}'


def start(parameters: Any = None, **fields: Any) -> bytes:
    inside = {
        "streamSid": SID,
        "accountSid": "AC0123456789abcdef0123456789abcdef",
        "callSid": "CA0123456789abcdef0123456789abcdef",
        "tracks": ["inbound"],
        "customParameters": {} if parameters is None else parameters,
        "mediaFormat": FORMAT,
        **fields,
    }
    envelope = {"event": "start", "sequenceNumber": "1", "start": inside, "streamSid": SID}
    return json.dumps(envelope).encode()


def event(kind: str, **fields: Any) -> bytes:
    return json.dumps({"event": kind, "sequenceNumber": "3", "streamSid": SID, **fields}).encode()


def media(payload: Any = None, **fields: Any) -> bytes:
    if payload is None:
        payload = base64.b64encode(FRAME).decode()
    about = {"track": "inbound", "chunk": "1", "timestamp": "5", "payload": payload, **fields}
    return event("media", media=about)


def mark(name: Any) -> bytes:
    return event("mark", mark={"name": name})


def begun() -> TwilioDialect:
    """A dialect whose stream has started."""
    dialect = TwilioDialect()
    assert dialect.begin() == ()
    assert dialect.parse(connected(), 0.0) == ()
    [command] = dialect.parse(start(), 0.0)
    assert isinstance(command, Start)
    return dialect


def request(parameters: dict[str, str]) -> SessionRequest:
    [command] = TwilioDialect().parse(start(parameters), 0.0)
    assert isinstance(command, Start)
    return command.request


def refused(dialect: TwilioDialect, message: bytes) -> tuple[str, bool]:
    with pytest.raises(ProtocolError) as caught:
        dialect.parse(message, 0.0)
    assert dialect.refuse(caught.value) == ()
    return caught.value.code, caught.value.fatal


def play(dialect: TwilioDialect, turn: int, *at_ms: int) -> list[dict[str, Any]]:
    """The messages for frames of 20 ms at these places of a turn's reply."""
    pcm = np.zeros(160, np.int16)
    frames = (ReplyAudio(turn, pcm, at) for at in at_ms)
    return [json.loads(m) for frame in frames for m in dialect.audio(frame, FRAME)]


def names(messages: list[dict[str, Any]]) -> list[str]:
    return [each["mark"]["name"] for each in messages if each["event"] == "mark"]


# --- the beginning ---------------------------------------------------------------------------


def test_start_asks_for_a_telephones_audio_and_no_face() -> None:
    assert request({}) == SessionRequest(MULAW, audio_out=MULAW, avatar="off")


def test_parameters_are_the_interviews_settings() -> None:
    given = {
        "role": "Data Analyst",
        "model": "qwen3:4b",
        "totalQuestions": "3",
        "language": "de-DE",
        "silence_ms": "600",
        "ticket": "pt_1",
        "of_the_callers_own": "42",
    }
    [command] = TwilioDialect().parse(start(given), 0.0)
    wanted = SessionRequest(
        MULAW,
        audio_out=MULAW,
        avatar="off",
        turns=TurnRequest(silence_ms=600),
        interview=InterviewRequest("Data Analyst", "qwen3:4b", 3),
        language="de",
    )
    assert command == Start(wanted, "pt_1")


def test_a_start_without_parameters_or_with_empty_ones_asks_for_the_defaults() -> None:
    assert request({"role": "", "totalQuestions": "", "language": "", "silence_ms": ""}) == request(
        {}
    )
    message = json.loads(start())
    del message["start"]["customParameters"]
    [command] = TwilioDialect().parse(json.dumps(message).encode(), 0.0)
    assert command == Start(request({}))


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"totalQuestions": "many", "role": "Data Analyst"}, "bad_parameter"),
        ({"totalQuestions": "-1", "role": "Data Analyst"}, "bad_parameter"),
        ({"totalQuestions": "²", "role": "Data Analyst"}, "bad_parameter"),
        ({"totalQuestions": "9999999", "role": "Data Analyst"}, "bad_parameter"),
        ({"totalQuestions": 3, "role": "Data Analyst"}, "bad_parameter"),
        ({"totalQuestions": "3"}, "bad_parameter"),
        ({"model": "auto"}, "bad_parameter"),
        ({"silence_ms": "99"}, "bad_parameter"),
        ({"silence_ms": "10001"}, "bad_parameter"),
        ({"role": "Data\nAnalyst"}, "bad_parameter"),
        ({"role": "\ud800"}, "bad_parameter"),
        ({"language": "xx"}, "unknown_language"),
        (["role"], "bad_parameter"),
    ],
)
def test_a_wrong_parameter_ends_the_call(parameters: Any, code: str) -> None:
    assert refused(TwilioDialect(), start(parameters)) == (code, True)


@pytest.mark.parametrize(
    "change",
    [
        {"encoding": "audio/l16"},
        {"sampleRate": 16000},
        {"channels": 2},
        {"sampleRate": "8000"},
    ],
)
def test_another_format_ends_the_call(change: dict[str, Any]) -> None:
    message = start(mediaFormat=FORMAT | change)
    assert refused(TwilioDialect(), message) == ("unsupported_audio", True)
    assert refused(TwilioDialect(), start(mediaFormat=None)) == ("unsupported_audio", True)


def test_what_a_format_says_beside_that_is_ignored() -> None:
    commands = TwilioDialect().parse(start(mediaFormat=FORMAT | {"bitRate": 64}), 0.0)
    assert commands == (Start(request({})),)


def test_the_greeting_is_start_and_connected_may_come_before_it() -> None:
    assert greeting(connected()) is None
    assert greeting(start()) == Start(request({}))
    assert greeting(event("stop", stop={})) == Leave()
    for message in (media(), mark("a"), event("dtmf", dtmf={"digit": "1"})):
        with pytest.raises(ProtocolError, match="comes after start"):
            greeting(message)


# --- from the caller -------------------------------------------------------------------------


def test_media_is_the_callers_audio() -> None:
    dialect = begun()
    assert dialect.parse(media(), 1.0) == (AudioMessage(FRAME),)
    assert dialect.parse(media(""), 1.0) == (AudioMessage(b""),)


def test_what_the_caller_hears_is_not_what_the_caller_says() -> None:
    assert begun().parse(media(track="outbound"), 0.0) == ()


@pytest.mark.parametrize("digit", "0123456789*ABCD")
def test_a_key_is_pressed(digit: str) -> None:
    message = event("dtmf", dtmf={"track": "inbound_track", "digit": digit})
    assert begun().parse(message, 0.0) == (PressKey(digit),)


def test_the_hash_key_ends_the_answer() -> None:
    message = event("dtmf", dtmf={"track": "inbound_track", "digit": "#"})
    assert begun().parse(message, 0.0) == (CommitTurn(),)


def test_stop_ends_the_session_and_what_follows_is_ignored() -> None:
    dialect = begun()
    assert dialect.parse(event("stop", stop={"callSid": "CA1"}), 0.0) == (Leave(),)
    for message in (event("stop", stop={}), media(), start(), b"{"):
        assert dialect.parse(message, 0.0) == ()


@pytest.mark.parametrize(
    ("message", "code", "fatal"),
    [
        (start(), "unexpected_event", True),
        (b"", "bad_json", False),
        (b"[]", "bad_json", False),
        (b"\xff", "bad_json", False),
        (b'{"event":NaN}', "bad_json", False),
        (b"[" * 100_000, "bad_json", False),
        (b"{}", "unknown_event", False),
        (b'{"event":["media"]}', "unknown_event", False),
        (event("clear"), "unknown_event", False),
        (event("x" * 1000), "unknown_event", False),
        (event("media"), "bad_message", False),
        (event("media", media=[]), "bad_message", False),
        (media(5), "bad_message", False),
        (media("not base64"), "bad_payload", False),
        (media("QUJ"), "bad_payload", False),
        (media("QUJDé"), "bad_payload", False),
        (media("\ud800"), "bad_payload", False),
        (media().replace(SID.encode(), b"MZ0"), "wrong_stream", False),
        (mark(1), "bad_message", False),
        (mark(""), "bad_message", False),
        (mark("x" * 129), "bad_message", False),
        (event("mark"), "bad_message", False),
        (event("dtmf"), "bad_message", False),
        (event("dtmf", dtmf={"digit": 1}), "bad_message", False),
        (event("dtmf", dtmf={"digit": "12"}), "bad_message", False),
        (event("dtmf", dtmf={"digit": "e"}), "bad_message", False),
        (event("dtmf", dtmf={"digit": ""}), "bad_message", False),
    ],
    ids=lambda value: None if not isinstance(value, bytes) else f"message-{len(value)}",
)
def test_what_is_refused(message: bytes, code: str, fatal: bool) -> None:
    dialect = begun()
    assert refused(dialect, message) == (code, fatal)
    if not fatal:
        assert dialect.parse(media(), 0.0) == (AudioMessage(FRAME),), "the call goes on"


@pytest.mark.parametrize("sid", [None, "", 7, "x" * 129])
def test_a_start_names_its_stream(sid: Any) -> None:
    message = json.loads(start()) | {"streamSid": sid}
    assert refused(TwilioDialect(), json.dumps(message).encode()) == ("bad_message", False)


def test_media_before_start_ends_the_call() -> None:
    assert refused(TwilioDialect(), media()) == ("unexpected_event", True)
    nameless = json.loads(media())
    del nameless["streamSid"]
    message = json.dumps(nameless).encode()
    assert refused(TwilioDialect(), message) == ("unexpected_event", True)
    assert begun().parse(message, 0.0) == (AudioMessage(FRAME),)


# --- to the caller ---------------------------------------------------------------------------


def test_reply_audio_is_media_of_the_stream() -> None:
    first, *_ = play(begun(), 0, 0)
    payload = base64.b64encode(FRAME).decode()
    assert first == {"event": "media", "streamSid": SID, "media": {"payload": payload}}


def test_a_mark_follows_the_first_frame_and_then_every_200_ms() -> None:
    sent = play(begun(), 2, *range(0, 620, 20))
    assert names(sent) == ["2:20:1", "2:220:2", "2:420:3", "2:620:4"]
    assert [each["event"] for each in sent][:3] == ["media", "mark", "media"]
    assert sent[1] == {"event": "mark", "streamSid": SID, "mark": {"name": "2:20:1"}}


def test_a_returned_mark_says_how_much_was_played() -> None:
    dialect = begun()
    first, second, third = names(play(dialect, 4, *range(0, 420, 20)))
    assert dialect.parse(mark(first), 0.0) == (ReportPlayed(4, 20),)
    assert dialect.parse(mark(third), 0.0) == (ReportPlayed(4, 420),)
    assert dialect.parse(mark(second), 0.0) == (), "it was passed"
    assert dialect.parse(mark(third), 0.0) == (), "it came back before"
    assert dialect.parse(mark("of somebody else"), 0.0) == ()


def test_clear_is_sent_and_marks_that_it_flushes_say_nothing() -> None:
    dialect = begun()
    marks = names(play(dialect, 1, *range(0, 420, 20)))
    assert dialect.parse(mark(marks[0]), 0.0) == (ReportPlayed(1, 20),)
    assert [json.loads(m) for m in dialect.encode(Clear(1, 180), 0.0)] == [
        {"event": "clear", "streamSid": SID}
    ]
    for name in marks[1:]:
        assert dialect.parse(mark(name), 0.0) == ()


def test_no_more_was_heard_than_the_marks_say_when_a_reply_is_cleared() -> None:
    dialect = begun()
    marks = names(play(dialect, 1, *range(0, 620, 20)))
    dialect.parse(mark(marks[0]), 0.0)
    dialect.encode(Clear(1, 400), 0.0)  # by the time; but the mark at 220 ms has not come back
    assert dialect.parse(media(), 0.0) == (Truncate(1, 220), AudioMessage(FRAME))
    assert dialect.parse(media(), 0.0) == (AudioMessage(FRAME),), "it is said once"


def test_marks_begin_again_where_a_reply_goes_on_after_a_pause() -> None:
    dialect = begun()
    play(dialect, 1, *range(0, 300, 20))
    dialect.encode(Clear(1, 150), 0.0)
    dialect.parse(media(), 0.0)
    [again] = names(play(dialect, 1, 100))
    assert dialect.parse(mark(again), 0.0) == (ReportPlayed(1, 120),)


def test_marks_that_never_come_back_are_forgotten_at_last() -> None:
    dialect = begun()
    marks = names(play(dialect, 1, *range(0, 60_000, 20)))
    assert len(marks) == 300
    assert dialect.parse(mark(marks[0]), 0.0) == ()
    assert dialect.parse(mark(marks[44]), 0.0) == (ReportPlayed(1, 8820),)


@pytest.mark.parametrize(
    "output",
    [
        ReplyStarted(0),
        ReplyText(0, "Hello."),
        ReplyDone(0, interrupted=False, heard="Hello."),
        Fault(0, "interview", "no such role", fatal=True),
        GoingAway(1000),
    ],
    ids=lambda output: type(output).__name__,
)
def test_the_rest_has_no_message(output: Any) -> None:
    assert begun().encode(output, 0.0) == ()
