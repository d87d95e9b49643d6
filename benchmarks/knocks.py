"""How long a refusal takes, measured beside a crowd in a process that does nothing else.

The crowd's own client has a core full of conversations: what it sees of a refusal is its own
lateness as well. This one knocks a few times a second, and `VOLLEY` times at once every `VOLLEY_S`,
without ever coming in: a gateway with places accepts the handshake and closes, since the id of the
session is none. A refusal is measured from the attempt to connect until its answer can be read.

It prints one line of JSON, `report`, once its standard input ends.

    python -m benchmarks.knocks --url ws://127.0.0.1:8000/ws
"""

import argparse
import os
import select
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from benchmarks.load import LAG_LIMIT_MS
from benchmarks.timing import Summary
from gateway.commands.bench.load import tell

EVERY_S = 0.1
VOLLEY, VOLLEY_S = 100, 5.0
UNANSWERED_S = 10.0
"""Then a knock is given up, and counts with this time."""

MOST_OPEN = 1_000
"""Knocks that wait for an answer; where there are more, none is added."""

REQUEST = (
    "GET {path}/knock. HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@dataclass(slots=True)
class Heard:
    """What became of the knocks. Times are in ms; `lag_ms` is how late the client itself was."""

    refusals_ms: list[float] = field(default_factory=list)
    lag_ms: list[float] = field(default_factory=list)
    let_in: int = 0
    unanswered: int = 0
    others: dict[str, int] = field(default_factory=dict)

    def report(self) -> dict[str, Any]:
        """As JSON."""
        refusal, lag = Summary.of(self.refusals_ms), Summary.of(self.lag_ms)
        doubts = []
        if lag is not None and lag.p99 > LAG_LIMIT_MS:
            doubts.append(f"the knocking client ran {lag.p99:.0f} ms late (p99)")
        return {
            "refusal": None if refusal is None else refusal.as_dict(),
            "lag": None if lag is None else lag.as_dict(),
            "let_in": self.let_in,
            "unanswered": self.unanswered,
            "others": self.others,
            "distrust": doubts,
        }


def schedule() -> Iterator[tuple[float, int]]:
    """When to knock, in seconds from the beginning, and how many times at once."""
    per_volley = round(VOLLEY_S / EVERY_S)
    number = 0
    while True:
        yield number * EVERY_S, VOLLEY if number and number % per_volley == 0 else 1
        number += 1


class Knocks:
    """One run. `clock` gives seconds."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._at = parts.hostname, parts.port or 80
        self._request = REQUEST.format(path=parts.path, host=parts.netloc).encode()
        self._clock = clock
        self._open: dict[int, tuple[socket.socket, float]] = {}
        self._poll = select.poll()
        self.heard = Heard()

    def run(self, stdin: int) -> None:
        """Knock until there is nothing more to read there."""
        began = self._clock()
        self._poll.register(stdin, select.POLLIN)
        for due_s, count in schedule():
            due = began + due_s
            while (left_s := due - self._clock()) > 0:
                if self._listen(left_s, stdin):
                    for descriptor in tuple(self._open):
                        self._close(descriptor)
                    return
            self.heard.lag_ms.append((self._clock() - due) * 1000)
            for _ in range(count):
                self._knock()
            self._give_up()

    def _knock(self) -> None:
        if len(self._open) >= MOST_OPEN:
            return
        made = socket.socket()
        made.setblocking(False)
        began = self._clock()
        made.connect_ex(self._at)
        self._open[made.fileno()] = made, began
        self._poll.register(made, select.POLLOUT)

    def _listen(self, within_s: float, stdin: int) -> bool:
        """Take what is there within this time; whether the end of `stdin` is."""
        for descriptor, event in self._poll.poll(within_s * 1000):
            if descriptor == stdin:
                if not os.read(stdin, 4096):
                    return True
                continue
            made, began = self._open[descriptor]
            try:
                if event & select.POLLOUT:
                    made.send(self._request)
                    self._poll.modify(made, select.POLLIN)
                    continue
                answer = made.recv(4096)
            except OSError as error:
                self._other(type(error).__name__)
            else:
                self._answered(answer, (self._clock() - began) * 1000)
            self._close(descriptor)
        return False

    def _answered(self, answer: bytes, took_ms: float) -> None:
        status = answer[9:12]
        if status == b"503":
            self.heard.refusals_ms.append(took_ms)
        elif status == b"101":
            self.heard.let_in += 1
        else:
            self._other(status.decode(errors="replace") or "closed")

    def _other(self, what: str) -> None:
        self.heard.others[what] = self.heard.others.get(what, 0) + 1

    def _give_up(self) -> None:
        now = self._clock()
        for descriptor, (_, began) in tuple(self._open.items()):
            if now - began >= UNANSWERED_S:
                self.heard.unanswered += 1
                self.heard.refusals_ms.append((now - began) * 1000)
                self._close(descriptor)

    def _close(self, descriptor: int) -> None:
        made, _ = self._open.pop(descriptor)
        self._poll.unregister(descriptor)
        made.close()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", required=True, help="of the sessions, without the session's id")
    parser.add_argument("--core", type=int, help="stay on this core")
    arguments = parser.parse_args()
    if arguments.core is not None:
        os.sched_setaffinity(0, {arguments.core})
    knocks = Knocks(arguments.url)
    knocks.run(sys.stdin.fileno())
    tell("report", **knocks.heard.report())
    return 0


if __name__ == "__main__":
    sys.exit(main())
