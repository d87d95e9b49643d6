"""The end of a conversation that lasts too long."""

import asyncio
import math
from collections.abc import Callable

from pipeline.decisions import Event, TimeUp
from pipeline.stage import Host

OVERTIME_S = 60.0
"""How long the person may still answer the current question when the time is up."""


def time_limits(
    longest_s: float, host: Host, handle: Callable[[Event], None]
) -> tuple[asyncio.TimerHandle, ...]:
    """Start the timers of a conversation that begins now; its owner cancels them at its end.

    After `longest_s` `host.time_is_up` is called; `OVERTIME_S` later `handle` gets `TimeUp`. Where
    `longest_s` is infinite there are no timers.
    """
    if longest_s == math.inf:
        return ()
    loop = asyncio.get_running_loop()
    return (
        loop.call_later(longest_s, host.time_is_up),
        loop.call_later(longest_s + OVERTIME_S, handle, TimeUp()),
    )
