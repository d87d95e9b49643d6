"""A bad network between two WebRTC peers: UDP that loses and overtakes media as a seed says.

The relay stands between a client and a gateway: each of them gets the relay's address in the place
of the other's. Only RTP is lost; what sets up and keeps a connection (STUN, DTLS, RTCP) passes, so
that what is measured is the reception of media. Packets are told apart by their first bytes
(RFC 7983 and RFC 5761), which SRTP leaves in the clear, as it does sequence numbers and timestamps.
"""

import asyncio
import itertools
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, cast

Direction = Literal["up", "down"]
"""To the gateway, and from it."""

Address = tuple[str, int]

PACKET_S = 0.02
"""Between two packets of speech."""

_CANDIDATE = re.compile(
    r"a=candidate:(?P<found>\S+ 1 udp \d+) (?P<host>\S+) (?P<port>\d+) typ .*", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Weather:
    """What becomes of a stream's packets, one after another.

    Args:
        loss: The share of packets that is lost.
        burst: How many of them follow one another on average; 1 loses each for itself
            (otherwise the two states of Gilbert, Bell System Technical Journal 39, 1960).
        late: The share of the others that is held up, so that those behind overtake them.
        late_ms: For how long, at least and at most.
        stall: Of so many packets so many at the end are held back until the last of them is due,
            and come all at once.
    """

    loss: float = 0.0
    burst: float = 1.0
    late: float = 0.0
    late_ms: tuple[float, float] = (15.0, 45.0)
    stall: tuple[int, int] = (1, 0)

    def fates(self, seed: str) -> Iterator[float | None]:
        """For each packet the seconds that it is held up, None where it is lost."""
        chance = random.Random(seed)
        losing = False
        every, stalled = self.stall
        for number in itertools.count():
            if losing and self.burst > 1:
                losing = chance.random() >= 1 / self.burst
            else:
                begins = self.loss
                if self.burst > 1:
                    begins /= self.burst * (1 - self.loss)
                losing = chance.random() < begins
            held = chance.random() < self.late
            delay_s = chance.uniform(*self.late_ms) / 1000
            left = every - 1 - number % every
            stall_s = left * PACKET_S if left < stalled else 0.0
            yield None if losing else stall_s + (delay_s if held else 0.0)


@dataclass(frozen=True, slots=True)
class Passing:
    """An RTP packet that came to the relay at `at_s`; `delay_s` is None where it was lost."""

    direction: Direction
    payload_type: int
    ssrc: int
    sequence: int
    timestamp: int
    at_s: float
    delay_s: float | None


def is_media(datagram: bytes) -> bool:
    """RTP, and neither RTCP, STUN, TURN nor DTLS."""
    return len(datagram) >= 12 and 128 <= datagram[0] <= 191 and not 192 <= datagram[1] <= 223


class Relay:
    """One client's way to the gateway. An async context manager; leaving it closes its sockets."""

    def __init__(self, seed: str = "", up: Weather = Weather(), down: Weather = Weather()) -> None:
        self.seed = seed
        self.weather: dict[Direction, Weather] = {"up": up, "down": down}
        self.passed: list[Passing] = []
        self.calm = False  # while it is, everything passes
        self._fates: dict[int, Iterator[float | None]] = {}
        self._client: Address | None = None
        self._gateway: Address | None = None

    async def __aenter__(self) -> "Relay":
        # The client knows the first socket for the gateway, the gateway the second for the client.
        self._for_client = await _socket(self._from_client)
        self._for_gateway = await _socket(self._from_gateway)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._for_client.close()
        self._for_gateway.close()

    def offer(self, sdp: str) -> str:
        """The client's offer on its way: with the relay's address in it."""
        self._client, sdp = _redirected(sdp, _port(self._for_gateway))
        return sdp

    def answer(self, sdp: str) -> str:
        """The gateway's answer on its way."""
        self._gateway, sdp = _redirected(sdp, _port(self._for_client))
        return sdp

    def streams(self, direction: Direction) -> dict[int, list[Passing]]:
        """What came, by the stream's SSRC."""
        found: dict[int, list[Passing]] = {}
        for passing in self.passed:
            if passing.direction == direction:
                found.setdefault(passing.ssrc, []).append(passing)
        return found

    def _from_client(self, datagram: bytes, sender: Address) -> None:
        self._client = sender  # an offer may name several sockets, of which one is used
        self._relay("up", datagram, lambda: self._pass(self._for_gateway, datagram, self._gateway))

    def _from_gateway(self, datagram: bytes, _: Address) -> None:
        self._relay("down", datagram, lambda: self._pass(self._for_client, datagram, self._client))

    def _relay(self, direction: Direction, datagram: bytes, onward: Callable[[], None]) -> None:
        if not is_media(datagram):
            onward()
            return
        ssrc = int.from_bytes(datagram[8:12], "big")
        if ssrc not in self._fates:
            seed = f"{self.seed} {direction} {len(self.streams(direction))}"
            self._fates[ssrc] = self.weather[direction].fates(seed)
        delay_s = 0.0 if self.calm else next(self._fates[ssrc])
        loop = asyncio.get_running_loop()
        self.passed.append(
            Passing(
                direction,
                datagram[1] & 127,
                ssrc,
                int.from_bytes(datagram[2:4], "big"),
                int.from_bytes(datagram[4:8], "big"),
                loop.time(),
                delay_s,
            )
        )
        if delay_s:
            loop.call_later(delay_s, onward)
        elif delay_s is not None:
            onward()

    @staticmethod
    def _pass(way: asyncio.DatagramTransport, datagram: bytes, to: Address | None) -> None:
        if to is not None and not way.is_closing():
            way.sendto(datagram, to)


class _Socket(asyncio.DatagramProtocol):
    def __init__(self, received: Callable[[bytes, Address], None]) -> None:
        self.datagram_received = received  # type: ignore[method-assign, assignment]


async def _socket(received: Callable[[bytes, Address], None]) -> asyncio.DatagramTransport:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _Socket(received), local_addr=("127.0.0.1", 0)
    )
    return transport


def _port(transport: asyncio.DatagramTransport) -> int:
    return cast("int", transport.get_extra_info("sockname")[1])


def _redirected(sdp: str, port: int) -> tuple[Address, str]:
    """The first candidate's address, and the SDP with one candidate a section: the relay's."""
    first: Address | None = None
    lines: list[str] = []
    for line in sdp.splitlines():
        if line.startswith("a=candidate:"):
            match = _CANDIDATE.fullmatch(line)
            if match is None or ":" in match["host"]:
                continue
            if first is None:
                first = (match["host"], int(match["port"]))
            ours = f"a=candidate:{match['found']} 127.0.0.1 {port} typ host"
            if lines[-1] != ours:
                lines.append(ours)
        else:
            lines.append(line)
    assert first is not None, "no candidate to stand in for"
    return first, "\r\n".join([*lines, ""])
