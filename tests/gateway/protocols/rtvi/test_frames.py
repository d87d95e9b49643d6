"""The protobuf frames of RTVI's WebSocket, held against protobuf's own reading of the schema."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.message import DecodeError

from gateway.protocols.rtvi.frames import (
    AUDIO,
    INTERRUPTION_FRAME,
    MESSAGE,
    AudioFrames,
    MalformedFrame,
    message_frame,
    read,
)
from tests.support import pipecat_schema as schema
from tests.support.pipecat_schema import KINDS, MESSAGES

RECORDED: dict[str, bytes] = {
    "the browser's audio": schema.Frame(
        audio={"name": "audio", "audio": bytes(range(256)), "sample_rate": 16000, "num_channels": 1}
    ).SerializeToString(),
    "the Python client's audio": schema.Frame(
        audio={
            "id": 300,
            "name": "OutputAudioRawFrame#7",
            "audio": bytes(640),
            "sample_rate": 24000,
            "num_channels": 2,
            "pts": 2**40,
        }
    ).SerializeToString(),
    "a message": schema.Frame(message={"data": '{"label":"rtvi-ai"}'}).SerializeToString(),
    "a text": schema.Frame(text={"id": 2**63, "name": "t", "text": "Grüße"}).SerializeToString(),
    "a transcription": schema.Frame(
        transcription={"text": "hello", "user_id": "u", "timestamp": "2026"}
    ).SerializeToString(),
    "an interruption": schema.Frame(interruption={"id": 1, "name": "i"}).SerializeToString(),
    "an empty message": schema.Frame(message={}).SerializeToString(),
}


def by_protobuf(message: bytes) -> tuple[int, dict[str, Any]] | None:
    """The kind, and its fields by their names, as protobuf reads them; None where it does not."""
    try:
        frame = schema.Frame.FromString(message)
    except DecodeError:
        return None
    kind = frame.WhichOneof("frame")
    if kind is None:
        return None
    held = getattr(frame, kind)
    at = KINDS.index(kind)
    names = [name for name, _ in list(MESSAGES.values())[at]]
    return at + 1, {name: getattr(held, name) for name in names}


def by_us(message: bytes) -> tuple[int, dict[str, Any]] | None:
    try:
        frame = read(message)
    except MalformedFrame:
        return None
    fields = list(MESSAGES.values())[frame.kind - 1]
    found: dict[str, Any] = {}
    for number, (name, kind) in enumerate(fields, 1):
        if kind == schema.TEXT:
            found[name] = frame.data(number).decode()
        else:
            found[name] = (frame.data if kind == schema.BYTES else frame.number)(number)
    if frame.kind == AUDIO:
        assert message[frame.start : frame.end] == frame.data(3)
    return frame.kind, found


@pytest.mark.parametrize("name", RECORDED)
def test_each_kind_is_read_as_protobuf_reads_it(name: str) -> None:
    message = RECORDED[name]
    assert by_us(message) == by_protobuf(message) is not None


def test_what_is_written_is_what_protobuf_reads() -> None:
    assert by_protobuf(message_frame("Grüße")) == (MESSAGE, {"data": "Grüße"})
    assert by_protobuf(INTERRUPTION_FRAME) == (5, {"id": 0, "name": ""})
    writer = AudioFrames(24_000)
    for size in (960, 2, 0, 960, 20_000):
        audio = bytes(range(256)) * 100
        kind, fields = by_protobuf(writer.write(audio[:size])) or (0, {})
        assert (kind, fields["audio"]) == (AUDIO, audio[:size])
        assert (fields["sample_rate"], fields["num_channels"]) == (24_000, 1)


def mutated(count: int) -> Iterator[bytes]:
    """Recorded messages with bytes changed, left out, repeated and joined: always the same."""
    chance, given = random.Random(18), list(RECORDED.values())
    for _ in range(count):
        data = bytearray(chance.choice(given))
        for _ in range(chance.randint(1, 2)):
            at = chance.randrange(min(len(data), 30) + 1)
            match chance.randrange(5):
                case 0 if data:
                    data[at % len(data)] = chance.randrange(256)
                case 1:
                    del data[at : at + chance.randint(1, 8)]
                case 2:
                    data[at:at] = data[:at]
                case 3:
                    data[at:at] = bytes(chance.randrange(256) for _ in range(chance.randint(1, 3)))
                case _:
                    data += chance.choice(given)
        yield bytes(data)


def compared(count: int) -> int:
    """How many messages were read; each of them as protobuf reads it."""
    taken = 0
    for message in mutated(count):
        ours, theirs = by_us(message), by_protobuf(message)
        if ours is not None:
            taken += 1
            assert ours == theirs, message
        elif theirs is not None:
            # Groups are of proto2; protobuf passes over unknown ones.
            with pytest.raises(MalformedFrame, match=r"wire type [34]"):
                read(message)
    return taken


def test_changed_messages_are_read_as_protobuf_reads_them_or_refused() -> None:
    assert 200 < compared(1_500) < 1_000


@pytest.mark.slow
def test_a_hundred_thousand_changed_messages_are_so_too() -> None:
    assert 10_000 < compared(100_000) < 70_000


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (b"", "there is no text"),
        (b'{"type":"hello"}', "wire type 3"),
        (b"\x12\x05ab", "cut off"),
        (b"\x12\x04\x1a\x05ab", "cut off"),
        (b"\x22\x03\x0a\x01\xff", "UTF-8"),
        (b"\x02\x00", "no number"),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "too long"),
        (b"\x80", "cut off"),
        (b"\x35\x01", "cut off"),
        (b"\xf8\xff\xff\xff\x1f\x00", "too large"),
        (b"\x0e\x00", "wire type 6"),
    ],
)
def test_what_is_no_frame_is_refused_with_the_reason(message: bytes, why: str) -> None:
    with pytest.raises(MalformedFrame, match=why):
        read(message)


def test_another_schemas_message_is_refused() -> None:
    from google.protobuf.duration_pb2 import Duration
    from google.protobuf.struct_pb2 import Value

    for other in (Duration(seconds=5, nanos=7), Value(bool_value=True)):
        with pytest.raises(MalformedFrame):
            read(other.SerializeToString())
