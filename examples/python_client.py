#!/usr/bin/env python3
"""A minimal client for Parley's WebSocket: it speaks a WAV file, as a microphone would.

    pip install websockets
    python examples/python_client.py fixtures/audio/software-engineer-1.wav --save reply.wav

It prints what both sides say and saves the interviewer's speech. docs/protocol.md has the messages.
"""

import asyncio
import contextlib
import json
import sys
import uuid
import wave
from argparse import ArgumentParser, RawTextHelpFormatter

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

FRAME_S, PCM, OUT_HZ = 0.02, "pcm_s16le", 16_000


async def microphone(socket: ClientConnection, clip: wave.Wave_read, speak: asyncio.Event) -> None:
    """Send a frame every 20 ms: silence until `speak` is set, then the clip, then silence."""
    samples = int(clip.getframerate() * FRAME_S)
    due = asyncio.get_running_loop().time()
    with contextlib.suppress(ConnectionClosed):
        while True:
            frame = clip.readframes(samples) if speak.is_set() else b""
            await socket.send(frame.ljust(samples * clip.getnchannels() * 2, b"\0"))
            due += FRAME_S
            await asyncio.sleep(due - asyncio.get_running_loop().time())


async def call(url: str, clip: wave.Wave_read) -> bytes:
    """Hold the call until the clip has been answered; returns the interviewer's speech."""
    speech, begins, speak = bytearray(), 0, asyncio.Event()
    rate_hz, channels = clip.getframerate(), clip.getnchannels()
    hello = {"type": "hello", "version": 1, "audio_out": {"encoding": PCM, "rate": OUT_HZ}}
    hello["audio_in"] = {"encoding": PCM, "rate": rate_hz, "channels": channels}
    async with asyncio.timeout(clip.getnframes() / rate_hz + 120), connect(url) as socket:
        await socket.send(json.dumps(hello))
        sending = asyncio.create_task(microphone(socket, clip, speak))
        async for data in socket:
            match data if isinstance(data, bytes) else json.loads(data):
                case bytes():
                    speech += data
                case {"type": "transcript", "final": True, "text": text}:
                    print("You:   ", text)
                case {"type": "reply.text", "text": text} | {"type": "error", "message": text}:
                    print("Parley:", text)
                case {"type": "reply.started"}:
                    begins = len(speech)
                case {"type": "clear" | "reply.resumed", "at_ms": at_ms}:
                    del speech[begins + at_ms * OUT_HZ // 1000 * 2 :]  # not heard
                case {"type": "reply.done"} if clip.tell() == clip.getnframes():
                    await socket.send('{"type": "bye"}')
                case {"type": "reply.done"}:
                    speak.set()  # the interviewer has asked
        await sending
    return bytes(speech)


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__, formatter_class=RawTextHelpFormatter)
    parser.add_argument("clip", help="a WAV file: PCM of 16 bits, 8 to 48 kHz, mono or stereo")
    parser.add_argument("--url", default="ws://127.0.0.1:8000/ws", help="(default: %(default)s)")
    parser.add_argument("--save", default="reply.wav", help="(default: %(default)s)")
    options = parser.parse_args()
    try:
        with wave.open(options.clip) as clip:
            if clip.getsampwidth() != 2:
                raise wave.Error("the samples do not have 16 bits")
            reply = asyncio.run(call(f"{options.url}/{uuid.uuid4().hex}", clip))
    except (OSError, EOFError, wave.Error, WebSocketException) as error:
        sys.exit(f"{error!r}\nDoes the gateway run (make run)? Is {options.clip} a WAV file?")
    with wave.open(options.save, "wb") as file:
        file.setparams((1, 2, OUT_HZ, 0, "NONE", ""))
        file.writeframes(reply)
