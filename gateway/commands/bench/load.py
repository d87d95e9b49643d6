"""The load generator: many paced sessions in one process of its own.

It prints JSON lines: `begin` before the first connection, `steady` when every session is there and
the opening is over, `progress` every second, `over` when the measured stretch ends, and `report`
last. Their reader can sample the server's CPU in between. The report says how busy and how late the
generator itself was.

A session has neither task nor queue: one clock sends the frames of all of them, 20 ms apart and
spread evenly, and what is sent was made before the run. At 300 sessions that takes about a quarter
of a core, so that the server is what is measured.
"""

import argparse
import asyncio
import gc
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import uvloop

from gateway.commands.bench.caller import Caller, Sounds
from gateway.commands.bench.dialect import ParleyDialect, ServerDialect, Wishes
from gateway.commands.bench.observed import Observed
from gateway.commands.bench.scenario import SCENARIOS, Role, Scenario, role
from gateway.commands.bench.sounds import frames, from_onset, room, turns
from gateway.commands.bench.wire import masked
from pipeline.frames import Samples

FRAME_S = 0.020
SLOTS = 20
"""The sessions are spread over so many moments of each 20 ms."""

OPENING_TIMEOUT_S = 60.0
"""Within this after the last connection every session must have had its opening."""

GOODBYE_S = 2.0

DIALECTS: Mapping[str, Callable[[], ServerDialect]] = {"parley": ParleyDialect}


@dataclass(frozen=True, slots=True)
class Plan:
    """A load run: so many sessions, begun within `ramp_s`, measured for `seconds` once all are
    there. `speech` is a folder of clips."""

    url: str
    dialect: str
    scenario: Scenario
    sessions: int
    seconds: float
    speech: Path
    ramp_s: float = 5.0
    wishes: Wishes = field(default_factory=Wishes)


