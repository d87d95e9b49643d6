"""Rules that hold for all slots, and rules for the streams that three of them give."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from pipeline.errors import PipelineError
from pipeline.playout import LEAD_MS
from pipeline.testing import Uncancelled, cancel_at
from stages.testing._trial import Broke, Trial
from stages.third_party import describe

HELD_MS = LEAD_MS
"""Reply audio is sent this far ahead: if the loop is held longer, every session hears a gap."""

MOST_AWAITS = 40
"""A usual call is cancelled at this many of its awaits, from the first."""

TOGETHER = 3


# --- shape -----------------------------------------------------------------------------------


def shape(trial: Trial, thing: Any, what: str, methods: dict[str, int]) -> None:
    """Report methods that are missing or do not take this number of positional arguments."""
    for name, count in methods.items():
        method = getattr(thing, name, None)
        if method is None:
            trial.saw(f"{what} has no `{name}`")
        elif not callable(method):
            trial.saw(f"`{name}` of {what} is no method but {method!r}")
        elif not takes(method, count):
            wanted = "1 argument" if count == 1 else f"{count} arguments"
            trial.saw(f"`{name}` of {what} does not take {wanted}: {inspect.signature(method)}")


def shape_of_stage(trial: Trial, methods: dict[str, int]) -> None:
    """The same for a stage, with the attributes that all stages have."""
    what = f"the {type(trial.stage).__name__}"
    provider = getattr(trial.stage, "provider", None)
    if not isinstance(provider, str) or not provider:
        trial.saw(f"`provider` of {what} is no name but {provider!r}")
    shape(trial, trial.stage, what, {**methods, "aclose": 0})
    for name in ("aclose", "start", "probe"):
        method = getattr(trial.stage, name, None)
        if callable(method) and not inspect.iscoroutinefunction(method):
            trial.saw(f"`{name}` of {what} is not `async def`")


def shape_of_stream(trial: Trial, thing: Any, name: str) -> None:
    """Report a method that gives a coroutine instead of an async iterator."""
    if inspect.iscoroutinefunction(getattr(thing, name, None)):
        trial.saw(
            f"`{name}` gives a coroutine: an `async def` without `yield` is no async iterator"
        )


def takes(method: Callable[..., Any], count: int) -> bool:
    """Whether a method can be called with this number of positional arguments."""
    try:
        inspect.signature(method).bind(*range(count))
    except TypeError:
        return False
    except ValueError:  # written in C, without a signature
        return True
    return True


# --- streams ---------------------------------------------------------------------------------


async def keeps_calls_apart(trial: Trial) -> None:
    """Sessions share the stage: calls under way at the same time do not mix, and everything that a
    call gives belongs to its own turn."""
    turns = range(11, 11 + TOGETHER)
    for turn, items in zip(turns, await asyncio.gather(*map(trial.used, turns)), strict=True):
        if strangers := {item.turn for item in items} - {turn}:
            trial.saw(f"{TOGETHER} calls at once: turn {turn} got something of turn {strangers}")


async def may_be_left_early(trial: Trial) -> None:
    """A stream may be closed after its first item, by another task too: nothing of it goes on, and
    the stage serves the next call."""
    await trial.used()
    tasks = {*asyncio.all_tasks()}
    stream = trial.begin(lambda: trial.use(2), "a usual call")
    await trial.within(anext(stream), "the first item")
    if (aclose := getattr(stream, "aclose", None)) is not None:
        await trial.within(aclose(), "closing the stream after its first item")
    await trial.gone(tasks, "after the stream was left")
    await trial.used(3)


async def may_be_cancelled_at_any_await(trial: Trial) -> None:
    """A call may be cancelled at any await: it ends by that, no task of it is left, and the stage
    serves the next call."""
    await trial.used()

    for nth in range(1, MOST_AWAITS + 1):
        tasks = {*asyncio.all_tasks()}
        what = f"cancelled at its await no. {nth}"
        try:
            if not await trial.within(
                cancel_at(nth, trial.take(lambda: trial.use(2), what, [])), what
            ):
                break
        except Uncancelled as error:
            raise Broke(str(error)) from error
        await trial.gone(tasks, what)
    await trial.used(3)


async def never_blocks_the_event_loop(trial: Trial) -> None:
    """The event loop serves all sessions: work that takes longer than a few milliseconds belongs in
    a thread or a process."""
    # Two runs: a single hold may be the machine's, or the loading of a library.
    held_s = min([await trial.longest_hold_s(trial.used(turn)) for turn in (1, 2)])
    report_hold(trial, held_s)


def report_hold(trial: Trial, held_s: float) -> None:
    """Report a time that is too long."""
    if held_s * 1000 > HELD_MS:
        trial.saw(
            f"a usual call held it for {held_s * 1000:.0f} ms at a time; {HELD_MS} are let pass"
        )


async def says_whether_it_would_answer(trial: Trial) -> None:
    """`probe`, where there is one, gives None or a sentence, and raises nothing."""
    probe = getattr(trial.stage, "probe", None)
    if probe is None:
        return
    said = await trial.within(probe(), "probe")
    if said is not None and not (isinstance(said, str) and said.strip()):
        trial.saw(f"`probe` gave {said!r}")


async def ends_with_aclose(trial: Trial) -> None:
    """`aclose` ends what is under way and may be called again; nothing is left running."""
    stage = trial.stage
    calls = ("a call that was under way", "a call after `aclose`")
    first, second = (trial.take(lambda: trial.use(1), what, []) for what in calls)
    under_way = asyncio.create_task(first)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    try:
        for call in ("aclose", "aclose, again"):
            await raises_nothing(trial, stage.aclose(), call)
        await _ends(trial, under_way, calls[0])
        await _ends(trial, second, calls[1])
        await raises_nothing(trial, stage.aclose(), "aclose, at last")
    finally:
        second.close()
        under_way.cancel()
        await asyncio.wait((under_way,), timeout=trial.patience_s)
    await trial.nothing_left()


async def raises_nothing(trial: Trial, work: Any, what: str) -> None:
    try:
        await trial.within(work, what)
    except Broke:
        raise
    except Exception as error:
        trial.saw(f"{what}: {describe(error)} was raised")


async def _ends(trial: Trial, work: Any, what: str) -> None:
    """Await `work`, which may fail, but only with a `PipelineError`."""
    try:
        await trial.within(work, what)
    except PipelineError:
        return
    except Broke:
        raise
    except Exception as error:
        trial.saw(f"{what}: {describe(error)} was raised, no PipelineError")
