"""`ClientOutput`: what one client is sent, put into messages by its dialect."""

import asyncio
from typing import Any

from gateway.live.reply_rate import ReplyRate
from gateway.live.transport import Transport
from gateway.observe.sessions import ObservedSession
from gateway.protocols.dialect import Dialect, Outgoing, ProtocolError
from pipeline.frames import Clear, ReplyAudio, Spoken
from pipeline.stage import Observed


class ClientOutput:
    """A `pipeline.stage.Observer` of one client's session. Plain calls that do not raise."""

    def __init__(self, transport: Transport[Any], dialect: Dialect, rate_hz: int) -> None:
        self._transport = transport
        self._dialect = dialect
        self._loop = asyncio.get_running_loop()
        self.rate = ReplyRate(rate_hz)
        self.observed: ObservedSession | None = None
        """What the operator sees of the session, once it stands."""

    def observe(self, output: Observed, now: float) -> None:
        """An output of the session."""
        if isinstance(output, ReplyAudio):
            self._transport.play(self.rate.convert(output))
        elif not isinstance(output, Spoken):
            if self.observed is not None:
                self.observed.observe(output, now)
            if isinstance(output, Clear):
                self.rate.clear()
                self._transport.clear()
            for message in self._dialect.encode(output, now):
                self.send(message)

    def emit(self, output: Outgoing) -> None:
        """An output of the gateway itself."""
        for message in self._dialect.encode(output, self._loop.time()):
            self.send(message)

    def refuse(self, error: ProtocolError) -> None:
        """Report the client's error to it."""
        for message in self._dialect.refuse(error):
            self.send(message)

    def send(self, message: str) -> None:
        """A message that the dialect has made."""
        self._transport.send(message)
