"""Closes a provider's stream that the turn has left, or watches it further.

A candidate that was given up only because the turn waits no longer has not failed yet. It is
watched until it has shown that it works or has passed its own limits, so that its breaker and its
pace count the call as if the turn had waited. Its output is not used.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

from pipeline.attempt import Attempt
from pipeline.errors import StageError, StageFailed, StageTimeout
from pipeline.frames import Slot

CLOSE_S = 0.25
"""How long a stream that is left early may take to close before the session goes on without it."""

ENOUGH_S = 2.0
"""Seconds of media after which a provider that has not fallen behind counts as working."""

BEHIND_S = 1.0
"""How far a watched provider may fall behind real time until then. Assumed value."""

logger = logging.getLogger("pipeline.guard")


async def watch(
    slot: Slot,
    attempt: Attempt,
    source: AsyncIterator[Any],
    pulling: asyncio.Task[Any] | None,
    useful: Callable[[Any], bool],
    media_s: Callable[[Any], float] | None,
) -> None:
    """Take an attempt to its end, without using what comes, and settle it; then close its stream.

    `pulling` is the wait for its next item that is under way. Cancelling settles it as it stands.
    """
    loop = asyncio.get_running_loop()
    provider = attempt.candidate.provider
    try:
        while media_s is None or attempt.produced_s < ENOUGH_S:
            phase, left_s = attempt.limit(BEHIND_S)
            since = loop.time()
            if pulling is None:
                pulling = asyncio.ensure_future(_next(source))
            await asyncio.wait([pulling], timeout=max(0.0, left_s))
            attempt.waited(loop.time() - since)
            if not pulling.done():
                raise StageTimeout(slot, provider, phase)
            done, pulling = pulling, None
            attempt.take(done.result(), slot, useful, media_s)
            if media_s is None and attempt.first_s is not None:
                break
    except StopAsyncIteration:
        if attempt.first_s is None:
            attempt.fail(StageFailed(slot, provider, "empty"), loop.time(), cut_short=False)
    except StageError as error:
        attempt.fail(error, loop.time(), cut_short=False)
    except Exception as error:
        failed = StageFailed(slot, provider, "stream", f"{type(error).__name__}: {error}")
        attempt.fail(failed, loop.time(), cut_short=False)
    finally:
        attempt.end(loop.time(), given_up=False)
        attempt.candidate.watched = False
        await close(source, provider, pulling)


async def close(
    source: AsyncIterator[Any], provider: str, pulling: asyncio.Task[Any] | None = None
) -> None:
    """Close a stream, if it has `aclose`. Errors are only logged: the call has its result.

    The wait `pulling` for its next item, if one is under way, is cancelled first, and once more if
    it is not over then. `CLOSE_S` at most are spent on each of these steps.
    """
    if pulling is not None and not await _cancelled(pulling):
        logger.warning("provider %r did not end its work when it was cancelled", provider)
        return  # a stream cannot be closed while it works
    aclose = getattr(source, "aclose", None)
    if aclose is None:
        return
    try:
        async with asyncio.timeout(CLOSE_S):
            await aclose()
    except Exception as error:
        logger.warning("provider %r did not close its stream: %r", provider, error)


async def _cancelled(pulling: asyncio.Task[Any]) -> bool:
    """Cancel the wait for an item; returns whether it is over."""
    for _ in range(2):  # the second time ends what the provider does at the first
        pulling.cancel()
        await asyncio.wait([pulling], timeout=CLOSE_S)
        if pulling.done():
            if not pulling.cancelled():
                pulling.exception()  # or the loop would complain that nobody asked for it
            return True
    return False


async def _next(source: AsyncIterator[Any]) -> Any:
    return await anext(source)
