"""Checks rules on a provider and reports the broken ones.

A rule is a coroutine function whose docstring is the contract's text. It gets a `Trial`, uses the
stage, and reports faults with `saw` or `Broke`. The rules of one provider share a stage, as
sessions do; after a broken rule the next rule gets a new stage, so that one fault is not reported
twice.
"""

import asyncio
import contextlib
import inspect
import os
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from pipeline.errors import PipelineError, StageError
from pipeline.frames import Slot
from stages.third_party import describe

T = TypeVar("T")

MOST_ITEMS = 10_000
"""A stream with more items counts as endless."""

MOST_SEEN = 5
"""Faults reported per rule; the rest are counted."""

GRACE_S = 5.0
"""How long tasks, threads and processes may take to end once they were asked to."""

STEP_S = 0.01
UNWIND_S = 1.0

_HELPERS = (b"multiprocessing.resource_tracker", b"multiprocessing.forkserver")
"""Helper processes that `multiprocessing` keeps until the interpreter ends."""


@dataclass(frozen=True, slots=True)
class Broken:
    """One broken rule: its name, the contract's text, and the observed faults."""

    rule: str
    contract: str
    seen: tuple[str, ...]


class NotConforming(AssertionError):
    """A provider breaks rules of its slot. The text lists them all."""

    def __init__(self, slot: Slot, name: str, broken: tuple[Broken, ...]) -> None:
        super().__init__(slot, name, broken)
        self.slot = slot
        self.name = name
        self.broken = broken

    def __str__(self) -> str:
        count = "a rule" if len(self.broken) == 1 else f"{len(self.broken)} rules"
        lines = [f"{self.name} breaks {count} for {self.slot} providers"]
        for one in self.broken:
            lines += ["", f"{one.rule}: {one.contract}", *(f"  - {seen}" for seen in one.seen)]
        return "\n".join(lines)


class Broke(Exception):
    """Ends a rule with a fault after which it cannot go on."""


@dataclass(frozen=True, slots=True)
class Result:
    """The items of a stream, and the error that ended it, if any."""

    items: list[Any] = field(default_factory=list)
    error: StageError | None = None


Begin: TypeAlias = Callable[[], AsyncIterator[Any]]
Use: TypeAlias = Callable[[Any, int], AsyncIterator[Any]]
Rule: TypeAlias = Callable[["Trial"], Awaitable[None]]


