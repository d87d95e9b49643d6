"""Protocol buffers as bytes: fields of a number and a wire type, nested. Pure."""

from collections.abc import Iterator

_VARINT, _BYTES = 0, 2
_WIDTHS = {1: 8, 5: 4}
"""Wire types of fixed width."""


def fields(message: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """The message's fields: number, the field as it stands, and what is in it (if it is bytes)."""
    at = 0
    while at < len(message):
        start = at
        key, at = read_varint(message, at)
        number, wire = key >> 3, key & 7
        value = b""
        if wire == _VARINT:
            _, at = read_varint(message, at)
        elif wire == _BYTES:
            size, at = read_varint(message, at)
            value = message[at : at + size]
            at += size
        elif wire in _WIDTHS:
            at += _WIDTHS[wire]
        else:
            raise IndexError(f"wire type {wire}")
        if at > len(message):
            raise IndexError("it ends in the middle")
        yield number, message[start:at], value


def read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _varint(value: int) -> bytes:
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*data, value))


def field(number: int, value: bytes) -> bytes:
    """A field that holds bytes: a text, an array or a message."""
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value


def number_field(number: int, value: int) -> bytes:
    """A field that holds a number, which is not negative."""
    return _varint(number << 3 | _VARINT) + _varint(value)


def number_of(whole: bytes) -> int:
    """The number that a field of that kind, as it stands, holds."""
    return read_varint(whole, read_varint(whole, 0)[1])[0]
