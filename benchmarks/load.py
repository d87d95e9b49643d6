"""The load client: many paced sessions in one process of its own.

It prints JSON lines: `steady` when every session has heard its opening question, `progress` every
second, `over` when the measured stretch ends, and `report` last. Their reader can sample the
server's CPU at `steady` and `over`. A report says how busy and how late the client itself was.

    python -m benchmarks.load --url ws://127.0.0.1:8000/ws --sessions 10 --seconds 20
"""

import argparse
import asyncio
import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal, TypeAlias

import uvloop

from benchmarks.caller import SILENCE, SILENCE_MS, CallEnded, Caller, Turn, call
from benchmarks.speech import FRAME_MS, frames, turns
from benchmarks.tally import Tally
from benchmarks.timing import percentile
from gateway.commands.bench.load import own_cpu_s, tell

REPLY_TIMEOUT_S = 15.0
REPLY_LIMIT_S = 60.0
"""No reply is longer."""
BARGE_IN_AFTER_S = 0.3
"""How much of a reply is listened to before it is interrupted."""
PAUSE_S = 0.2
"""Between the end of a reply and the next answer."""
RAMP_S = 5.0
"""All sessions start within this time."""
QUESTIONS = 15
"""The longest interview that the gateway offers; a session that needs more turns begins another."""
LAG_LIMIT_MS = 20.0
CPU_LIMIT = 0.9


Turns: TypeAlias = Iterator[tuple[list[bytes], bool]]
"""Speech to play as one turn each, and whether its reply is to be interrupted."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of all sessions. Each makes `turns` turns, or goes on for `seconds` after `steady`.

    With `hush` a message stops each reply as soon as it is heard, to save time. With
    `together` the sessions wait for one another before each answer, and "begin" or "end" it at the
    same moment.
    """

    url: str
    sessions: int = 1
    turns: int | None = None
    seconds: float | None = None
    longest_ms: int | None = None
    barge_in_every: int = 0
    hush: bool = False
    silence_ms: int = SILENCE_MS
    shortest_ms: int = 0
    """Answers that are shorter are left out: see `benchmarks.speech.turns`."""
    questions: int = QUESTIONS
    together: Literal["begin", "end"] | None = None


