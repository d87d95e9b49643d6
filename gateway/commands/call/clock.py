"""When the samples and pictures of RTP streams are heard and seen, on one time line. Pure.

An RTP stream has timestamps of its own, which begin anywhere. A sender report says which of them
belongs to which moment of the sender's clock (RFC 3550, section 6.4.1); with one of each stream,
sound and picture are put side by side. Before the first report it is the arrival that counts.
"""

NTP_UNITS = 1 << 32
"""Of a second in an NTP timestamp."""


class StreamClock:
    """One stream's, of `rate_hz` timestamps a second. Its packets come within an hour of another.

    Our time of a timestamp is that of the packet that was the least on its way, so that jitter
    does not move what it carries; `hold` keeps what has been found so far.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._last: int | None = None
        self._offset: float | None = None
        self._held = False
        self._report: float | None = None  # what to add to a timestamp's seconds for NTP's

    def unwrapped(self, timestamp: int) -> int:
        """A timestamp that goes on beyond 32 bits."""
        if self._last is None:
            self._last = timestamp
        delta = (timestamp - self._last + (1 << 31) & 0xFFFFFFFF) - (1 << 31)
        self._last = max(self._last, self._last + delta)
        return self._last + min(0, delta)

    def arrived(self, timestamp: int, now: float) -> None:
        """A packet came."""
        offset = now - self.unwrapped(timestamp) / self._rate_hz
        if self._offset is None or (offset < self._offset and not self._held):
            self._offset = offset

    def report(self, ntp: int, timestamp: int) -> None:
        """A sender report came."""
        self._report = ntp / NTP_UNITS - self.unwrapped(timestamp) / self._rate_hz

    def hold(self) -> None:
        """What is heard has begun: it keeps its place from now on."""
        self._held = True

    @property
    def known(self) -> bool:
        """Whether a packet has come."""
        return self._offset is not None

    def at(self, unwrapped: int) -> float:
        """Our time of an unwrapped timestamp, once a packet has come."""
        assert self._offset is not None
        return unwrapped / self._rate_hz + self._offset

    def beside(self, other: "StreamClock", unwrapped: int) -> float:
        """Our time of one of our timestamps, by the clock of another stream of the same sender."""
        if self._report is None or other._report is None or other._offset is None:
            return self.at(unwrapped)
        return unwrapped / self._rate_hz + self._report - other._report + other._offset
