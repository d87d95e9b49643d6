"""`NativeDialect`: one client's messages in Parley's own dialect, both ways. Pure."""

import json
from collections.abc import Sequence

from gateway.protocols.dialect import Command, Outgoing, ProtocolError, Send, Start
from gateway.protocols.native.messages import Ping, parse
from gateway.protocols.native.outputs import describe
from pipeline.frames import AvatarState, Fault, ReplyAudio, Visemes


class NativeDialect:
    """A `gateway.protocols.dialect.Dialect`. Its messages are numbered from 1."""

    def __init__(self) -> None:
        self.seq = 0
        self._shows_face = True

    def begin(self) -> Sequence[Command]:
        return ()  # the client's `hello`, or its first audio, says how the session begins

    def parse(self, message: bytes, now: float) -> Sequence[Command]:
        command = parse(message)
        if isinstance(command, Ping):
            return (Send(self._message("pong", {"t": command.t, "now": int(now * 1000)})),)
        if isinstance(command, Start):
            self._shows_face = command.request.avatar != "off"
        return (command,)

    def encode(self, output: Outgoing, now: float) -> Sequence[str]:
        if not self._shows_face and isinstance(output, Visemes | AvatarState):
            return ()
        described = describe(output)
        return () if described is None else (self._message(*described),)

    def audio(self, frame: ReplyAudio, data: bytes) -> Sequence[str] | None:
        return None

    def refuse(self, error: ProtocolError) -> Sequence[str]:
        return self.encode(Fault(0, error.code, error.message, error.fatal), 0.0)

    def _message(self, kind: str, fields: dict[str, object]) -> str:
        self.seq += 1
        return json.dumps({"type": kind, "seq": self.seq, **fields}, separators=(",", ":"))
