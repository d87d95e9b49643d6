"""Reads the messages of a Media Stream. Pure.

Numbers in the envelopes are strings, except in `mediaFormat`. Nothing here depends on them:
WebSocket messages come in order.
"""

import binascii
import json
from typing import Any

from gateway.protocols.dialect import ProtocolError

KEYS = frozenset("0123456789*#ABCD")

LONGEST_NAME = 128
"""Length limit of the names of streams and marks; Twilio's own names have 34 characters."""

FORMAT = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
"""The one format of Media Streams."""

EVENTS = ("connected", "start", "media", "mark", "dtmf", "stop")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_JSON = json.JSONDecoder(parse_constant=_refuse_constant)
"""The one decoder: `json.loads` with options would make one for each message."""


def read(data: bytes) -> dict[str, Any]:
    """One message, whose `event` is one of `EVENTS`. Raises `ProtocolError`."""
    try:
        message = _JSON.decode(data.decode())
    except RecursionError:
        raise ProtocolError("bad_json", "the message is nested too deep") from None
    except ValueError as error:
        raise ProtocolError("bad_json", f"the message is not JSON: {error}") from None
    if not isinstance(message, dict):
        raise ProtocolError("bad_json", "a message is a JSON object with an event")
    event = message.get("event")
    if event not in EVENTS:
        shown = event[:40] if isinstance(event, str) else event.__class__.__name__
        known = ", ".join(EVENTS)
        raise ProtocolError("unknown_event", f"no such event: {shown!r}; known are {known}")
    return message


def part(message: dict[str, Any], name: str) -> dict[str, Any]:
    """The object of that name in a message. Raises `ProtocolError`."""
    value = message.get(name)
    if not isinstance(value, dict):
        raise ProtocolError("bad_message", f"{name}: an object is needed")
    return value


def text(values: dict[str, Any], name: str) -> str:
    """A text of 1 to `LONGEST_NAME` characters. Raises `ProtocolError`."""
    value = values.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_NAME:
        raise ProtocolError("bad_message", f"{name}: a text of 1 to {LONGEST_NAME} is needed")
    return value


def audio(message: dict[str, Any]) -> bytes | None:
    """The mu-law samples of a `media` message; None for what the caller hears, of a stream with
    both tracks. Raises `ProtocolError`."""
    media = part(message, "media")
    if media.get("track") == "outbound":
        return None
    payload = media.get("payload")
    if not isinstance(payload, str):
        raise ProtocolError("bad_message", "payload: a text is needed")
    try:
        return binascii.a2b_base64(payload, strict_mode=True)
    except ValueError:  # binascii.Error is one, and so is what is not ASCII
        raise ProtocolError("bad_payload", "payload: it is not base64") from None


def key(message: dict[str, Any]) -> str:
    """The key that was pressed. Raises `ProtocolError`."""
    digit = part(message, "dtmf").get("digit")
    if not isinstance(digit, str) or digit not in KEYS:
        raise ProtocolError("bad_message", "digit: 0 to 9, *, # or A to D is needed")
    return digit


def check_format(start: dict[str, Any]) -> None:
    """Raises a fatal `ProtocolError` unless the audio is mu-law, 8000 Hz, one channel."""
    found = start.get("mediaFormat")
    given = found if isinstance(found, dict) else {}
    if any(given.get(name) != wanted for name, wanted in FORMAT.items()):
        text = "mediaFormat: audio/x-mulaw with 8000 Hz and one channel is needed"
        raise ProtocolError("unsupported_audio", text, fatal=True)
