"""The native dialect: every message in, every frame out, and nothing else."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.media.codecs import AudioFormat
from gateway.protocols.native.messages import (
    Bye,
    CommitTurn,
    Hello,
    InterruptReply,
    NativeEncoder,
    Ping,
    Played,
    ProtocolError,
    TypedText,
    check_audio,
    parse,
)
from pipeline import frames
from pipeline.turns import TurnPolicy


def refused(data: bytes | str) -> tuple[str, bool]:
    with pytest.raises(ProtocolError) as caught:
        parse(data)
    assert str(caught.value) == caught.value.message
    return caught.value.code, caught.value.fatal


def test_a_bare_hello_asks_for_the_defaults() -> None:
    assert parse('{"type":"hello","version":1}') == Hello()
    assert Hello().audio_in == AudioFormat("pcm_s16le", 16_000, 1)


def test_what_is_null_in_a_hello_was_not_given() -> None:
    nulls = '"audio_in":null,"avatar":null,"turn_detection":null,"interview":null'
    assert parse('{"type":"hello","version":1,' + nulls + "}") == Hello()


def test_a_text_of_8_kib_may_be_escaped() -> None:
    text = "é" * 4096
    assert parse(json.dumps({"type": "text", "text": text})) == TypedText(text)


def test_a_full_hello() -> None:
    hello = parse(
        json.dumps(
            {
                "type": "hello",
                "version": 1,
                "ticket": "t",
                "audio_in": {"encoding": "mulaw", "rate": 8000, "channels": 2},
                "audio_out": {"encoding": "alaw", "rate": 48000},
                "avatar": "off",
                "turn_detection": {"mode": "manual", "threshold": 0.7, "silence_ms": 400},
                "resume": {"token": "x", "seq": 4},
                "interview": {"role": "Data Analyst", "totalQuestions": 3},
                "from_the_future": True,
            }
        )
    )
    assert isinstance(hello, Hello)
    assert hello.audio_in == AudioFormat("mulaw", 8000, 2)
    assert hello.audio_out == AudioFormat("alaw", 48_000, 1)
    assert hello.avatar == "off"
    detection = hello.turn_detection
    assert (detection.mode, detection.threshold, detection.silence_ms) == ("manual", 0.7, 400)
    assert detection.max_wait_ms is None
    assert hello.interview is not None
    assert (hello.interview.role, hello.interview.total_questions) == ("Data Analyst", 3)


def test_what_a_client_can_ask_of_turn_detection_is_what_turn_taking_knows() -> None:
    asked = parse(
        '{"type":"hello","version":1,"turn_detection":{"prefix_ms":0,"barge_in_ms":700,'
        '"barge_in_words":2,"resume_ms":300,"adaptive":false}}'
    )
    assert isinstance(asked, Hello)
    policy = TurnPolicy(**asked.turn_detection.model_dump(exclude_none=True))
    assert policy == TurnPolicy(
        prefix_ms=0, barge_in_ms=700, barge_in_words=2, resume_ms=300, adaptive=False
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"type":"text","text":" hi "}', TypedText(" hi ")),
        ('{"type":"interrupt"}', InterruptReply()),
        ('{"type":"commit"}', CommitTurn()),
        ('{"type":"played","turn":3,"ms":250}', Played(3, 250)),
        ('{"type":"ping","t":17.5}', Ping(17.5)),
        ('{"type":"ping"}', Ping(None)),
        ('{"type":"bye"}', Bye()),
    ],
)
def test_every_other_message(text: str, message: object) -> None:
    assert parse(text) == message
    assert parse(text.encode()) == message


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "bad_json"),
        (b"hello", "bad_json"),
        (b"\xff\xfe", "bad_json"),
        (b"[1]", "bad_json"),
        (b'"hello"', "bad_json"),
        (b"[" * 500 + b"]" * 500, "bad_json"),
        (b'{"type":' + b'{"a":' * 500 + b"1" + b"}" * 501, "unknown_type"),
        (b"[" * 16_000, "bad_json"),
        (b'{"type":"ping","t":NaN}', "bad_json"),
        (b'{"type":"ping","t":' + b"9" * 5000 + b"}", "bad_json"),
        (b'{"type":"text","text":"' + b"x" * 8193 + b'"}', "text_too_long"),
        (b'{"type":"text","text":"   "}', "empty_text"),
        (b'{"type":"text","text":5}', "bad_message"),
        (b'{"type":"text","text":"\\ud800"}', "bad_message"),
        (b'{"type":"text"}', "bad_message"),
        (b'{"type":"played","turn":-1,"ms":0}', "bad_message"),
        (b'{"type":"played","turn":true,"ms":0}', "bad_message"),
        (b'{"type":"played","turn":1,"ms":1e3}', "bad_message"),
        (b'{"type":"ping","t":{}}', "bad_message"),
        (b'{"type":"ping","t":1e999}', "bad_message"),
        (b'{"type":"sing"}', "unknown_type"),
        (b'{"type":7}', "unknown_type"),
        (b"{}", "unknown_type"),
    ],
)
def test_what_is_wrong_gets_a_code_and_the_session_goes_on(data: bytes, code: str) -> None:
    assert refused(data) == (code, False)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"version": 2}, "bad_hello"),
        ({"version": "1"}, "bad_hello"),
        ({"avatar": "hologram"}, "bad_hello"),
        ({"audio_in": {"rate": "16000"}}, "bad_hello"),
        ({"audio_in": {"rate": 0}}, "unsupported_audio"),
        ({"audio_in": {"rate": 7999}}, "unsupported_audio"),
        ({"audio_in": {"rate": 2**31 - 1}}, "unsupported_audio"),
        ({"audio_in": {"channels": 0}}, "unsupported_audio"),
        ({"audio_in": {"channels": 1024}}, "unsupported_audio"),
        ({"audio_in": {"encoding": "flac"}}, "unsupported_audio"),
        ({"audio_in": {"encoding": "opus", "rate": 44_100}}, "unsupported_audio"),
        ({"audio_in": {"encoding": "opus", "channels": 3}}, "unsupported_audio"),
        ({"audio_out": {"encoding": "opus", "rate": 32_000}}, "unsupported_audio"),
        ({"audio_out": {"rate": 48_001}}, "unsupported_audio"),
        ({"turn_detection": {"threshold": 1.5}}, "bad_hello"),
        ({"turn_detection": {"silence_ms": 5}}, "bad_hello"),
        ({"turn_detection": {"barge_in_words": -1}}, "bad_hello"),
        ({"turn_detection": {"resume_ms": 99}}, "bad_hello"),
        ({"interview": {}}, "bad_hello"),
        ({"interview": {"role": "\ud800"}}, "bad_hello"),
    ],
)
def test_a_hello_that_cannot_be_met_ends_the_session(fields: dict[str, Any], code: str) -> None:
    message = {"type": "hello", "version": 1, **fields}
    assert refused(json.dumps(message)) == (code, True)


def test_an_error_in_a_hello_names_the_field() -> None:
    with pytest.raises(ProtocolError, match=r"turn_detection\.silence_ms: .*100"):
        parse('{"type":"hello","version":1,"turn_detection":{"silence_ms":5}}')


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused_with_a_code(data: bytes) -> None:
    assert refused(data)[0] in {"bad_json", "unknown_type"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
TYPES = st.sampled_from(["hello", "text", "interrupt", "commit", "played", "ping", "bye", "x"])
FIELDS = st.sampled_from(
    ["version", "text", "turn", "ms", "t", "audio_in", "avatar", "turn_detection", "interview"]
)


# Nested JSON takes a busy machine long to draw.
@given(TYPES, st.dictionaries(FIELDS, JSON, max_size=5))
def test_any_object_gives_a_message_or_a_documented_error(
    kind: str, fields: dict[str, Any]
) -> None:
    codes = {
        *("bad_json", "unknown_type", "bad_message", "bad_hello", "unsupported_audio"),
        *("text_too_long", "empty_text"),
    }
    code = None
    try:
        parse(json.dumps({"type": kind, **fields}))
    except ProtocolError as error:
        code = error.code
    assert code is None or code in codes


# --- audio -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "audio", "code"),
    [
        (641, AudioFormat(), "odd_audio"),
        (642, AudioFormat(channels=2), "odd_audio"),
        (3202, AudioFormat(), "audio_too_long"),
        (320_000, AudioFormat(), "audio_too_long"),
        (801, AudioFormat("mulaw", 8000), "audio_too_long"),
    ],
)
def test_audio_messages_of_an_impossible_size(size: int, audio: AudioFormat, code: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        check_audio(bytes(size), audio)
    assert (caught.value.code, caught.value.fatal) == (code, False)


@pytest.mark.parametrize(("size", "ms"), [(0, 0), (2, 0.0625), (640, 20), (3200, 100)])
def test_up_to_100_ms_of_whole_samples_are_fine(size: int, ms: float) -> None:
    assert check_audio(bytes(size), AudioFormat()) == ms


OPUS = AudioFormat("opus", 48_000)


@pytest.mark.parametrize(
    ("packet", "ms"),
    [(b"", 0), (b"\x78", 20), (b"\xe0\x00", 2.5), (b"\x1c\x00", 60), (b"\x7b\x05" + bytes(5), 100)],
)
def test_one_opus_packet_of_up_to_100_ms_is_fine(packet: bytes, ms: float) -> None:
    assert check_audio(packet, OPUS) == ms


@pytest.mark.parametrize(
    ("packet", "code"),
    [
        (b"\x7b\x06" + bytes(6), "audio_too_long"),
        (b"\x7b\x07" + bytes(7), "bad_packet"),
        (b"\x7b\x00", "bad_packet"),
        (b"\x79" + bytes(3), "bad_packet"),
        (b"\x78" + bytes(1276), "bad_packet"),
    ],
)
def test_other_packets_get_a_code(packet: bytes, code: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        check_audio(packet, OPUS)
    assert (caught.value.code, caught.value.fatal) == (code, False)


@given(st.binary(max_size=80))
def test_whatever_bytes_come_they_are_accepted_or_get_a_code(data: bytes) -> None:
    try:
        found: float | str = check_audio(data, OPUS)
    except ProtocolError as error:
        found = error.code
    assert found in ("bad_packet", "audio_too_long") or 0 <= float(found) <= 100


@pytest.mark.parametrize("rate", [8000, 12_000, 16_000, 24_000, 48_000])
def test_opus_at_its_rates(rate: int) -> None:
    hello = parse(
        json.dumps(
            {
                "type": "hello",
                "version": 1,
                "audio_in": {"encoding": "opus", "rate": rate, "channels": 2},
                "audio_out": {"encoding": "opus", "rate": rate},
            }
        )
    )
    assert isinstance(hello, Hello)
    assert hello.audio_in == AudioFormat("opus", rate, 2)
    assert hello.audio_out == AudioFormat("opus", rate, 1)


# --- to the client ---------------------------------------------------------------------------


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
            frames.TurnMetrics(2, 1000, (frames.StageSpan("stt", "x", 1.0, None, 2.5),), 3.5),
            {
                "type": "turn.metrics",
                "turn": 2,
                "budget_ms": 1000,
                "stages": [
                    {"stage": "stt", "provider": "x", "start": 1.0, "first": None, "end": 2.5}
                ],
                "voice_to_voice_ms": 3.5,
            },
        ),
        (
            frames.Fault(0, "bad_json", "no", fatal=True),
            {"type": "error", "turn": 0, "code": "bad_json", "message": "no", "fatal": True},
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_frame_has_its_message(frame: frames.Output, message: dict[str, Any]) -> None:
    assert json.loads(NativeEncoder().frame(frame)) == {"seq": 1, **message}


def test_messages_are_numbered_from_1() -> None:
    encoder = NativeEncoder()
    sent = [encoder.message("pong", {"t": 1}), encoder.frame(frames.ReplyStarted(0))]
    assert [json.loads(text)["seq"] for text in sent] == [1, 2]


def test_reply_audio_is_no_text_message() -> None:
    import numpy as np

    with pytest.raises(TypeError):
        NativeEncoder().frame(frames.ReplyAudio(0, np.zeros(1, np.int16), 0))
