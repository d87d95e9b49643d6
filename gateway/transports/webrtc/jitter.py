"""The jitter buffer of one incoming Opus stream. Pure: time is an argument.

A loudspeaker needs a frame every 20 ms; a recogniser does not. So packets that come in order are
released at once. Only packets behind a gap wait, for at most `target_ms`; then the gap is given up
and reported with its length. `target_ms` is 60 at first, shrinks to 20 in the seconds in which no
packet overtakes another, and grows again when packets do. While no packet comes, because the sender
is silent (DTX) or the network stalls, silence is given out in real time, so that endpointing goes
on. Its length is taken off the next gap.

Sequence numbers and timestamps are those of RTP (RFC 3550); one packet is one Opus packet
(RFC 7587), whose first byte says its length (RFC 6716, section 3.1).
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeAlias

from gateway.media import opus_packets as opus

CLOCK_HZ = 48_000
"""The clock of Opus's RTP timestamps at every sampling rate."""

LOWEST_TARGET_MS = 20.0
HIGHEST_TARGET_MS = 60.0
MARGIN_MS = 5.0
STEP_MS = 5.0
CALM_S = 1.0
"""The target shrinks by `STEP_MS` after each such time without reordering."""

MOST_HELD = 64
"""Packets that may wait behind a gap; one more gives the gap up at once."""

MOST_REMEMBERED = 64
"""Sequence numbers of given-up packets that are kept, to tell late packets from duplicates."""

FURTHEST = 3_000
"""Sequence numbers. Two packets in sequence further away than this begin another stream; a single
one is dropped (RFC 3550, appendix A.1)."""

FILL_AFTER_S = 0.2
"""Silence is given out after this long without a packet: longer than networks usually stall."""

FILL_EVERY_S = 0.04
"""The interval at which silence is given out."""

LONGEST_GAP = CLOCK_HZ
"""The most samples of one gap; a timestamp that jumps further does not measure time."""

MOST_AHEAD = 2 * CLOCK_HZ
"""The most samples of silence that are taken off later gaps. Longer silence was a pause of a sender
whose RTP clock stood still, not a stall of the network."""

RESOLUTION_S = 0.001
"""Timers may fire this much early."""

ASSUMED = 960
"""Samples of a packet whose length cannot be read."""


@dataclass(frozen=True, slots=True)
class ArrivedPacket:
    """One RTP packet with one Opus packet in it."""

    sequence: int
    timestamp: int
    payload: bytes
    ssrc: int = 0


