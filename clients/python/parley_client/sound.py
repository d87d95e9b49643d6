"""The machine's microphone and loudspeaker, by the extra `sound` (sounddevice, PortAudio)."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from parley_client.call import Call
from parley_client.errors import CallError
from parley_client.events import Event
from parley_client.playout import Playout

FRAME_S = 0.02
"""Of audio to a message, as telephones have it."""
MOST_FRAMES = 50
"""Frames of the microphone that may wait for the line, a second; the oldest are dropped."""


class NoSound(CallError):
    """There is no microphone or loudspeaker, or the library for them is missing."""


@asynccontextmanager
async def sound(
    call: Call, *, microphone: int | str | None = None, loudspeaker: int | str | None = None
) -> AsyncIterator[AsyncIterator[Event]]:
    """Speak and hear the call, and get its events in place of iterating over it.

    Devices are sounddevice's numbers or names, None the machine's own. Use headphones, or a device
    that cancels echo: otherwise the interviewer hears itself. Raises `NoSound`.
    """
    devices = _devices()
    loop = asyncio.get_running_loop()
    frames: asyncio.Queue[bytes] = asyncio.Queue()
    playout, lock = Playout(call.options.audio_out_hz), threading.Lock()

    def heard(data: Any, *_: object) -> None:  # in PortAudio's thread
        with contextlib.suppress(RuntimeError):  # the loop has just closed
            loop.call_soon_threadsafe(keep, bytes(data))

    def keep(frame: bytes) -> None:
        if frames.qsize() >= MOST_FRAMES:
            frames.get_nowait()
        frames.put_nowait(frame)

    def play(data: Any, count: int, *_: object) -> None:  # in PortAudio's thread
        with lock:
            data[:] = playout.take(count)

    async def speak() -> None:
        while True:
            await call.send_audio(await frames.get())

    async def events() -> AsyncIterator[Event]:
        async for event in call:
            with lock:
                playout.handle(event)
            yield event

    def stream(kind: Any, hz: int, device: int | str | None, callback: Any) -> Any:
        try:
            return kind(
                samplerate=hz,
                channels=1,
                dtype="int16",
                blocksize=int(hz * FRAME_S),
                device=device,
                callback=callback,
            )
        except (devices.PortAudioError, ValueError) as error:
            raise NoSound(f"the machine's sound cannot be used: {error}") from None

    with (
        stream(devices.RawInputStream, call.options.audio_in_hz, microphone, heard),
        stream(devices.RawOutputStream, call.options.audio_out_hz, loudspeaker, play),
    ):
        speaking = asyncio.create_task(speak())
        try:  # not a task group: what the block raises has to come out as it is
            yield events()
        finally:
            speaking.cancel()
            await asyncio.wait([speaking])


def _devices() -> Any:
    try:
        import sounddevice
    except ImportError:
        raise NoSound("sounddevice is missing: pip install 'parley-client[sound]'") from None
    except OSError as error:
        raise NoSound(f"PortAudio is missing ({error}): apt install libportaudio2") from None
    return sounddevice
