"""`TwilioDialect`: one telephone call over Twilio's Media Streams, both ways. Pure."""

import json
from binascii import b2a_base64
from collections.abc import Sequence
from typing import Any

from gateway.protocols.dialect import (
    AudioMessage,
    Command,
    CommitTurn,
    Leave,
    Outgoing,
    PressKey,
    ProtocolError,
    Start,
)
from gateway.protocols.twilio import messages
from gateway.protocols.twilio.marks import PlayoutMarks
from gateway.protocols.twilio.parameters import TELEPHONE, start_of
from pipeline.frames import Clear, ReplyAudio

END_OF_ANSWER = "#"
"""The key that ends the person's turn, as it ends what callers type elsewhere."""

_BYTES_PER_MS = TELEPHONE.rate_hz // 1000


def greeting(message: bytes) -> Command | None:
    """A message before the session: its `Start`, None for `connected`, another command for `stop`.

    Raises `ProtocolError`.
    """
    commands = TwilioDialect().parse(message, 0.0)
    return commands[0] if commands else None


class TwilioDialect:
    """A `gateway.protocols.dialect.Dialect`. It reports no client errors: Twilio has no message
    for them."""

    resumable = False
    runs_tools = False

    def __init__(self) -> None:
        self._stream: str | None = None
        self._marks = PlayoutMarks()
        self._media = self._mark = self._clear = ""  # messages, the first two without their ends
        self._over = False

    def begin(self) -> Sequence[Command]:
        return ()  # `start` says how the session begins

    def parse(self, message: bytes, now: float) -> Sequence[Command]:
        if self._over:
            return ()
        received = messages.read(message)
        event, stream = received["event"], self._stream
        if event == "media" and stream is not None and received.get("streamSid") == stream:
            commands = self._heard(received)
        else:
            commands = self._others(event, received)
        if (cut := self._marks.cut) is not None:
            self._marks.cut = None
            return (cut, *commands)
        return commands

    def _others(self, event: str, received: dict[str, Any]) -> Sequence[Command]:
        match event:
            case "connected":
                return ()
            case "start":
                return (self._begin(received),)
            case "stop":
                self._over = True
                return (Leave(),)
            case _ if self._stream is None:
                text = f"{event} comes after start"
                raise ProtocolError("unexpected_event", text, fatal=True)
            case _ if received.get("streamSid", self._stream) != self._stream:
                raise ProtocolError("wrong_stream", f"{event} is of another stream than start")
            case "media":
                return self._heard(received)
            case "mark":
                played = self._marks.returned(
                    messages.text(messages.part(received, "mark"), "name")
                )
                return () if played is None else (played,)
            case _:
                key = messages.key(received)
                return (CommitTurn() if key == END_OF_ANSWER else PressKey(key),)

    def encode(self, output: Outgoing, now: float) -> Sequence[str]:
        if not isinstance(output, Clear):
            return ()
        self._marks.clear(output.turn, output.at_ms)
        return (self._clear,)

    def audio(self, frame: ReplyAudio, data: bytes) -> Sequence[str]:
        media = f'{self._media}{b2a_base64(data, newline=False).decode()}"}}}}'
        mark = self._marks.follow(frame.turn, frame.at_ms, len(data) // _BYTES_PER_MS)
        return (media,) if mark is None else (media, f'{self._mark}{mark}"}}}}')

    def refuse(self, error: ProtocolError) -> Sequence[str]:
        return ()

    def _begin(self, received: dict[str, Any]) -> Start:
        if self._stream is not None:
            raise ProtocolError("unexpected_event", "start comes once", fatal=True)
        start = messages.part(received, "start")
        messages.check_format(start)
        command = start_of(start.get("customParameters"))
        self._stream = messages.text(received, "streamSid")
        sid = json.dumps(self._stream)
        self._media = f'{{"event":"media","streamSid":{sid},"media":{{"payload":"'
        self._mark = f'{{"event":"mark","streamSid":{sid},"mark":{{"name":"'
        self._clear = f'{{"event":"clear","streamSid":{sid}}}'
        return command

    def _heard(self, received: dict[str, Any]) -> Sequence[Command]:
        heard = messages.audio(received)
        return () if heard is None else (AudioMessage(heard),)