@dataclass(frozen=True, slots=True)
class MediaPacket:
    """The next Opus packet."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class MissingMedia:
    """A gap of some samples at 48 kHz, which were `lost` or never sent."""

    samples: int
    lost: bool


Item: TypeAlias = MediaPacket | MissingMedia


def duration(payload: bytes) -> int:
    """The length of an Opus packet in samples at 48 kHz; 0 if the payload is not Opus."""
    try:
        return round(opus.duration_ms(payload) * CLOCK_HZ / 1000)
    except opus.NotOpus:
        return 0


class Jitter:
    """The jitter buffer of one stream.

    Call `handle` for each packet and `expire` at `deadline`; both return the items that are
    released, in order. `lost` counts packets that were given up, `late` those of them that came
    after all, and `duplicates` packets that came twice. `concealed` counts the samples that stand
    for lost packets.
    """

    def __init__(self) -> None:
        self.target_ms = HIGHEST_TARGET_MS  # the network is not known yet
        self.late = 0
        self.lost = 0
        self.duplicates = 0
        self.concealed = 0
        self._ssrc = -1
        self._next: int | None = None  # the sequence number that follows, unwrapped
        self._timestamp = 0  # the one that follows, wrapped
        self._after_distant = -1  # the sequence number after the last packet from far away
        self._held: dict[int, tuple[ArrivedPacket, float]] = {}  # with the times of arrival
        self._gap_at = 0.0  # when the packet behind the gap came
        self._skipped: OrderedDict[int, None] = OrderedDict()  # sequence numbers that were given up
        self._given = 0  # samples of silence that no packet has made up for
        self._covered = 0.0  # audio up to this time has been given out
        self._filling = False
        self._reordered_at = 0.0

    @property
    def held(self) -> int:
        """Packets that wait behind a gap."""
        return len(self._held)

    @property
    def position(self) -> int:
        """The RTP timestamp of the sample that follows what has been given out."""
        return self._timestamp + (self._given if self._filling else 0) & 0xFFFFFFFF

    @property
    def ahead(self) -> int:
        """Samples of silence that were given out while packets were late.

        The output is longer than the stream by this much, until `left_out` takes it off.
        """
        return self._given

    def left_out(self, samples: int) -> None:
        """Note that the caller dropped this many of the samples that were given out."""
        self._given = max(0, self._given - samples)

    @property
    def deadline(self) -> float | None:
        """When `expire` is to be called; None before the first packet."""
        if self._next is None:
            return None
        if self._held:
            return self._gap_at + self.target_ms / 1000
        return self._covered + (FILL_EVERY_S if self._filling else FILL_AFTER_S)

    def handle(self, packet: ArrivedPacket, now: float) -> list[Item]:
        """Take a packet. Returns the items that are released; often just this packet."""
        if self._next is None or packet.ssrc != self._ssrc:
            return self._begin(packet, now)
        delta = (packet.sequence - self._next + 0x8000 & 0xFFFF) - 0x8000
        if abs(delta) > FURTHEST:
            if packet.sequence == self._after_distant:
                return self._begin(packet, now)
            self._after_distant = packet.sequence + 1 & 0xFFFF
            return []
        sequence = self._next + delta
        if delta < 0:
            self._too_late(sequence, now)
            return []
        if sequence in self._held:
            self.duplicates += 1
            return []
        if not self._held:
            self._gap_at = now
        elif sequence < max(self._held):
            self._reordered(now - self._gap_at, now)
        self._held[sequence] = (packet, now)
        if delta and len(self._held) <= MOST_HELD:
            return []
        if delta:
            self._skip()
        if now - self._reordered_at >= CALM_S:
            self.target_ms = max(LOWEST_TARGET_MS, self.target_ms - STEP_MS)
            self._reordered_at = now
        return self._release(now)

    def expire(self, now: float) -> list[Item]:
        """Give up gaps whose time is over, and fill with silence while no packet comes."""
        items: list[Item] = []
        now += RESOLUTION_S  # a timer that is this early is on time
        while self._held and now >= self._gap_at + self.target_ms / 1000:
            self._skip()
            items += self._release(now - RESOLUTION_S)
        deadline = self.deadline
        if deadline is None or self._held or now < deadline:
            return items
        samples = min(
            round((max(deadline, now - RESOLUTION_S) - self._covered) * CLOCK_HZ), LONGEST_GAP
        )
        self._filling = True
        self._covered += samples / CLOCK_HZ
        self._given += samples
        items.append(MissingMedia(samples, lost=False))
        return items

    def _begin(self, packet: ArrivedPacket, now: float) -> list[Item]:
        self._ssrc = packet.ssrc
        self._next = packet.sequence
        self._after_distant = -1
        self._timestamp = packet.timestamp
        self._held = {packet.sequence: (packet, now)}
        self._skipped.clear()
        self._given = 0
        self._reordered_at = now
        return self._release(now)

    def _too_late(self, sequence: int, now: float) -> None:
        if sequence not in self._skipped:
            self.duplicates += 1
            return
        del self._skipped[sequence]
        self.late += 1
        self.target_ms = HIGHEST_TARGET_MS  # speech is worth more than 60 ms
        self._reordered_at = now

    def _reordered(self, late_s: float, now: float) -> None:
        """A packet came `late_s` after one that overtook it."""
        wanted = late_s * 1000 + MARGIN_MS
        self.target_ms = min(HIGHEST_TARGET_MS, max(self.target_ms, wanted))
        self._reordered_at = now

    def _skip(self) -> None:
        """Give up the gap: the first packet behind it is next."""
        assert self._next is not None
        behind = min(self._held)
        for sequence in range(max(self._next, behind - MOST_REMEMBERED), behind):
            self._skipped[sequence] = None
        while len(self._skipped) > MOST_REMEMBERED:
            self._skipped.popitem(last=False)
        self.lost += behind - self._next
        self._next = behind

    def _release(self, now: float) -> list[Item]:
        """Release all packets up to the next gap. The packet that is due is held."""
        assert self._next is not None
        items: list[Item] = []
        skipped = self._next - 1 in self._skipped
        while (entry := self._held.pop(self._next, None)) is not None:
            packet, _ = entry
            missing = packet.timestamp - self._timestamp & 0xFFFFFFFF
            if 0 < missing < 1 << 31:  # otherwise the timestamp goes back, which is ignored
                already = min(missing, self._given)
                self._given -= already
                if missing > already:
                    samples = min(missing - already, LONGEST_GAP)
                    items.append(MissingMedia(samples, lost=skipped))
                    self.concealed += samples if skipped else 0
            skipped = False
            items.append(MediaPacket(packet.payload))
            length = duration(packet.payload) or ASSUMED
            self._timestamp = packet.timestamp + length & 0xFFFFFFFF
            self._next += 1
        if self._held:
            self._gap_at = min(arrived for _, arrived in self._held.values())
        # Silence that was given out before late packets counts towards the next stall.
        self._given = min(self._given, MOST_AHEAD)
        self._covered = now + self._given / CLOCK_HZ
        self._filling = False
        return items
