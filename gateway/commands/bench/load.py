"""The load generator: many paced sessions in one process of its own.

It prints JSON lines: `begin` before the first connection, `steady` when every session is there and
the opening is over, `progress` every second, `over` when the measured stretch ends, and `report`
last, when the turns that were spoken in it have had their replies. Their reader can sample the
server's CPU in between. The report says how busy and how late the generator itself was.

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
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, cast
from urllib.parse import urlsplit

import uvloop

from gateway.commands.bench.caller import REFUSED, REPLY_TIMEOUT_S, Caller, Sounds
from gateway.commands.bench.dialect import ParleyDialect, ServerDialect, Wishes
from gateway.commands.bench.observed import Observed
from gateway.commands.bench.scenario import SCENARIOS, Role, Scenario, role
from gateway.commands.bench.sounds import frames, from_onset, room, turns
from gateway.commands.bench.wire import masked
from gateway.commands.terminal import INTERRUPTED
from pipeline.frames import Samples

FRAME_S = 0.020
SLOTS = 20
"""The sessions are spread over this many moments of each 20 ms."""

OPENING_TIMEOUT_S = 60.0
"""Within this after the last connection every session must have had its opening."""

CONNECT_TIMEOUT_S = 10.0

GOODBYE_S = 2.0
"""How long the connections may take to close."""

FINISHED = 1000
"""The close code after an interview that is complete."""

Connect: TypeAlias = Callable[[Caller, str, int], Awaitable[object]]
"""Connects a caller to a host and a port. Raises `OSError`."""

DIALECTS: Mapping[str, Callable[[], ServerDialect]] = {"parley": ParleyDialect}


@dataclass(frozen=True, slots=True)
class Plan:
    """A load run: a number of sessions, begun within `ramp_s`, measured for `seconds` once all are
    there. `speech` is a folder of clips."""

    url: str
    dialect: str
    scenario: Scenario
    sessions: int
    seconds: float
    speech: Path
    ramp_s: float = 5.0
    wishes: Wishes = field(default_factory=Wishes)


async def tcp(caller: Caller, host: str, port: int) -> object:
    """Connect over TCP."""
    return await asyncio.get_running_loop().create_connection(lambda: caller, host, port)


class Load:
    """Runs a plan. One object, one run; every task of it ends with `run`.

    `clock` gives seconds, as `time.monotonic` does; `sounds` replaces the clips of the plan.
    """

    def __init__(
        self,
        plan: Plan,
        dialect: ServerDialect,
        *,
        connect: Connect = tcp,
        clock: Callable[[], float] = time.monotonic,
        sounds: Sounds | None = None,
    ) -> None:
        self.plan = plan
        self.observed = Observed()
        parts = urlsplit(plan.url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._dialect = dialect
        self._connect_to = connect
        self._now = clock
        self._sounds = sounds
        self._callers: dict[int, Caller] = {}
        self._slots: list[list[int]] = [[] for _ in range(SLOTS)]
        self._changed = asyncio.Event()  # one of the callers has changed
        self._gone: set[int] = set()  # sessions that do not come back
        self._over = False

    def _wire(self, pcm: Samples) -> list[bytes]:
        return [masked(*self._dialect.speech(frame)) for frame in frames(pcm)]

    async def run(self) -> dict[str, Any]:
        """Let all sessions run to their end; returns the report."""
        if self._sounds is None:
            spoken = await from_onset(turns(self.plan.speech))
            self._sounds = Sounds([self._wire(pcm) for pcm in spoken], self._wire(room()))
        tell("begin")
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            clock = tasks.create_task(self._clock())
            report = await self._measured()
            clock.cancel()
            await self._hang_up()
        return report

    async def _measured(self) -> dict[str, Any]:
        """The measured stretch, from the first connection to the last reply."""
        plan = self.plan
        await self._connect_all()
        steady = await self._opened()
        gc.collect()
        gc.freeze()
        gc.disable()
        for caller in self._callers.values():
            caller.talk()
        # A turn that began before the measured stretch is not counted; the first ones follow.
        self.observed.counting = True
        began, cpu_s, gone = self._now(), own_cpu_s(), len(self._gone)
        tell("steady", open=steady)
        ends = began + plan.seconds
        while (now := self._now()) < ends:
            await asyncio.sleep(min(1.0, ends - now))
            tell("progress", elapsed_s=self._now() - began)
        self.observed.counting = False
        wall_s, used_s = self._now() - began, own_cpu_s() - cpu_s
        lost = len(self._gone) - gone
        tell("over")
        await self._answered()
        return {
            **self.observed.report(),
            "open": steady,
            "lost": lost,
            "wall_s": wall_s,
            "client_cpu_share": used_s / wall_s,
        }

    async def _connect_all(self) -> None:
        count = self.plan.sessions
        began = self._now()
        async with asyncio.TaskGroup() as connecting:
            for number in range(count):
                due = began + self.plan.ramp_s * number / count
                if (wait_s := due - self._now()) > 0:
                    await asyncio.sleep(wait_s)
                connecting.create_task(self._connect(number))

    async def _connect(self, number: int) -> None:
        assert self._sounds is not None
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
            self._sounds,
            self.observed,
            self._on_change,
            self._now,
        )
        if number not in self._callers:
            self._slots[number % SLOTS].append(number)
        self._callers[number] = caller
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._connect_to(caller, self._host, self._port)
        except OSError as error:  # among them the timeout
            self.observed.fault(f"no connection: {type(error).__name__}")
            caller.code = REFUSED
            self._on_change(caller)

    def _on_change(self, caller: Caller) -> None:
        """An interview that is complete is followed by another; any other end is a fault."""
        self._changed.set()
        if caller.code is None or self._over or self._callers.get(caller.number) is not caller:
            return
        if caller.code == FINISHED and caller.opened:
            self._tasks.create_task(self._return(caller.number))
            return
        self._gone.add(caller.number)
        if caller.code != REFUSED:
            self.observed.fault(f"closed with {caller.code}")

    async def _return(self, number: int) -> None:
        await self._connect(number)
        caller = self._callers[number]
        if self._over:
            caller.hang_up()
        else:
            caller.talk()

    async def _until(self, condition: Callable[[], bool], timeout_s: float) -> None:
        """Wait until the condition holds, at most for that time."""
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pass

    async def _opened(self) -> int:
        """Wait for the opening of every session, and return the number of openings that came."""
        callers = self._callers.values()
        await self._until(
            lambda: all(caller.opened or caller.code is not None for caller in callers),
            OPENING_TIMEOUT_S,
        )
        return sum(caller.opened for caller in callers)

    async def _answered(self) -> None:
        """Wait for the replies to the turns of the measured stretch, or until they are missed."""
        await self._until(
            lambda: not any(caller.awaits for caller in self._callers.values()),
            self.plan.wishes.silence_ms / 1000 + REPLY_TIMEOUT_S + 1.0,
        )

    async def _clock(self) -> None:
        """Send every session's frames on one absolute schedule."""
        step_s = FRAME_S / SLOTS
        lag = self.observed.lag
        start = self._now()
        tick = 0
        while True:
            due = start + tick * step_s
            # Late or not, the loop has to get to what the sockets have received.
            await asyncio.sleep(max(0.0, due - self._now()))
            now = self._now()
            slot = self._slots[tick % SLOTS]
            if slot:
                if self.observed.counting:
                    lag.append((now - due) * 1000)
                for number in slot:
                    self._callers[number].tick(now)
                    now = self._now()
            tick += 1

    async def _hang_up(self) -> None:
        self._over = True
        for caller in self._callers.values():
            caller.hang_up()
        callers = self._callers.values()
        await self._until(lambda: all(caller.code is not None for caller in callers), GOODBYE_S)


def own_cpu_s() -> float:
    """CPU seconds of this process so far."""
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
    try:
        report = uvloop.run(Load(plan, dialects[given.dialect]()).run())
    except KeyboardInterrupt:  # the process that reads the lines is interrupted, too, and says so
        return INTERRUPTED
    tell("report", **report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
