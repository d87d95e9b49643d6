"""RTVI over a WebSocket: protobuf frames to commands and audio, and back."""

import json
from typing import Any

import numpy as np
import pytest

from gateway.media.format import AudioFormat
from gateway.protocols.dialect import (
    AudioMessage,
    Command,
    InterruptReply,
    ProtocolError,
    Reconfigure,
    Send,
    SessionReady,
    TypedText,
    WireAudio,
)
from gateway.protocols.request import SessionRequest
from gateway.protocols.rtvi import FramedRtvi
from pipeline.frames import Clear, ReplyAudio, ReplyPaused
from tests.support import pipecat_schema as schema

PCM = WireAudio("pcm_s16le", 16_000)
READY = SessionReady("mine", PCM, PCM, {}, {})
TONE = np.arange(480, dtype=np.int16)


def framed() -> FramedRtvi:
    return FramedRtvi(SessionRequest(), lambda now: now)


def audio(data: bytes, rate_hz: int = 16_000, channels: int = 1, **fields: Any) -> bytes:
    given = {"audio": data, "sample_rate": rate_hz, "num_channels": channels, **fields}
    found: bytes = schema.Frame(audio=given).SerializeToString()
    return found


def message(kind: str, data: Any = None) -> bytes:
    text = json.dumps({"label": "rtvi-ai", "type": kind, "id": "7e5a", "data": data})
    found: bytes = schema.Frame(message={"data": text}).SerializeToString()
    return found


def shown(sent: Any) -> list[Any]:
    """Frames as a type, "interruption" or audio."""
    frames = [schema.Frame.FromString(data) for data in sent]
    return [
        json.loads(frame.message.data)["type"]
        if frame.WhichOneof("frame") == "message"
        else (frame.audio.audio or frame.WhichOneof("frame"))
        for frame in frames
    ]


def test_the_formats_are_those_of_the_stock_client() -> None:
    (begin,) = framed().begin()
    assert isinstance(begin, Reconfigure)
    request = begin.request
    assert (request.audio_in.rate_hz, request.audio_out.rate_hz) == (16_000, 24_000)
    assert request.lead_ms == 100


def test_audio_is_found_in_its_frames() -> None:
    dialect = framed()
    pieces = [bytes([n]) * size for n, size in enumerate((512, 512, 514, 512, 2, 512, 0, 512))]
    found = [dialect.unwrap(audio(piece, name="audio")) for piece in pieces]
    assert [piece or b"" for piece in found] == pieces


def test_a_frame_that_only_looks_like_the_one_before_is_read() -> None:
    dialect = framed()
    first = audio(b"ab" * 50)
    assert dialect.unwrap(first) == b"ab" * 50
    other = schema.Frame(message={"data": "c" * (len(first) - 4)}).SerializeToString()
    assert len(other) == len(first)
    assert dialect.unwrap(other) is None
    assert dialect.unwrap(audio(b"ab" * 50, id=5)) == b"ab" * 50
    assert dialect.unwrap(audio(b"cd" * 50, id=6)) == b"cd" * 50


def test_audio_of_another_rate_changes_the_format() -> None:
    dialect = framed()
    first = audio(b"abcd", 24_000, 2)
    assert dialect.unwrap(first) is None
    changed, data = dialect.parse(first, 0.0)
    assert isinstance(changed, Reconfigure)
    assert changed.request.audio_in == AudioFormat("pcm_s16le", 24_000, 2)
    assert data == AudioMessage(b"abcd")
    assert dialect.unwrap(first) == b"abcd"
    assert dialect.unwrap(audio(b"abcd")) is None
    back, _ = dialect.parse(audio(b"abcd"), 0.0)
    assert isinstance(back, Reconfigure)
    assert back.request.audio_in == AudioFormat()


def test_audio_without_a_rate_is_as_clients_record_it() -> None:
    assert framed().unwrap(audio(b"ab", 0, 0)) == b"ab"


def test_no_audio_changes_nothing() -> None:
    dialect = framed()
    assert dialect.unwrap(audio(b"")) is None
    assert list(dialect.parse(audio(b""), 0.0)) == [AudioMessage(b"")]


@pytest.mark.parametrize(("rate_hz", "channels"), [(7_999, 1), (48_001, 1), (16_000, 3)])
def test_audio_that_cannot_be_is_refused(rate_hz: int, channels: int) -> None:
    with pytest.raises(ProtocolError) as refused:
        framed().parse(audio(b"ab" * 3, rate_hz, channels), 0.0)
    assert refused.value.code == "unsupported_audio"


def test_messages_are_those_of_rtvi() -> None:
    dialect = framed()
    assert list(dialect.parse(message("send-text", {"content": "Yes"}), 0.0)) == [TypedText("Yes")]
    interruption = schema.Frame(interruption={"id": 7}).SerializeToString()
    assert list(dialect.parse(interruption, 0.0)) == [InterruptReply(overtakes=True)]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b'{"label":"rtvi-ai","type":"client-ready"}', "bad_frame"),
        (b"", "bad_frame"),
        (schema.Frame(text={"text": "Yes"}).SerializeToString(), "unknown_type"),
        (schema.Frame(transcription={"text": "Yes"}).SerializeToString(), "unknown_type"),
        (schema.Frame(message={"data": "Yes"}).SerializeToString(), "bad_json"),
    ],
    ids=["text message", "empty", "text frame", "transcription frame", "no JSON"],
)
def test_what_is_refused_is_told_in_a_frame(data: bytes, code: str) -> None:
    dialect = framed()
    assert dialect.unwrap(data) is None
    with pytest.raises(ProtocolError) as refused:
        dialect.parse(data, 0.0)
    assert refused.value.code == code
    assert shown(dialect.refuse(refused.value)) == ["error"]


def ready(dialect: FramedRtvi, library: str) -> list[Command]:
    about = {"version": "2.1.0", "about": {"library": library}}
    return list(dialect.parse(message("client-ready", about), 0.0))


def test_all_messages_are_frames() -> None:
    dialect = framed()
    assert ready(dialect, "mine") == []
    assert shown(dialect.encode(READY, 0.0)) == ["bot-ready", "server-message"]
    again = ready(dialect, "mine")
    sent = [command.message for command in again if isinstance(command, Send)]
    assert shown(sent) == ["bot-ready", "server-message"]


def test_the_first_audio_says_that_the_bot_speaks() -> None:
    dialect = framed()
    assert shown(dialect.audio(ReplyAudio(0, TONE, 0), b"abcd")) == [
        "bot-started-speaking",
        b"abcd",
    ]
    assert shown(dialect.audio(ReplyAudio(0, TONE, 20), b"efgh")) == [b"efgh"]
    assert shown(dialect.encode(ReplyPaused(0, 20), 0.0)) == ["bot-stopped-speaking"]
    assert shown(dialect.audio(ReplyAudio(0, TONE, 20), b"ij")) == ["bot-started-speaking", b"ij"]


@pytest.mark.parametrize(
    ("library", "first"),
    [("mine", ["interruption"]), ("", ["interruption"]), ("@pipecat-ai/client-js", [])],
)
def test_an_interruption_is_a_frame_for_clients_that_know_it(
    library: str, first: list[str]
) -> None:
    dialect = framed()
    ready(dialect, library)
    assert shown(dialect.encode(Clear(0, 0), 0.0)) == first
