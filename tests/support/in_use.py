"""What this process holds: descriptors, tasks, threads, peers and their parts, memory."""

import asyncio
import ctypes
import gc
import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aiortc import (
    RTCDtlsTransport,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCRtpSender,
    RTCSctpTransport,
)

from gateway.transports.webrtc import peer
from pipeline.session import Session

MOST_GROWTH_MB = 32.0
"""Of the process's memory over a hundred peers, which fill the renderer's caches and, on a busy
machine, have smaller pictures made ready. Peers that are kept are counted as objects; the curve of
`make soak` stands still.
"""

KINDS = (
    RTCPeerConnection,
    RTCDtlsTransport,
    RTCSctpTransport,
    RTCRtpReceiver,
    RTCRtpSender,
    peer.Peer,
    Session,
)


@dataclass(frozen=True)
class Use:
    """What the process holds."""

    descriptors: int
    tasks: int
    threads: int
    objects: int
    memory_mb: float

    def within(self, before: "Use") -> bool:
        return (
            self.descriptors <= before.descriptors
            and self.tasks <= before.tasks
            and self.threads <= before.threads
            and self.objects <= before.objects
            and self.memory_mb <= before.memory_mb + MOST_GROWTH_MB
        )


def in_use() -> Use:
    """Threads but for those of asyncio's pool, which stay, and tasks but for the studio's, which
    comes and goes with the machine's load; peers and their parts, as objects.
    """
    gc.collect()
    with suppress(OSError, AttributeError):  # of the GNU C library alone
        ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Use(
        len(os.listdir("/proc/self/fd")),
        sum("Studio" not in repr(task.get_coro()) for task in asyncio.all_tasks()),
        sum(not thread.name.startswith("asyncio_") for thread in threading.enumerate()),
        sum(isinstance(thing, KINDS) for thing in gc.get_objects()),
        pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
    )
