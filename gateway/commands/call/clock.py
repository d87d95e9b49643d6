"""The times at which samples and pictures of RTP streams are played, on one time line. Pure.

An RTP stream has its own timestamps, which begin anywhere. A sender report relates one of them to
the sender's clock (RFC 3550, section 6.4.1); with a report of each stream, sound and pictures are
aligned. Before the first report, the arrival times count.
"""

NTP_UNITS = 1 << 32
"""Units of a second in an NTP timestamp."""


class StreamClock:
    """The clock of one stream with `rate_hz` timestamps a second; gaps are shorter than an hour.

    Local times follow from the packet with the least delay, so that jitter does not move the
    others; `hold` fixes the relation found so far.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._last: int | None = None
        self._offset: float | None = None
        self._held = False
        self._report: float | None = None  # add it to a timestamp's seconds to get NTP's

    def unwrapped(self, timestamp: int) -> int:
        """The timestamp, extended beyond 32 bits."""
        if self._last is None:
            self._last = timestamp
        delta = (timestamp - self._last + (1 << 31) & 0xFFFFFFFF) - (1 << 31)
        self._last = max(self._last, self._last + delta)
        return self._last + min(0, delta)

    def arrived(self, timestamp: int, now: float) -> None:
        """Record a packet that arrived."""
        offset = now - self.unwrapped(timestamp) / self._rate_hz
        if self._offset is None or (offset < self._offset and not self._held):
            self._offset = offset

    def report(self, ntp: int, timestamp: int) -> None:
        """Record a sender report."""
        self._report = ntp / NTP_UNITS - self.unwrapped(timestamp) / self._rate_hz

    def hold(self) -> None:
        """Playback has begun: fix the relation to local time."""
        self._held = True

    @property
    def known(self) -> bool:
        """Whether a packet has arrived."""
        return self._offset is not None

    def at(self, unwrapped: int) -> float:
        """The local time of an unwrapped timestamp, once a packet has arrived."""
        assert self._offset is not None
        return unwrapped / self._rate_hz + self._offset

    def beside(self, other: "StreamClock", unwrapped: int) -> float:
        """The local time of an unwrapped timestamp, by the clock of another stream of the same
        sender."""
        if self._report is None or other._report is None or other._offset is None:
            return self.at(unwrapped)
        return unwrapped / self._rate_hz + self._report - other._report + other._offset
