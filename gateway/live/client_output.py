"""`ClientOutput`: sends one client its messages, which the client's dialect makes."""

import asyncio
from typing import Any

from gateway.live.reply_rate import ReplyRate
from gateway.live.sent_log import SentLog
from gateway.live.transport import Transport
from gateway.observe.sessions import ObservedSession
from gateway.protocols.dialect import (
    Dialect,
    Outgoing,
    ProtocolError,
    SentenceSpoken,
    SessionReady,
    WireMessage,
)
from pipeline.frames import (
    AvatarFrame,
    Clear,
    Degraded,
    ReplyAudio,
    ReplyText,
    Spoken,
    Transcript,
)
from pipeline.stage import Observed

MOST_UNSENT_BYTES = 32 * 1024
"""A client with more unsent bytes gets no partial transcripts until it has caught up."""


class ClientOutput:
    """A `pipeline.stage.Observer` of one client's session. Plain calls that do not raise."""

    def __init__(
        self, transport: Transport[Any], dialect: Dialect, rate_hz: int, log: SentLog
    ) -> None:
        self.transport = transport
        """The client's present transport: all further messages are sent over it."""
        self.log = log
        self.ready: SessionReady | None = None
        """The latest `SessionReady` that was sent to the client; None before the first."""
        self._dialect = dialect
        self.runs_tools = dialect.runs_tools
        self._loop = asyncio.get_running_loop()
        self.rate = ReplyRate(rate_hz)
        self.observed: ObservedSession | None = None
        """The session as the operator sees it; None until the session is opened."""
        self._sentence_ms: int | None = None  # where the last sentence begins in its reply

    def use(self, transport: Transport[Any], rate_hz: int) -> None:
        """Use the transport by which the client has come back, with reply audio at `rate_hz`."""
        self.transport = transport
        self.rate.use(rate_hz)

    def repeat(self, seq: int) -> bool:
        """Send again what was sent after message `seq`. False if some of that is no longer kept."""
        missed, complete = self.log.after(seq)
        for message in missed:
            self.transport.send(message)
        return complete

    def observe(self, output: Observed, now: float) -> None:
        """Take an output of the session."""
        if isinstance(output, ReplyAudio):
            self.transport.play(self.rate.convert(output))
        elif isinstance(output, Spoken):
            self._spoken(output, now)
        else:
            if self.observed is not None:
                self.observed.observe(output, now)
            if isinstance(output, Clear):
                self.rate.clear()
                self.transport.clear()
            if isinstance(output, ReplyText):
                self._sentence_ms = None
            self._encode(output, now)

    def _spoken(self, spoken: Spoken, now: float) -> None:
        """Take a spoken piece of a sentence; the last piece reports where the sentence is in its
        reply."""
        if self._sentence_ms is None:
            self._sentence_ms = spoken.at_ms
        if spoken.last:
            self._encode(SentenceSpoken(spoken.turn, self._sentence_ms, spoken.at_ms), now)

    def emit(self, output: Outgoing) -> None:
        """Send an output of the gateway itself."""
        if self.observed is not None and isinstance(output, Degraded):
            self.observed.stepped(output)
        self._encode(output, self._loop.time())

    def _encode(self, output: Outgoing, now: float) -> None:
        if isinstance(output, SessionReady):
            self.ready = output
        if isinstance(output, Transcript) and not output.final and self._behind():
            return  # the next one says more, and the last one is never left out
        keep = not isinstance(output, AvatarFrame)
        for message in self._dialect.encode(output, now):
            self.log.note(message, keep=keep)
            self.transport.send(message)

    def _behind(self) -> bool:
        return self.transport.unsent >= MOST_UNSENT_BYTES

    def refuse(self, error: ProtocolError) -> None:
        """Report an error of the client to the client."""
        for message in self._dialect.refuse(error):
            self.send(message)

    def send(self, message: WireMessage) -> None:
        """Send a message that the dialect has made."""
        self.log.note(message)
        self.transport.send(message)
