"""`NativeDialect`: one client's messages in Parley's own dialect, both ways. Pure."""

from collections.abc import Sequence

from gateway.protocols.dialect import Command, Outgoing, ProtocolError, Send, SessionReady
from gateway.protocols.json_text import json_text
from gateway.protocols.native.messages import Ping, parse
from gateway.protocols.native.outputs import describe
from gateway.protocols.native.server_messages import MessageType
from pipeline.frames import AvatarState, Fault, ReplyAudio, Visemes


class NativeDialect:
    """A `gateway.protocols.dialect.Dialect`. Its messages are numbered from 1."""

    resumable = True
    runs_tools = True

    def __init__(self) -> None:
        self.seq = 0
        self._shows_face = True
        self._ready = False
        self._early: list[Ping] = []  # before `ready`; bounded by the pacer's counting

    def begin(self) -> Sequence[Command]:
        return ()  # the client's `hello`, or its first audio, says how the session begins

    def parse(self, message: bytes, now: float) -> Sequence[Command]:
        command = parse(message)
        if not isinstance(command, Ping):
            return (command,)
        if not self._ready:  # the first message is `ready`, or an error
            self._early.append(command)
            return ()
        return (Send(self._pong(command, now)),)

    def encode(self, output: Outgoing, now: float) -> Sequence[str]:
        if not self._shows_face and isinstance(output, Visemes | AvatarState):
            return ()
        described = describe(output)
        if described is None:
            return ()
        message = self._message(*described)
        if not isinstance(output, SessionReady):
            return (message,)
        self._ready = True
        self._shows_face = output.avatar != "off"
        early, self._early = self._early, []
        return (message, *(self._pong(ping, now) for ping in early))

    def audio(self, frame: ReplyAudio, data: bytes) -> Sequence[str] | None:
        return None

    def refuse(self, error: ProtocolError) -> Sequence[str]:
        return self.encode(Fault(0, error.code, error.message, error.fatal), 0.0)

    def _pong(self, ping: Ping, now: float) -> str:
        return self._message("pong", {"t": ping.t, "now": int(now * 1000)})

    def _message(self, kind: MessageType, fields: dict[str, object]) -> str:
        self.seq += 1
        return json_text({"type": kind, "seq": self.seq, **fields})
