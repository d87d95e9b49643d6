"""A worker in a process of its own, with a stage for tests.

`python -m tests.support.remote_worker SLOT PLACES` listens at a free port of 127.0.0.1, which it
prints.
"""

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from gateway.media.resampling import converter
from pipeline.frames import Samples, Transcript
from stages._remote_server import StageServer
from stages.fakes import FakeSynthesizer
from tests.support.paths import ROOT


class CountingTranscriber:
    """A recogniser whose text says how many samples it got, as `worker_handlers.Counting` does."""

    provider = "counting"

    def open(
        self,
        turn: int,
        on_partial: Callable[[Transcript], None] | None = None,
        hints: Sequence[str] = (),
        language: str | None = None,
    ) -> "CountingRecognition":
        return CountingRecognition(turn, on_partial)

    async def aclose(self) -> None:
        """It has nothing to end."""


class CountingRecognition:
    """One utterance. One that ends with the sample 99 is never answered."""

    def __init__(self, turn: int, on_partial: Callable[[Transcript], None] | None) -> None:
        self._turn = turn
        self._on_partial = on_partial
        self._samples = 0
        self._last = 0

    def feed(self, pcm: Samples) -> None:
        self._samples += len(pcm)
        self._last = int(pcm[-1]) if len(pcm) else self._last
        if self._on_partial is not None:
            text = str(self._samples)
            asyncio.get_running_loop().call_soon(
                self._tell, Transcript(self._turn, text, final=False)
            )

    def _tell(self, partial: Transcript) -> None:
        if self._on_partial is not None:
            self._on_partial(partial)

    async def finish(self) -> AsyncIterator[Transcript]:
        if self._last == 99:
            await asyncio.Event().wait()
        yield Transcript(self._turn, str(self._samples), final=True, language="en")

    def cancel(self) -> None:
        self._on_partial = None


def stage_of(slot: str) -> Any:
    return CountingTranscriber() if slot == "stt" else FakeSynthesizer(ms_per_word=50)


@contextmanager
def remote_worker(slot: str, *, places: int = 64) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The worker's process, and its address."""
    words = [sys.executable, "-m", "tests.support.remote_worker", slot, str(places)]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        yield process, f"ws://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait(10)
        process.stdout.close()


async def _main(slot: Any, places: int) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    server = StageServer(slot, stage_of(slot), converter, places=places)
    serving = asyncio.create_task(server.serve([listener]))
    draining: list[asyncio.Task[None]] = []

    def drain() -> None:
        draining.append(asyncio.create_task(server.drain(10)))

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, drain)
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    await serving
    await asyncio.gather(*draining)


SECOND = np.arange(16_000, dtype=np.int16) % 97 + 100
"""A second of sound without the samples that recognisers for tests take as orders."""


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2])))