class Trial:
    """One provider under test: its stage, and ways to use it that cannot hang.

    `use` is the slot's usual call: from the stage and a turn it makes a stream.
    """

    def __init__(
        self, slot: Slot, build: Callable[[], Any], patience_s: float, use: Use | None = None
    ) -> None:
        self.slot = slot
        self.patience_s = patience_s
        self.stage: Any = None
        self.name = getattr(build, "__qualname__", repr(build))
        self._build = build
        self._use = use
        self._seen: list[str] = []
        self._before = _Running.now()

    def saw(self, what: str) -> None:
        """Record a fault."""
        self._seen.append(what)

    async def put(self, rule: Rule) -> tuple[str, ...]:
        """Check a rule on the stage; returns the faults."""
        self._seen = []
        try:
            if self.stage is None:
                await self._set_up()
            await rule(self)
        except Broke as broke:
            self.saw(str(broke))
        except PipelineError as error:
            self.saw(f"{describe(error)} was raised where nothing should go wrong")
        except Exception as error:
            self.saw(f"{describe(error)} was raised")
        more = len(self._seen) - MOST_SEEN
        return (*self._seen[:MOST_SEEN], *([f"and {more} more"] if more > 0 else []))

    async def give_back(self) -> None:
        """Close the stage, without a report of errors. The next rule gets a new one."""
        stage, self.stage = self.stage, None
        with contextlib.suppress(Exception):
            await self.within(stage.aclose(), "aclose")

    async def within(self, work: Awaitable[T], what: str) -> T:
        """The result of `work`, which may take `patience_s`. Raises as it does, or `Broke`."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait((task,), timeout=self.patience_s)
            if not task.done():
                task.cancel()
                await asyncio.wait((task,), timeout=UNWIND_S)
                stuck = "" if task.done() else ", nor when it was cancelled"
                raise Broke(f"{what}: it did not end within {self.patience_s:g} s{stuck}")
            if task.cancelled():
                raise Broke(f"{what}: CancelledError was raised, though nobody had cancelled it")
            return task.result()
        finally:
            task.cancel()

    async def items(self, begin: Begin, what: str) -> Result:
        """All items of a stream. An error of the wrong kind, or no end, is `Broke`."""
        items: list[Any] = []
        try:
            await self.within(self.take(begin, what, items), what)
        except StageError as error:
            self._check(error, what)
            return Result(items, error)
        except Broke:
            raise
        except Exception as error:
            raise Broke(f"{what}: {describe(error)} was raised, no StageError") from error
        return Result(items)

    async def take(self, begin: Begin, what: str, items: list[Any]) -> None:
        """Run a stream to its end and append to `items`. Raises as the stream does."""
        async for item in self.begin(begin, what):
            items.append(item)
            if len(items) > MOST_ITEMS:
                raise Broke(f"{what}: it did not end after {MOST_ITEMS} items")

    async def used(self, turn: int = 1) -> list[Any]:
        """The items of the usual call, which must work: an error is `Broke`."""
        result = await self.items(lambda: self.use(turn), "a usual call")
        if result.error is not None:
            raise Broke(f"a usual call: {describe(result.error)} was raised")
        return result.items

    def use(self, turn: int) -> AsyncIterator[Any]:
        """The slot's usual call."""
        assert self._use is not None
        return self._use(self.stage, turn)

    def begin(self, begin: Begin, what: str) -> AsyncIterator[Any]:
        """The stream from `begin`. `Broke` if it is not an async iterator."""
        stream: Any = begin()
        if inspect.iscoroutine(stream):
            stream.close()
        if not hasattr(stream, "__aiter__") or not hasattr(stream, "__anext__"):
            raise Broke(f"{what}: it gave a {type(stream).__name__}, which is no async iterator")
        return stream  # type: ignore[no-any-return]

    async def gone(self, tasks: set[asyncio.Task[Any]], what: str) -> None:
        """Report tasks, other than these, that do not end."""
        await self._wait_for_none(lambda: _Running.tasks() - tasks)
        for task in _Running.tasks() - tasks:
            self.saw(f"{what}: the task {task.get_name()!r} is left ({task.get_coro()!r})")

    async def nothing_left(self) -> None:
        """Report tasks, threads and processes that did not run before the stage was built."""
        await self._wait_for_none(lambda: _Running.now().since(self._before))
        for what in _Running.now().since(self._before):
            self.saw(f"{what} is left")

    async def longest_hold_s(self, work: Coroutine[Any, Any, Any]) -> float:
        """The longest time for which the loop ran nothing else while `work` was done."""
        longest = 0.0
        since = time.perf_counter()

        async def beat() -> None:
            nonlocal longest, since
            while True:
                await asyncio.sleep(STEP_S)
                now = time.perf_counter()
                longest = max(longest, now - since - STEP_S)
                since = now

        beating = asyncio.create_task(beat())
        await asyncio.sleep(0)
        try:
            await work
        finally:
            beating.cancel()
        return max(longest, time.perf_counter() - since - STEP_S)

    async def _set_up(self) -> None:
        self._before = _Running.now()
        self.stage = self._build()
        self.name = f"{type(self.stage).__module__}.{type(self.stage).__qualname__}"
        start = getattr(self.stage, "start", None)
        if start is not None:
            await self.within(start(), "start")

    async def _wait_for_none(self, left: Callable[[], Any]) -> None:
        for _ in range(round(GRACE_S / STEP_S)):
            if not left():
                return
            await asyncio.sleep(STEP_S)

    def _check(self, error: StageError, what: str) -> None:
        named, own = (error.stage, error.provider), (self.slot, self.stage.provider)
        if named != own:
            self.saw(f"{what}: the error names {named}, and should name {own}")


async def judge(trial: Trial, rules: Sequence[Rule]) -> tuple[Broken, ...]:
    """Check all rules. The first is about the shape: if it is broken, the others are skipped."""
    broken: list[Broken] = []
    for rule in rules:
        if seen := await trial.put(rule):
            broken.append(Broken(_name(rule), " ".join((rule.__doc__ or "").split()), seen))
            if rule is rules[0]:
                break
            await trial.give_back()
    if trial.stage is not None:
        await trial.give_back()
    return tuple(broken)


def _name(rule: Any) -> str:
    name: str = rule.__name__
    return name.replace("_", " ")


@dataclass(frozen=True, slots=True)
class _Running:
    """The tasks of the loop, threads and child processes of this process."""

    tasks_now: frozenset[asyncio.Task[Any]]
    threads: frozenset[threading.Thread]
    processes: frozenset[int]

    @staticmethod
    def tasks() -> set[asyncio.Task[Any]]:
        return {task for task in asyncio.all_tasks() if not task.done()}

    @classmethod
    def now(cls) -> "_Running":
        return cls(frozenset(cls.tasks()), frozenset(threading.enumerate()), _children())

    def since(self, before: "_Running") -> list[str]:
        """The additions since `before`. Threads of the loop's own executor end with the loop."""
        threads = (
            thread.name
            for thread in self.threads - before.threads
            if not thread.name.startswith("asyncio_")
        )
        return [
            *(f"the task {task.get_name()!r}" for task in self.tasks_now - before.tasks_now),
            *(f"the thread {name!r}" for name in threads),
            *(f"the process {pid}" for pid in self.processes - before.processes),
        ]


def _children() -> frozenset[int]:
    """This process's children; empty without /proc, so that only tasks and threads count."""
    pids: set[int] = set()
    for thread in Path(f"/proc/{os.getpid()}/task").glob("*"):
        try:
            pids.update(map(int, (thread / "children").read_text().split()))
        except OSError:  # the thread has ended meanwhile
            continue
    return frozenset(pid for pid in pids if not _is_helper(pid))


def _is_helper(pid: int) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True
    return any(helper in command for helper in _HELPERS)
