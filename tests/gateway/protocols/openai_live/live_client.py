"""A dialect of the Live API and what came of it, each event as the stock client's types have it."""

import base64
import itertools
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from openai.types.live.server_event import ServerEvent
from pydantic import TypeAdapter

from gateway.protocols.dialect import (
    Command,
    Outgoing,
    ProtocolError,
    Send,
    SentenceSpoken,
    SessionReady,
    WireAudio,
)
from gateway.protocols.openai_live import LiveOpening, OpenAiLive
from pipeline.frames import ReplyAudio, ReplyStarted, ReplyText

SERVER_EVENT: TypeAdapter[Any] = TypeAdapter(ServerEvent)
WIRE = WireAudio("pcm_s16le", 24_000)
READY = SessionReady("s-1", WIRE, WIRE, {}, None)
FRAME = b"\x01\x00" * 480  # 20 ms of PCM at 24 kHz
EXPIRES_AT = 1_800_000_000

Event = dict[str, Any]


class LiveClient:
    """`now` is the clock, in seconds. `send`, `hear` and `play` return the events that followed."""

    def __init__(
        self, model: str = "assistant", opening: LiveOpening | None = None, **session: Any
    ) -> None:
        count = itertools.count(1)
        self.now = 100.0
        self.commands: list[Command] = []
        self.dialect = OpenAiLive(
            opening or LiveOpening(),
            new_id=lambda kind: f"{kind}_{next(count)}",
            clock=lambda: self.now,
            expires_at=EXPIRES_AT,
        )
        assert self.dialect.begin() == ()
        self.model, self.config = model, session

    def start(self) -> "LiveClient":
        """Start the session."""
        assert self.send("session.start", session={"model": self.model, **self.config}) == []
        self.started = self.hear(READY)
        self.now = 101.0
        return self

    def send(self, kind: str, **fields: Any) -> list[Event]:
        return self.send_raw(json.dumps({"type": kind, "event_id": f"c-{kind}", **fields}).encode())

    def send_raw(self, message: bytes) -> list[Event]:
        """What was refused is told as `Connection` tells it."""
        try:
            commands = self.dialect.parse(message, self.now)
        except ProtocolError as error:
            return self._take(self.dialect.refuse(error))
        self.commands += [command for command in commands if not isinstance(command, Send)]
        return self._take([command.message for command in commands if isinstance(command, Send)])

    def append(self, audio: bytes) -> list[Event]:
        return self.send("session.input_audio.append", audio=base64.b64encode(audio).decode())

    def put(self, text: str, role: str = "user") -> list[Event]:
        content = [{"type": "input_text", "text": text}]
        return self.send(
            "response.item.create", item={"type": "message", "role": role, "content": content}
        )

    def taken(self) -> list[Command]:
        """The commands since the last call."""
        commands, self.commands = self.commands, []
        return commands

    def hear(self, *outputs: Outgoing) -> list[Event]:
        """The engine or the gateway puts these out."""
        return [
            event
            for output in outputs
            for event in self._take(self.dialect.encode(output, self.now))
        ]

    def play(self, turn: int, from_ms: int, until_ms: int) -> list[Event]:
        """Frames of reply audio, one each 20 ms."""
        events: list[Event] = []
        for at_ms in range(from_ms, until_ms, 20):
            frame = ReplyAudio(turn, np.zeros(480, np.int16), at_ms)
            events += self._take(self.dialect.audio(frame, FRAME))
            self.now += 0.02
        return events

    def says(self, turn: int, text: str, from_ms: int, until_ms: int) -> list[Event]:
        """A sentence of a reply, which lies there."""
        place = SentenceSpoken(turn, from_ms, until_ms)
        began = [] if from_ms else [ReplyStarted(turn)]
        return self.hear(*began, ReplyText(turn, text), place)

    def _take(self, messages: Sequence[Any]) -> list[Event]:
        events = [json.loads(message) for message in messages]
        for event in events:
            SERVER_EVENT.validate_python(event, strict=True)
            assert "event_id" in event or event["type"] == "session.output_audio.delta"
        return events


def of(events: Sequence[Event], kind: str) -> list[Event]:
    return [event for event in events if event["type"] == kind]


def words(events: Sequence[Event]) -> list[tuple[str, int, int]]:
    """Fragments of the transcript of a reply."""
    found = of(events, "session.output_transcript.delta")
    return [(event["delta"], event["start_ms"], event["end_ms"]) for event in found]


def error(events: Sequence[Event]) -> tuple[str, str | None]:
    """Code and param of the error that is all that came."""
    (event,) = events
    assert event["type"] == "error", event
    body = event["error"]
    assert body["type"] == "invalid_request_error"
    assert body["message"]
    assert body.get("client_event_id") == event.get("client_event_id")
    return body["code"], body.get("param")
