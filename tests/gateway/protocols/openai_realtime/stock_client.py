"""A client as the stock ones are: every event that it gets must be exactly as they read it."""

import base64
import itertools
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from openai.types.realtime.realtime_server_event import RealtimeServerEvent
from pydantic import TypeAdapter

from gateway.protocols.dialect import (
    Command,
    Outgoing,
    ProtocolError,
    Send,
    SessionReady,
    WireAudio,
)
from gateway.protocols.openai_realtime.dialect import OpenAiRealtime
from gateway.protocols.openai_realtime.requests import effective_session
from pipeline.frames import ReplyAudio

SERVER_EVENT: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
WIRE = WireAudio("pcm_s16le", 24_000)
FRAME = b"\x01\x00" * 480  # 20 ms of PCM at 24 kHz

Event = dict[str, Any]


class StockClient:
    """A dialect and what came of it. `send` and `hear` return the events that followed."""

    def __init__(self, model: str = "assistant", *, rtp: bool = False, **session: Any) -> None:
        ids: Counter[str] = Counter()
        count = itertools.count()

        def new_id(kind: str) -> str:
            if kind == "event":
                return f"event_{next(count)}"
            ids[kind] += 1
            return f"{kind}_{ids[kind]}"

        update = {"type": "realtime", **session} if session else None
        self.dialect = OpenAiRealtime(
            effective_session(model, update), new_id=new_id, media="rtp" if rtp else "messages"
        )
        self.commands: list[Command] = list(self.dialect.begin())
        self.events: list[Event] = []
        self._sent = itertools.count(1)
        self.hear(SessionReady("s-1", WIRE, WIRE, {}, None))

    # --- to the server -----------------------------------------------------------------------

    def send(self, kind: str, **fields: Any) -> list[Event]:
        """Send an event as a stock client would; refusals are told as `Connection` tells them."""
        event = {"type": kind, "event_id": f"client_{next(self._sent)}", **fields}
        return self.send_raw(json.dumps(event).encode())

    def send_raw(self, message: bytes) -> list[Event]:
        try:
            commands = self.dialect.parse(message, 0.0)
        except ProtocolError as error:
            return self._take(self.dialect.refuse(error))
        self.commands += [command for command in commands if not isinstance(command, Send)]
        return self._take([command.message for command in commands if isinstance(command, Send)])

    def append(self, ms: int) -> list[Event]:
        audio = base64.b64encode(b"\0" * (48 * ms)).decode()
        return self.send("input_audio_buffer.append", audio=audio)

    def item(self, *, after: str | None = None, **fields: Any) -> list[Event]:
        place = {} if after is None else {"previous_item_id": after}
        return self.send("conversation.item.create", item=fields, **place)

    def say(self, text: str, **fields: Any) -> list[Event]:
        content = [{"type": "input_text", "text": text}]
        return self.item(type="message", role="user", content=content, **fields)

    def taken(self) -> list[Command]:
        """The commands since the last call."""
        commands, self.commands = self.commands, []
        return commands

    # --- from the server ---------------------------------------------------------------------

    def hear(self, *outputs: Outgoing) -> list[Event]:
        """The engine or the gateway puts these out."""
        events: list[Event] = []
        for output in outputs:
            events += self._take(self.dialect.encode(output, 0.0))
        return events

    def play(self, turn: int, at_ms: int, data: bytes = FRAME) -> list[Event]:
        """A frame of reply audio, as the gateway encodes it."""
        messages = self.dialect.audio(frame(turn, at_ms), data)
        assert messages is not None
        return self._take(messages)

    def play_ms(self, turn: int, from_ms: int, to_ms: int) -> list[Event]:
        return [event for at in range(from_ms, to_ms, 20) for event in self.play(turn, at)]

    def _take(self, messages: Sequence[str]) -> list[Event]:
        events = [json.loads(message) for message in messages]
        for event in events:
            check(event)
        self.events += events
        return events


def frame(turn: int, at_ms: int) -> ReplyAudio:
    return ReplyAudio(turn, np.zeros(480, np.int16), at_ms)


def check(event: Event) -> None:
    """Raises where a stock client would: openai-agents-python reads strictly, and agents-js drops
    events with a null where a key may only be absent."""
    SERVER_EVENT.validate_python(event, strict=True)
    assert isinstance(event["event_id"], str)
    _check_nulls(event)
    for item in [event.get("item"), *event.get("response", {}).get("output", [])]:
        for content in (item or {}).get("content", []):
            if content["type"] == "input_audio":
                assert "transcript" in content


def _check_nulls(event: Event) -> None:
    for holder in ("item", "part", "error"):
        assert None not in event.get(holder, {}).values(), f"null in {holder}: {event}"
    if event["type"] == "response.done":
        assert None not in event["response"]["usage"].values()


def kinds(events: Sequence[Event]) -> list[str]:
    """The types, with deltas that follow one another named once."""
    return [kind for kind, _ in itertools.groupby(event["type"] for event in events)]


def only(events: Sequence[Event], kind: str) -> Event:
    """The one event of a type."""
    (event,) = [event for event in events if event["type"] == kind]
    return event


def error(events: Sequence[Event]) -> tuple[str, str | None, str | None]:
    """Code, param and the client's event of the error that is all that came."""
    (event,) = events
    assert event["type"] == "error", event
    body = event["error"]
    assert body["type"] == "invalid_request_error"
    assert body["message"]
    return body["code"], body.get("param"), body.get("event_id")
