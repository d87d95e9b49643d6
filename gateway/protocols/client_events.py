"""Reads the JSON events of clients of OpenAI's APIs: their length, their JSON, their audio. Pure.

An event that is too long is refused by its length, before anything in it is read.
"""

import base64
import binascii
import json
import math
import re
from typing import Any

from pydantic import ValidationError

from gateway.protocols.dialect import ProtocolError

INVALID_VALUE = "invalid_value"
INVALID_JSON = "invalid_json"
EVENT_TOO_LONG = "event_too_long"
MISSING = "missing_required_parameter"

LONGEST_EVENT_BYTES = 4 * 1024 * 1024
"""Of a message: a minute of audio, the longest append, is 3.7 MiB in base64."""

LONGEST_DENSE_BYTES = 256 * 1024
"""Of a message of many small values, which takes far longer to read than one of long strings."""

MOST_COMMAS = 20_000
"""A longer message has no more of them, and so no more values; base64 has none."""

DEEPEST = 64
LONGEST_EVENT_ID = 512
LONGEST_ECHO = 512

_EDGE_BYTES = 1024
_EVENT_ID = re.compile(rb'"event_id"\s{0,8}:\s{0,8}"([\x20-\x21\x23-\x5b\x5d-\x7e]{1,512})"')


def read_object(data: bytes, *, append: bytes) -> tuple[dict[str, Any], str | None]:
    """The object in a text message, and its `event_id` if the client gave one.

    `append` is the type of the event that has audio. Raises `ProtocolError` for anything else, with
    the `event_id` if that can be read. Takes time linear in the message's length.
    """
    _check_length(data, append)
    event = _load(data)
    event_id = event.get("event_id")
    if not isinstance(event_id, str) or len(event_id) > LONGEST_EVENT_ID:
        event_id = None
    return event, event_id


class PlainAppends:
    """Reads appended audio without parsing JSON, if the message is written as usual: a type and
    audio, in either order, and nothing else. Each client sends fifty such messages a second."""

    def __init__(self, kind: str) -> None:
        shapes = [
            (f'{{"type":{gap}"{kind}",{gap}"audio":{gap}"', '"}')
            for gap in ("", " ")
        ] + [
            (f'{{"audio":{gap}"', f'",{gap}"type":{gap}"{kind}"}}')
            for gap in ("", " ")
        ]  # fmt: skip
        self._shapes = [(head.encode(), tail.encode()) for head, tail in shapes]

    def audio(self, data: bytes) -> bytes | None:
        """The audio in a message; None for one that has to be read whole."""
        if len(data) > LONGEST_DENSE_BYTES:
            return None
        for head, tail in self._shapes:
            if data.startswith(head) and data.endswith(tail) and len(data) >= len(head + tail):
                try:
                    # Strict, it takes nothing but base64, and so no quotes and no escapes.
                    return binascii.a2b_base64(data[len(head) : -len(tail)], strict_mode=True)
                except binascii.Error:
                    return None
        return None


def decoded_audio(text: Any) -> bytes:
    """The bytes of an event's `audio`. Raises `ProtocolError`."""
    if text is None:
        raise ProtocolError(MISSING, "Missing required parameter: 'audio'.", param="audio")
    if not isinstance(text, str):
        raise _bad_audio("base64 in a string is needed")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _bad_audio("it is not base64") from None


def from_validation(error: ValidationError, prefix: str = "") -> ProtocolError:
    """The first thing that is wrong, with its path as `param`, such as `session.tools[0].name`."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    path = prefix
    for part in first["loc"]:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += f".{part}" if path else part
    path = path[:LONGEST_ECHO]
    if first["type"] == "missing":
        return ProtocolError(MISSING, f"Missing required parameter: '{path}'.", param=path)
    text = f"Invalid value for '{path}': {first['msg']}."
    return ProtocolError(INVALID_VALUE, text, param=path)


def _check_length(data: bytes, append: bytes) -> None:
    """Raises `ProtocolError` for a message that is too long to read, with its `event_id` if that
    is near the beginning or the end."""
    if len(data) <= LONGEST_DENSE_BYTES:
        return
    longest = LONGEST_EVENT_BYTES
    if len(data) <= longest:
        if data.count(b",") <= MOST_COMMAS:
            return
        longest = LONGEST_DENSE_BYTES
    first, last = data[:_EDGE_BYTES], data[-_EDGE_BYTES:]
    is_audio = append in first or append in last
    text = f"An event has at most {longest} bytes; this one has {len(data)}."
    raise ProtocolError(
        EVENT_TOO_LONG,
        f"{text} Append audio in shorter pieces." if is_audio else text,
        param="audio" if is_audio else None,
        event_id=event_id_at_edge(data),
    )


def event_id_at_edge(data: bytes) -> str | None:
    """The `event_id` of a message that is not read, where it is near the beginning or the end."""
    found = _EVENT_ID.search(data[:_EDGE_BYTES]) or _EVENT_ID.search(data[-_EDGE_BYTES:])
    return None if found is None else found[1].decode()


def _load(message: bytes) -> dict[str, Any]:
    try:
        # For bytes, `loads` would also accept UTF-16, and halves of surrogate pairs.
        event = json.loads(message.decode("utf-8-sig"), parse_constant=_refuse_constant)
        _check(event)
    except RecursionError:
        raise ProtocolError(INVALID_JSON, "The event is nested too deep.") from None
    except ValueError as error:
        raise ProtocolError(INVALID_JSON, f"The event is not valid JSON: {error}.") from None
    if not isinstance(event, dict):
        raise ProtocolError(INVALID_JSON, "An event is a JSON object with a type.")
    return event


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _check(root: Any) -> None:
    """Raises `ValueError` for values that cannot be sent on: depth, infinities, lone surrogates."""
    level = [root]
    for _ in range(DEEPEST):
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below.extend(value)
                below.extend(value.values())
            elif isinstance(value, list):
                below.extend(value)
            elif isinstance(value, str):
                if not value.isascii():
                    value.encode()
            elif isinstance(value, float) and not math.isfinite(value):
                raise ValueError("a number is too large")
        if not below:
            return
        level = below
    raise ValueError(f"it is nested deeper than {DEEPEST} levels")


def _bad_audio(why: str) -> ProtocolError:
    return ProtocolError(INVALID_VALUE, f"Invalid value for 'audio': {why}.", param="audio")
