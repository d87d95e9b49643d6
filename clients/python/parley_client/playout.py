"""What of the replies is played: the buffer between a call's events and a loudspeaker. Pure."""

from parley_client.events import Clear, Event, LineBroke, ReplyAudio, ReplyResumed, ReplyStarted

LONGEST_S = 10
"""Audio that may wait. A gateway is 200 ms ahead at most; after a stall the network may bring what
it held back at once. Beyond it the newest is dropped: nobody is playing."""
SAMPLE_BYTES = 2


class Playout:
    """Takes a call's events in, and gives samples (16-bit mono PCM) out as they are played."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._waiting = bytearray()
        self._turn: int | None = None
        self._begins_ms = 0.0
        """Where in the reply the waiting audio begins."""

    def handle(self, event: Event) -> None:
        """Audio is kept, and dropped again where the gateway says that it is not to be heard."""
        match event:
            case ReplyAudio(data):
                room = LONGEST_S * self._rate_hz * SAMPLE_BYTES - len(self._waiting)
                self._waiting += data[:room]
            case ReplyStarted(turn):
                self._turn, self._begins_ms = turn, -self._waiting_ms
            case Clear():
                self._waiting.clear()
            case ReplyResumed(turn, at_ms):
                self._waiting.clear()
                self._turn, self._begins_ms = turn, at_ms
            case LineBroke():
                self._waiting.clear()  # the gateway goes on at the word that was cut off

    def take(self, samples: int) -> bytes:
        """The next samples to play, filled up with silence."""
        wanted = samples * SAMPLE_BYTES
        taken = bytes(self._waiting[:wanted])
        del self._waiting[:wanted]
        self._begins_ms += len(taken) / SAMPLE_BYTES * 1000 / self._rate_hz
        return taken.ljust(wanted, b"\0")

    @property
    def _waiting_ms(self) -> float:
        return len(self._waiting) / SAMPLE_BYTES * 1000 / self._rate_hz

    @property
    def played(self) -> tuple[int, float] | None:
        """The turn of the reply that plays and how many ms of it are out; None before any."""
        return None if self._turn is None else (self._turn, max(self._begins_ms, 0.0))
