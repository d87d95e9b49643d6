import json

import pytest

from benchmarks.peers.dialects import EchoDialect, LiveKitDialect, PipecatDialect, _find
from gateway.commands.bench.dialect import Heard, Wishes
from gateway.commands.bench.wire import BINARY, TEXT
from stages._protobuf import field

# Frames as Pipecat 1.14's own serializer made them: 640 bytes of audio at 16 kHz, mono, with its
# id (7) and name, and an RTVI message.
PCM = bytes(range(256)) * 2 + bytes(128)
AUDIO = bytes.fromhex("12950508071209") + b"OutputRaw" + bytes.fromhex("1a8005") + PCM
AUDIO += bytes.fromhex("20807d2801")


def message(kind: str) -> bytes:
    return field(4, field(1, json.dumps({"label": "rtvi-ai", "type": kind}).encode()))


def test_speech_is_a_protobuf_frame_with_audio_rate_and_channels() -> None:
    opcode, payload = PipecatDialect().speech(PCM)
    assert opcode == BINARY
    body = payload[3:]
    assert payload[:1] == b"\x12"  # the field "audio" of Frame
    assert _find(body, 3) == PCM
    assert payload.endswith(bytes.fromhex("20807d2801"))  # 16000 Hz, 1 channel


@pytest.mark.parametrize(
    ("payload", "heard"),
    [
        (AUDIO, ("audio", 20.0, "")),
        (message("bot-ready"), ("ready", 0.0, "")),
        (message("user-stopped-speaking"), ("decided", -1.0, "")),
        (message("bot-started-speaking"), None),
        (message("error"), ("fault", 0.0, "pipecat error")),
        (field(5, b"\x08\x01"), None),
    ],
    ids=["audio", "ready", "decided", "other", "error", "interruption"],
)
def test_pipecats_frames_are_read(payload: bytes, heard: Heard | None) -> None:
    assert PipecatDialect().hear(BINARY, payload) == heard


def test_pipecats_client_says_that_it_is_ready() -> None:
    ((opcode, payload),) = PipecatDialect().hello(Wishes())
    assert opcode == BINARY
    start = payload.index(b"{")
    assert json.loads(payload[start:])["type"] == "client-ready"


@pytest.mark.parametrize(
    ("opcode", "payload", "heard"),
    [
        (BINARY, bytes(1600), ("audio", 50.0, "")),
        (TEXT, b'{"type":"decided"}', ("decided", -1.0, "")),
        (TEXT, b'{"type": "ready"}', ("ready", 0.0, "")),
        (TEXT, b'{"type": "other"}', None),
    ],
    ids=["audio", "decided", "ready", "other"],
)
def test_the_socket_before_livekit_is_read(
    opcode: int, payload: bytes, heard: Heard | None
) -> None:
    assert LiveKitDialect().hear(opcode, payload) == heard


def test_the_echo_server_is_ready_when_the_hello_comes_back() -> None:
    dialect = EchoDialect()
    assert dialect.hello(Wishes()) == ((TEXT, b"{}"),)
    assert dialect.hear(TEXT, b"{}") == ("ready", 0.0, "")
    assert dialect.hear(BINARY, bytes(640)) is None
