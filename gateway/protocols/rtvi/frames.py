"""The protobuf frames of RTVI's WebSocket, read and written. Pure.

One binary message is one `Frame`, a oneof of five messages (proto3, package `pipecat`):

======================  ===================================================================
`TextFrame` (1)         1 id, 2 name, 3 text
`AudioRawFrame` (2)     1 id, 2 name, 3 audio, 4 sample_rate, 5 num_channels, 6 pts
`TranscriptionFrame` (3)  1 id, 2 name, 3 text, 4 user_id, 5 timestamp
`MessageFrame` (4)      1 data: an RTVI message, as JSON
`InterruptionFrame` (5)  1 id, 2 name
======================  ===================================================================

The fields are numbers (varints), texts and bytes. These functions read them as protobuf does; tests
compare them. So the dialect needs no package beyond the gateway's.

::

    MalformedFrame                the message is no `Frame` of this schema
"""

from dataclasses import dataclass
from typing import Final

AUDIO, MESSAGE, INTERRUPTION = 2, 4, 5
"""The fields of `Frame` that are used here."""

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
"""Wire types. Groups, 3 and 4, are not part of proto3."""

_TEXT, _BYTES, _U32, _U64 = "text", "bytes", 32, 64

_FIELDS: Final[dict[int, dict[int, str | int]]] = {
    1: {1: _U64, 2: _TEXT, 3: _TEXT},
    AUDIO: {1: _U64, 2: _TEXT, 3: _BYTES, 4: _U32, 5: _U32, 6: _U64},
    3: {1: _U64, 2: _TEXT, 3: _TEXT, 4: _TEXT, 5: _TEXT},
    MESSAGE: {1: _TEXT},
    INTERRUPTION: {1: _U64, 2: _TEXT},
}
"""The fields of each kind of frame: a text, bytes, or the number of bits of a number."""

LARGEST_TAG = 2**32 - 1
LONGEST_VARINT = 10

Value = int | bytes


class MalformedFrame(ValueError):
    """A binary message is no `Frame`. The text is for its sender."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message: its kind, a field number of `Frame`, and its own fields by their numbers.

    A field that was not given is 0 or empty, and is left out. `start` and `end` say where the bytes
    of the audio lie in the message, 0 and 0 without any.
    """

    kind: int
    fields: dict[int, Value]
    start: int = 0
    end: int = 0

    def number(self, field: int) -> int:
        value = self.fields.get(field, 0)
        assert isinstance(value, int)
        return value

    def data(self, field: int) -> bytes:
        value = self.fields.get(field, b"")
        assert isinstance(value, bytes)
        return value


def read(message: bytes) -> Frame:
    """The frame in a message. Raises `MalformedFrame`.

    As in protobuf, the last kind counts, and so does the last value of a field; a kind that comes
    again adds its fields; fields that the schema does not know are skipped.
    """
    kind, at, end = 0, 0, len(message)
    fields: dict[int, Value] = {}
    where = (0, 0)
    while at < end:
        field, wire, at = _tag(message, at, end)
        if field not in _FIELDS or wire != LENGTH:
            at = _skip(message, at, end, wire)
            continue
        size, at = _varint(message, at, end)
        stop = at + size
        if stop > end:
            raise MalformedFrame("the frame is cut off")
        if field != kind:
            kind, fields, where = field, {}, (0, 0)
        found = _read_fields(message, at, stop, _FIELDS[field], fields)
        where = found or where
        at = stop
    if not kind:
        raise MalformedFrame("there is no text, audio, transcription, message or interruption")
    return Frame(kind, fields, *where)


def _read_fields(
    message: bytes, at: int, end: int, schema: dict[int, str | int], fields: dict[int, Value]
) -> tuple[int, int] | None:
    """Read one kind's fields; returns where its bytes lie, None if it has none."""
    where = None
    while at < end:
        field, wire, at = _tag(message, at, end)
        kind = schema.get(field)
        if isinstance(kind, int) and wire == VARINT:
            value, at = _varint(message, at, end)
            fields[field] = value & (2**kind - 1)
        elif isinstance(kind, str) and wire == LENGTH:
            size, at = _varint(message, at, end)
            if at + size > end:
                raise MalformedFrame("a field is cut off")
            data = message[at : at + size]
            if kind == _TEXT:
                _check_text(data)
            else:
                where = (at, at + size)
            fields[field] = data
            at += size
        else:
            at = _skip(message, at, end, wire)
    return where


def _check_text(data: bytes) -> None:
    if not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError:
            raise MalformedFrame("a text is not UTF-8") from None


def _tag(message: bytes, at: int, end: int) -> tuple[int, int, int]:
    """A field's number and wire type, and the position after them."""
    tag, at = _varint(message, at, end)
    if tag > LARGEST_TAG:  # protobuf reads 32 bits of it, and takes no more
        raise MalformedFrame("a field's number is too large")
    field, wire = tag >> 3, tag & 7
    if not field:
        raise MalformedFrame("a field has no number")
    return field, wire, at


def _varint(message: bytes, at: int, end: int) -> tuple[int, int]:
    if at < end and message[at] < 0x80:
        return message[at], at + 1
    value = shift = 0
    for place in range(at, min(end, at + LONGEST_VARINT)):
        byte = message[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (2**64 - 1), place + 1
        shift += 7
    raise MalformedFrame("a number is cut off, or too long")


def _skip(message: bytes, at: int, end: int, wire: int) -> int:
    """The end of a field that is skipped."""
    if wire == VARINT:
        return _varint(message, at, end)[1]
    if wire == LENGTH:
        size, at = _varint(message, at, end)
    elif wire in (FIXED32, FIXED64):
        size = 4 if wire == FIXED32 else 8
    else:
        raise MalformedFrame(f"there is no wire type {wire} in proto3")
    if at + size > end:
        raise MalformedFrame("a field is cut off")
    return at + size


# --- writing ---------------------------------------------------------------------------------


def message_frame(text: str) -> bytes:
    """A `MessageFrame` with an RTVI message."""
    return _nested(MESSAGE, _nested(1, text.encode()))


INTERRUPTION_FRAME = bytes((INTERRUPTION << 3 | LENGTH, 0))
"""An `InterruptionFrame`: its fields are of no use to a client."""


class AudioFrames:
    """Writes `AudioRawFrame`s of mono PCM16 at one rate."""

    def __init__(self, rate_hz: int) -> None:
        self._tail = _tagged(4, VARINT) + _number(rate_hz) + _tagged(5, VARINT) + _number(1)
        self._heads: dict[int, bytes] = {}  # by the length of the audio; reply frames have two

    def write(self, audio: bytes) -> bytes:
        """The message for a piece of audio."""
        size = len(audio)
        head = self._heads.get(size)
        if head is None:
            field = _tagged(3, LENGTH) + _number(size)
            whole = len(field) + size + len(self._tail)
            head = _tagged(AUDIO, LENGTH) + _number(whole) + field
            if len(self._heads) < 8:
                self._heads[size] = head
        return head + audio + self._tail


def _nested(field: int, data: bytes) -> bytes:
    return _tagged(field, LENGTH) + _number(len(data)) + data


def _tagged(field: int, wire: int) -> bytes:
    return _number(field << 3 | wire)


def _number(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)