class Load:
    """Runs a plan. One object, one run. `clock` gives seconds, as `time.monotonic` does."""

    def __init__(self, plan: Plan, clock: Callable[[], float] = time.monotonic) -> None:
        self.plan = plan
        self._clock = clock
        self.tally = Tally()
        spoken = turns(plan.longest_ms, plan.shortest_ms)
        self._turns = [list(frames(pcm)) for pcm in spoken]
        self._longest = max(len(speech) for speech in self._turns)
        self._all_ready = asyncio.Barrier(plan.sessions)
        self._opened: set[int] = set()
        self._steady = asyncio.Event()
        self._over = asyncio.Event()
        self._cpu_s = 0.0
        self._wall_s = 0.0

    async def run(self) -> dict[str, Any]:
        """Let all sessions run to their end; returns the report."""
        async with asyncio.TaskGroup() as tasks:
            watch = tasks.create_task(self._watch())
            await asyncio.wait(
                [tasks.create_task(self._session(n)) for n in range(self.plan.sessions)]
            )
            self._steady.set()
            self._over.set()
            await watch
        lag_p99 = percentile(self.tally.lag, 0.99) if self.tally.lag else float("inf")
        share = self._cpu_s / self._wall_s if self._wall_s else 0.0
        distrust = []
        if lag_p99 > LAG_LIMIT_MS:
            distrust.append(f"the load client ran {lag_p99:.0f} ms late (p99)")
        if share > CPU_LIMIT:
            distrust.append(f"the load client used {share:.0%} of its core")
        return {
            **self.tally.as_dict(),
            "client_cpu_share": share,
            "wall_s": self._wall_s,
            "distrust": distrust,
        }

    async def _watch(self) -> None:
        """Print the lines that mark the measured stretch, and the progress."""
        await self._steady.wait()
        gc.collect()
        gc.freeze()
        start, start_cpu = self._clock(), own_cpu_s()
        tell("steady")
        while not self._over.is_set():
            left_s = 1.0
            if self.plan.seconds is not None:
                left_s = min(left_s, self.plan.seconds - (self._clock() - start))
            if left_s <= 0:
                self._over.set()
                break
            try:
                await asyncio.wait_for(self._over.wait(), left_s)
            except TimeoutError:
                elapsed_s = self._clock() - start
                tell("progress", answered=self.tally.answered, elapsed_s=elapsed_s)
        self._wall_s = self._clock() - start
        self._cpu_s = own_cpu_s() - start_cpu
        tell("over")

    # --- one session -------------------------------------------------------------------------

    async def _session(self, number: int) -> None:
        await asyncio.sleep(RAMP_S * number / self.plan.sessions)
        turns = self._script(number)
        interview = {"role": "Software Engineer", "totalQuestions": self.plan.questions}
        try:
            for attempt in count():
                url = f"{self.plan.url}/bench-{os.getpid()}-{number}-{attempt}"
                if not await self._call(number, url, interview, turns):
                    return
        except CallEnded as end:
            self.tally.fault(f"closed.{end.code}")
        except OSError as error:
            self.tally.fault(f"client.no_call ({error})")
        finally:
            self._opened_by(number)
            await self._all_ready.abort()  # the others do not wait for this session any more

    async def _call(self, number: int, url: str, interview: dict[str, Any], turns: Turns) -> bool:
        """One interview; True when it was over before the turns were."""
        spoken_before = self.tally.spoken
        try:
            async with call(url, self.plan.silence_ms, interview=interview) as caller:
                self._entered(number)
                try:
                    await self._opening(caller)
                    self._opened_by(number)
                    return await self._converse(caller, turns)
                finally:
                    self.tally.add(caller)
        except CallEnded as end:
            if end.code != 1000 or self.tally.spoken == spoken_before:
                raise
            return True

    def _entered(self, number: int) -> None:
        """A session was let in."""

    def _opened_by(self, number: int) -> None:
        """Count a session that has begun or failed."""
        self._opened.add(number)
        if len(self._opened) == self.plan.sessions:
            self._steady.set()

    def _script(self, number: int) -> Turns:
        """The turns of a session, until there are enough or time is up."""
        every = self.plan.barge_in_every
        for k in count():
            if self.plan.turns is not None and k >= self.plan.turns:
                return
            if self._over.is_set():
                return
            yield self._turns[(number + k) % len(self._turns)], bool(every) and (k + 1) % every == 0

    async def _opening(self, caller: Caller) -> None:
        def asked() -> bool:
            return 0 in caller.turns and caller.turns[0].done_at is not None

        if self.plan.hush and await caller.until(lambda: caller.newest == 0, REPLY_LIMIT_S):
            await self._hush(caller, caller.turns[0])
        if not await caller.until(asked, REPLY_LIMIT_S):
            self.tally.fault("client.no_opening")

    async def _converse(self, caller: Caller, turns: Turns) -> bool:
        """Speak the turns; True when the interview was over before they were."""
        old: Turn | None = None  # the turn whose reply is being interrupted
        for speech, interrupt in turns:
            if self.plan.together:
                await self._wait_for_others()
            before = caller.newest
            if self.plan.together == "end":
                speech = [*[SILENCE] * (self._longest - len(speech)), *speech]
            first = caller.say(speech)
            self.tally.spoken += 1
            timeout_s = len(speech) * FRAME_MS / 1000 + REPLY_TIMEOUT_S
            turn = await self._reply(caller, before, timeout_s)
            if turn is None:
                self.tally.fault("client.no_reply")
                continue
            self.tally.answered += 1
            if old is not None:
                self._interrupted(caller, old, first)
            old = turn if interrupt else None
            if interrupt:
                await asyncio.sleep(BARGE_IN_AFTER_S)
            else:
                await self._hear_out(caller, turn)
            if caller.interview.get("isComplete"):
                return True
        return False

    async def _wait_for_others(self) -> None:
        """Wait until every session is about to speak, or one has ended."""
        try:
            async with asyncio.timeout(REPLY_LIMIT_S):
                await self._all_ready.wait()
        except (asyncio.BrokenBarrierError, TimeoutError):
            self.tally.fault("client.alone")

    async def _reply(self, caller: Caller, before: int, timeout_s: float) -> Turn | None:
        """The first turn after `before` whose reply can be heard."""

        def replied() -> bool:
            return caller.newest > before and bool(caller.turns[caller.newest].arrivals)

        return caller.turns[caller.newest] if await caller.until(replied, timeout_s) else None

    async def _hush(self, caller: Caller, turn: Turn) -> None:
        """Stop the reply when it has been heard for a moment."""
        await caller.until(lambda: bool(turn.arrivals), REPLY_TIMEOUT_S)
        await asyncio.sleep(BARGE_IN_AFTER_S)
        await caller.send({"type": "interrupt"})

    async def _hear_out(self, caller: Caller, turn: Turn) -> None:
        if self.plan.hush:
            await self._hush(caller, turn)
        if not await caller.until(lambda: turn.done_at is not None, REPLY_LIMIT_S):
            self.tally.fault("client.reply_without_end")
        await asyncio.sleep(PAUSE_S)

    def _interrupted(self, caller: Caller, old: Turn, first_frame: int) -> None:
        """Record the interruption of the old reply, from input frame `first_frame` on."""
        if old.clear_at is None:
            self.tally.fault("client.not_interrupted")
            return
        self.tally.barge_ins += 1
        if old.last_at is not None:
            began = caller.sent_at[first_frame]
            self.tally.speech_to_last.append((old.last_at - began) * 1000)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", required=True, help="of the sessions, without the session's id")
    parser.add_argument("--sessions", type=int, default=1)
    parser.add_argument("--turns", type=int, help="a session ends after so many turns")
    parser.add_argument("--seconds", type=float, help="measure so long after the last start")
    parser.add_argument("--longest-ms", type=int, help="cut what is spoken after so much")
    parser.add_argument("--barge-in-every", type=int, default=0, help="interrupt every n-th reply")
    parser.add_argument("--hush", action="store_true", help="stop each reply when it is heard")
    parser.add_argument(
        "--silence-ms", type=int, default=SILENCE_MS, help="that ends a turn, as asked for"
    )
    parser.add_argument("--shortest-ms", type=int, default=0, help="leave shorter answers out")
    parser.add_argument(
        "--together", choices=("begin", "end"), help="all sessions do so with each answer"
    )
    parser.add_argument("--questions", type=int, default=QUESTIONS, help="of each interview")
    parser.add_argument("--core", type=int, help="stay on this core")
    arguments = vars(parser.parse_args())
    core = arguments.pop("core")
    if core is not None:
        os.sched_setaffinity(0, {core})
    plan = Plan(**arguments)
    if plan.turns is None and plan.seconds is None:
        parser.error("give --turns or --seconds")
    tell("report", **uvloop.run(Load(plan).run()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
