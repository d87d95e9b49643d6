"""The client of `benchmarks.dialects`: sessions in one dialect that all say the same at a time.

It prints JSON lines: `steady` when the measured stretch begins, `over` when it ends, and `report`.
The callers keep to one script whatever they hear, so that the gateway does the same work in each
dialect.

    python -m benchmarks.dialect_client --url ws://127.0.0.1:8000 --wire rtvi --sessions 50
"""

import argparse
import asyncio
import itertools
import json
import os
import sys
import time
from typing import Any

import numpy as np
import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from benchmarks.dialect_wires import Message, Wire, wire
from benchmarks.speech import turns
from benchmarks.timing import percentile
from gateway.commands.bench.load import tell
from pipeline.frames import INPUT_RATE_HZ

ANSWER_MS, LISTENS_MS = 3_000, 7_000
"""Each caller speaks so long, and then hears a reply."""

RAMP_S = 5.0
OPEN_S = 180.0
"""On a busy machine fifty handshakes take long."""

SETTLES_S = 5.0
"""After the last session has begun."""


class Callers:
    """Runs the sessions. One object, one run."""

    def __init__(self, url: str, of: Wire, sessions: int, seconds: float) -> None:
        self._url = url
        self._wire = of
        self._sessions = sessions
        self._seconds = seconds
        silence = np.zeros(LISTENS_MS * INPUT_RATE_HZ // 1000, np.int16)
        self._scripts = [
            of.packed(np.concatenate([pcm, silence])) for pcm in turns(ANSWER_MS, ANSWER_MS)
        ]
        self._lag_s: list[float] = []
        self._got = 0
        self._got_bytes = 0
        self._broken: list[str] = []
        self._open = 0
        self._all_open = asyncio.Event()

    async def run(self) -> dict[str, Any]:
        """Let the sessions run; the report."""
        async with asyncio.TaskGroup() as tasks:
            started = [tasks.create_task(self._session(n)) for n in range(self._sessions)]
            async with asyncio.timeout(OPEN_S):
                await self._all_open.wait()
            await asyncio.sleep(SETTLES_S)
            self._lag_s.clear()
            before = (self._got, self._got_bytes, time.process_time(), time.monotonic())
            tell("steady")
            await asyncio.sleep(self._seconds)
            tell("over")
            after = (self._got, self._got_bytes, time.process_time(), time.monotonic())
            for session in started:
                session.cancel()
        got, size, cpu_s, wall_s = (b - a for a, b in zip(before, after, strict=True))
        return {
            "wall_s": wall_s,
            "messages": got,
            "bytes": size,
            "client_cpu_share": cpu_s / wall_s,
            "lag_p99_ms": percentile(self._lag_s, 0.99) * 1000 if self._lag_s else float("inf"),
            "broken": self._broken,
        }

    async def _session(self, number: int) -> None:
        await asyncio.sleep(RAMP_S * number / self._sessions)
        path = self._wire.path.format(name=f"bench-{os.getpid()}-{number}")
        try:
            async with connect(
                f"{self._url}{path}", compression=None, open_timeout=OPEN_S
            ) as socket:
                self._open += 1
                if self._open == self._sessions:
                    self._all_open.set()
                for message in self._wire.opening:
                    await socket.send(message)
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._listen(socket))
                    both.create_task(self._speak(socket, number))
        except* (ConnectionClosed, OSError) as group:
            self._broken.append(str(group.exceptions[0]))

    async def _listen(self, socket: ClientConnection) -> None:
        async for message in socket:
            self._got += 1
            self._got_bytes += len(message)
            if self._wire.answers(message):
                await socket.send(message)

    async def _speak(self, socket: ClientConnection, number: int) -> None:
        script: list[Message] = self._scripts[number % len(self._scripts)]
        # They do not all speak at once.
        first = number * len(script) // self._sessions
        start, clock, step_s = time.monotonic(), time.monotonic, self._wire.frame_ms / 1000
        for sent in itertools.count():
            due = start + sent * step_s
            if (wait_s := due - clock()) > 0:
                await asyncio.sleep(wait_s)
            self._lag_s.append(max(0.0, clock() - due))
            await socket.send(script[(first + sent) % len(script)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--wire", required=True)
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--core", type=int)
    given = parser.parse_args()
    if given.core is not None:
        os.sched_setaffinity(0, {given.core})
    callers = Callers(given.url, wire(given.wire), given.sessions, given.seconds)
    report = uvloop.run(callers.run())
    print(json.dumps({"event": "report", **report}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