class Load:
    """Runs a plan. One object, one run."""

    def __init__(self, plan: Plan, dialect: ServerDialect) -> None:
        self.plan = plan
        self.observed = Observed()
        parts = urlsplit(plan.url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._dialect = dialect
        self._voice = Sounds((), ())
        self._callers: dict[int, Caller] = {}
        self._slots: list[list[int]] = [[] for _ in range(SLOTS)]
        self._over = False
        self._again: set[asyncio.Task[None]] = set()

    def _wire(self, pcm: Samples) -> list[bytes]:
        return [masked(*self._dialect.speech(frame)) for frame in frames(pcm)]

    async def run(self) -> dict[str, Any]:
        """Let all sessions run to their end; returns the report."""
        plan = self.plan
        self._voice = Sounds(
            [self._wire(pcm) for pcm in await from_onset(turns(plan.speech))], self._wire(room())
        )
        tell("begin")
        clock = asyncio.create_task(self._clock())
        try:
            await self._connect_all()
            steady = await self._until_open()
            gc.collect()
            gc.freeze()
            gc.disable()
            for caller in self._callers.values():
                caller.talk()
            # A turn that began before the measured stretch is not counted; the first ones follow.
            self.observed.counting = True
            began, cpu_s = time.monotonic(), _own_cpu_s()
            tell("steady", open=steady)
            while (left_s := plan.seconds - (time.monotonic() - began)) > 0:
                await asyncio.sleep(min(1.0, left_s))
                if clock.done():
                    clock.result()  # raises
                tell("progress", elapsed_s=time.monotonic() - began)
            self.observed.counting = False
            wall_s, used_s = time.monotonic() - began, _own_cpu_s() - cpu_s
            tell("over")
        finally:
            clock.cancel()
        await self._hang_up()
        return {
            **self.observed.report(),
            "open": steady,
            "wall_s": wall_s,
            "client_cpu_share": used_s / wall_s,
        }

    async def _connect_all(self) -> None:
        count = self.plan.sessions
        began = time.monotonic()
        tasks = []
        for number in range(count):
            due = began + self.plan.ramp_s * number / count
            if (wait_s := due - time.monotonic()) > 0:
                await asyncio.sleep(wait_s)
            tasks.append(asyncio.create_task(self._connect(number)))
        await asyncio.gather(*tasks)

    async def _connect(self, number: int) -> None:
        doing: Role = role(self.plan.scenario, number)
        session = f"bench-{os.getpid()}-{number}-{self.observed.calls}"
        self.observed.calls += 1
        caller = Caller(
            number,
            self._dialect.path(session),
            self._host,
            doing,
            self._dialect,
            self.plan.wishes,
            self._voice,
            self.observed,
            self._ended,
        )
        if number not in self._callers:
            self._slots[number % SLOTS].append(number)
        self._callers[number] = caller
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: caller, self._host, self._port)
        except OSError as error:
            self.observed.fault(f"no connection: {type(error).__name__}")
            caller.code = 0

    def _ended(self, caller: Caller) -> None:
        """An interview that is complete is followed by another; anything else is a fault."""
        if self._over or self._callers.get(caller.number) is not caller:
            return
        if caller.code != 1000:
            self.observed.fault(f"closed with {caller.code}")
            return
        task = asyncio.create_task(self._return(caller.number))
        self._again.add(task)
        task.add_done_callback(self._again.discard)

    async def _return(self, number: int) -> None:
        await self._connect(number)
        self._callers[number].talk()

    async def _until_open(self) -> int:
        """Wait for every session's opening; returns how many have had theirs."""
        deadline = time.monotonic() + OPENING_TIMEOUT_S
        while time.monotonic() < deadline:
            waiting = [c for c in self._callers.values() if not c.opened and c.code is None]
            if not waiting:
                break
            await asyncio.sleep(0.05)
        return sum(caller.opened for caller in self._callers.values())

    async def _clock(self) -> None:
        """Send every session's frames on one absolute schedule."""
        step_s = FRAME_S / SLOTS
        lag = self.observed.lag
        start = time.monotonic()
        tick = 0
        while True:
            due = start + tick * step_s
            now = time.monotonic()
            if now < due:
                await asyncio.sleep(due - now)
                now = time.monotonic()
            slot = self._slots[tick % SLOTS]
            if slot:
                if self.observed.counting:
                    lag.append((now - due) * 1000)
                for number in slot:
                    self._callers[number].tick(now)
                    now = time.monotonic()
            tick += 1

    async def _hang_up(self) -> None:
        self._over = True
        for caller in self._callers.values():
            caller.hang_up()
        await asyncio.sleep(min(GOODBYE_S, 0.2 + 0.01 * len(self._callers)))


def _own_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def tell(event: str, **fields: Any) -> None:
    """Print one JSON line."""
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


def main(dialects: Mapping[str, Callable[[], ServerDialect]] = DIALECTS) -> int:
    """Run what the command line says; `dialects` are those that it may name."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", required=True, help="of the server: ws://host:port")
    parser.add_argument("--dialect", choices=dialects, default="parley")
    parser.add_argument("--scenario", choices=SCENARIOS, default="conversation")
    parser.add_argument("--sessions", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=30.0, help="of the measured stretch")
    parser.add_argument("--ramp-s", type=float, default=5.0, help="in which all sessions begin")
    parser.add_argument("--speech", type=Path, required=True, help="a folder of 16 kHz clips")
    parser.add_argument("--silence-ms", type=int, default=Wishes().silence_ms)
    parser.add_argument("--barge-in-ms", type=int, default=Wishes().barge_in_ms)
    parser.add_argument("--core", type=int, help="stay on this core")
    given = parser.parse_args()
    if given.core is not None:
        os.sched_setaffinity(0, {given.core})
    plan = Plan(
        given.url,
        given.dialect,
        cast("Scenario", given.scenario),
        given.sessions,
        given.seconds,
        given.speech,
        given.ramp_s,
        Wishes(given.silence_ms, given.barge_in_ms),
    )
    tell("report", **uvloop.run(Load(plan, dialects[given.dialect]()).run()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
