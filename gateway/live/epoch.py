"""Converts the loop's time to seconds since the epoch, for messages that contain a time."""

import asyncio
import time
from collections.abc import Callable


def epoch_clock() -> Callable[[float], float]:
    """Return a function from the running loop's time to seconds since the epoch, as of now."""
    offset_s = time.time() - asyncio.get_running_loop().time()
    return lambda now: offset_s + now
