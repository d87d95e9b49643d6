"""The loop's time as a time of day, for messages that name one."""

import asyncio
import time
from collections.abc import Callable


def epoch_clock() -> Callable[[float], float]:
    """Turns the running loop's time into seconds since the epoch, as of now."""
    offset_s = time.time() - asyncio.get_running_loop().time()
    return lambda now: offset_s + now
