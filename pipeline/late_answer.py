"""Waits for the words of an answer, beyond the turn's limit if the recogniser is late.

A recogniser that is slow has not failed: the turn waits for its text up to a second limit
(`pipeline.answer.LATE_FACTOR`), and the person hears holding lines.
"""

import asyncio
from collections.abc import Awaitable, Callable

from pipeline.answer import Answer
from pipeline.frames import Transcript


async def recognised(
    answer: Answer,
    on_partial: Callable[[Transcript], None],
    decided: asyncio.Event,
    hold: Callable[[int], Awaitable[None]] | None = None,
) -> Transcript:
    """The transcript of an answer, as `Answer.recognise` gives it.

    If it is late at the turn's limit, which counts from the time when the turn is `decided`, `hold`
    is called to say a line, and again after every hard limit. Its argument is how often it was
    called before. Raises what `Answer.recognise` and `hold` raise. Cancelling stops the
    recognition, unless the answer `goes_on`.
    """
    loop = asyncio.get_running_loop()
    work = answer.recognising(on_partial)
    try:
        await _either(work, decided)
        limit_s = answer.budget.allow("stt", loop.time())
        times = 0
        while hold is not None and not (await asyncio.wait((work,), timeout=limit_s))[0]:
            await hold(times)
            times += 1
            limit_s = answer.budget.hard_s
        await asyncio.wait((work,))  # to await the work itself would cancel it with this
        return await work
    finally:
        if not answer.goes_on:
            await answer.give_up()


async def _either(work: asyncio.Task[Transcript], decided: asyncio.Event) -> None:
    """Return when the work is done, or the turn is decided."""
    if decided.is_set():
        return
    waiting = asyncio.create_task(decided.wait())
    try:
        await asyncio.wait((work, waiting), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
