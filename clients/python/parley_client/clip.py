"""Recorded speech in place of a microphone: a WAV file, sent as a microphone would."""

import asyncio
import wave
from pathlib import Path

from parley_client.call import Call

FRAME_S = 0.02


def read_clip(path: Path) -> tuple[bytes, int]:
    """The samples of a WAV file and their rate in Hz.

    Raises ValueError for what is no mono PCM of 16 bits, OSError for what cannot be read.
    """
    try:
        with wave.open(str(path)) as file:
            if (file.getsampwidth(), file.getnchannels()) != (2, 1):
                raise ValueError(f"{path} is not mono PCM of 16 bits")
            return file.readframes(file.getnframes()), file.getframerate()
    except (wave.Error, EOFError) as error:
        raise ValueError(f"{path} is no WAV file: {error}") from None


class Speech:
    """What the microphone of a call hears: silence, and whatever is put into it.

    `run` sends a frame every 20 ms until it is cancelled.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._samples = int(call.options.audio_in_hz * FRAME_S) * 2
        self._waiting = bytearray()
        self._said = asyncio.Event()

    async def speak(self, pcm: bytes) -> None:
        """Say this after what is being said; returns when it has been sent."""
        self._waiting += pcm
        self._said.clear()
        await self._said.wait()

    async def run(self) -> None:
        """Send in real time. A line that is broken takes nothing: the clip waits for it."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            frame = bytes(self._waiting[: self._samples]).ljust(self._samples, b"\0")
            if await self._call.send_audio(frame):
                del self._waiting[: self._samples]
            if not self._waiting:
                self._said.set()
            due = max(due + FRAME_S, loop.time() - 0.5)  # after a stall it catches up half a second
            await asyncio.sleep(due - loop.time())
