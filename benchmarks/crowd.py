"""The crowd client: more people at once than a gateway can carry, in one process of its own.

All of them come within `--arrive-s`. Who is let in speaks until the measured stretch ends; who is
refused says nothing, and comes again after `--retry-s`, then after `--growth` times as long, and so
on. It prints the lines of `benchmarks.load`;
`steady` comes when all have tried once.

    python -m benchmarks.crowd --url ws://127.0.0.1:8000/ws --clients 600 --seconds 60
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import uvloop

from benchmarks.caller import CallEnded, CallRefused
from benchmarks.load import QUESTIONS, Load, Plan
from benchmarks.timing import Summary
from gateway.commands.bench.load import tell

ARRIVE_S = 5.0
RETRY_S = 5.0
"""What `Retry-After` says."""
GROWTH = 2.0

AT_CAPACITY = 1013
"""The close code of a session that was accepted and then refused."""


@dataclass(frozen=True, slots=True)
class CrowdPlan:
    """`clients` come within `arrive_s`; then is measured for `seconds`. Each refusal makes a client
    wait for `retry_s`, and `growth` times as long after the next one."""

    url: str
    clients: int
    seconds: float
    arrive_s: float = ARRIVE_S
    retry_s: float = RETRY_S
    growth: float = GROWTH


class Crowd(Load):
    """Runs the plan. One object, one run."""

    def __init__(self, plan: CrowdPlan, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(Plan(plan.url, sessions=plan.clients, seconds=plan.seconds), clock)
        self._crowd = plan
        self._began = 0.0
        self._admitted: dict[int, float] = {}
        """When each client was let in, in seconds after the beginning."""
        self._refusals_ms: list[float] = []

    async def run(self) -> dict[str, Any]:
        """Let all clients come and go; returns the report of the load with that of the crowd."""
        plan = self._crowd
        self._began = self._clock()
        asyncio.get_running_loop().call_later(plan.arrive_s, self._steady.set)
        report = await super().run()
        refusals = Summary.of(self._refusals_ms)
        return {
            **report,
            "clients": plan.clients,
            "admitted": len(self._admitted),
            "admitted_by_s": max(self._admitted.values(), default=None),
            "admitted_at_s": sorted(round(at - plan.arrive_s, 1) for at in self._admitted.values()),
            "refused": len(self._refusals_ms),
            "refusal": None if refusals is None else refusals.as_dict(),
        }

    async def _session(self, number: int) -> None:
        await asyncio.sleep(self._crowd.arrive_s * number / self._crowd.clients)
        interview = {"role": "Software Engineer", "totalQuestions": QUESTIONS}
        url = f"{self.plan.url}/crowd-{os.getpid()}-{number}"
        wait_s = self._crowd.retry_s
        try:
            while not self._over.is_set() and not await self._comes(number, url, interview):
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._over.wait(), wait_s)
                wait_s *= self._crowd.growth
        except CallEnded as end:
            self.tally.fault(f"closed.{end.code}")
        except OSError as error:
            self.tally.fault(f"client.no_call ({error})")

    async def _comes(self, number: int, url: str, interview: dict[str, Any]) -> bool:
        """Try once; False where the client was refused, True when its conversation is over."""
        tried = self._clock()
        try:
            await self._call(number, url, interview, self._script(number))
        except (CallRefused, CallEnded) as end:
            busy = end.status == 503 if isinstance(end, CallRefused) else end.code == AT_CAPACITY
            if number in self._admitted or not busy:
                raise
            self._refusals_ms.append((self._clock() - tried) * 1000)
            return False
        return True

    def _entered(self, number: int) -> None:
        self._admitted[number] = self._clock() - self._began


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", required=True, help="of the sessions, without the session's id")
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True, help="measure for so long")
    parser.add_argument("--arrive-s", type=float, default=ARRIVE_S)
    parser.add_argument("--retry-s", type=float, default=RETRY_S)
    parser.add_argument("--growth", type=float, default=GROWTH)
    parser.add_argument("--core", type=int, help="stay on this core")
    arguments = vars(parser.parse_args())
    core = arguments.pop("core")
    if core is not None:
        os.sched_setaffinity(0, {core})
    tell("report", **uvloop.run(Crowd(CrowdPlan(**arguments)).run()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
