"""Uploaded audio files as samples: one worker process decodes one file and then ends.

The process costs about 0.1 s and some 45 MB while it lives. In return, a file that crashes the
decoder or takes it over reaches no other file's audio. `stages._decode_worker` lists its limits.

PyAV (BSD-3-Clause; its wheels carry FFmpeg under LGPL-3.0) is used and not libsndfile because
browsers record WebM and M4A, which libsndfile does not read; the gateway needs it in any case.

::

    NotDecoded            code, reason
    ├── Undecodable       the file is at fault
    └── DecoderFailed     this machine is at fault: no process could be started
"""

import asyncio
import dataclasses
from dataclasses import dataclass
from typing import BinaryIO

from pipeline.errors import StageFailed
from pipeline.frames import INPUT_RATE_HZ
from stages._containers import Container, located
from stages._worker import Worker, WorkerJob, WorkerPacket

BLOCK_BYTES = 1 << 18
"""Bytes in one message, either way; the next message waits for the reply."""


class NotDecoded(Exception):
    """The file was not decoded. `code` is for programs, `reason` a sentence for people."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class Undecodable(NotDecoded):
    """The file cannot be used.

    Codes: `empty`, `not_audio`, `damaged`, `no_audio_track`, `no_sound`, `unsupported_codec`,
    `unsupported_rate`, `unsupported_channels`, `not_numbers`, `too_large`, `too_long`,
    `too_costly` (in memory or time) and `crashed`.
    """


class DecoderFailed(NotDecoded):
    """The decoder could not be started. Code: `no_decoder`."""


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """Limits on one file. `memory_bytes` is what the process may allocate after its start; `wall_s`
    bounds the whole decode, `cpu_s` ends the process even if no caller waits for it."""

    most_bytes: int = 25 << 20
    longest_s: float = 600.0
    memory_bytes: int = 48 << 20
    wall_s: float = 30.0
    cpu_s: int = 30
    nice: int = 10


DEFAULT_LIMITS = DecodeLimits()


@dataclass(frozen=True, slots=True)
class Decoded:
    """Facts about a decoded file. `samples` count at 16 kHz; `rate_hz` and `channels` are the
    file's.

    `truncated`: the file's end is missing, the rest has been decoded. `lost_ms`: sound that could
    not be read and is left out, not counting the end; the rest of the file tells how much.
    """

    container: Container
    codec: str
    rate_hz: int
    channels: int
    samples: int
    truncated: bool
    lost_ms: int

    @property
    def duration_ms(self) -> int:
        return self.samples * 1000 // INPUT_RATE_HZ


async def decode(file: BinaryIO, sink: BinaryIO, limits: DecodeLimits = DEFAULT_LIMITS) -> Decoded:
    """Decode a file, from its beginning, into `sink`: 16-bit native-endian samples, 16 kHz, mono.

    What some writers put before a recording, tags and bytes of 0, is left out.

    Both files are used in threads, in blocks of `BLOCK_BYTES`. Raises `Undecodable` and
    `DecoderFailed`; the content of `sink` is then useless. Cancelling ends the process.
    """
    start, container = await asyncio.to_thread(located, file)
    file.seek(start)
    block = await asyncio.to_thread(file.read, BLOCK_BYTES)
    if not block:
        raise Undecodable("empty", "The file is empty")
    if container is None:
        raise Undecodable(
            "not_audio", "It is no WAV, FLAC, MP3, Ogg, WebM, M4A or AAC file, whatever its name is"
        )
    worker = Worker(
        "stages._decode_worker:handler",
        {"container": container, **dataclasses.asdict(limits)},
        stage="decode",
        provider=container,
        private=True,  # what one client uploads ends with it
    )
    try:
        async with asyncio.timeout(limits.wall_s):
            await worker.start()
            job = worker.open_job()
            await _upload(job, file, block, limits.most_bytes)
            return await _download(job, sink, container)
    except TimeoutError:
        raise Undecodable(
            "too_costly", f"Decoding it takes longer than {limits.wall_s:g} s"
        ) from None
    except StageFailed as error:
        if error.phase == "connect":
            raise DecoderFailed("no_decoder", "The decoder could not be started") from error
        raise Undecodable("crashed", "The decoder could not get through it") from error
    finally:
        await worker.aclose()


async def _upload(job: WorkerJob, file: BinaryIO, block: bytes, most_bytes: int) -> None:
    size = 0
    while block:
        size += len(block)
        if size > most_bytes:
            raise Undecodable("too_large", f"It is larger than {most_bytes >> 20} MB")
        await _ask(job, "data", block)
        block = await asyncio.to_thread(file.read, BLOCK_BYTES)


async def _download(job: WorkerJob, sink: BinaryIO, container: Container) -> Decoded:
    samples = 0
    while not (packet := await _ask(job, "next")).last:
        samples += len(packet.payload) // 2
        await asyncio.to_thread(sink.write, packet.payload)
    found = packet.header
    if packet.kind == "refused":
        raise Undecodable(found["code"], found["reason"])
    return Decoded(
        container,
        found["codec"],
        found["rate_hz"],
        found["channels"],
        samples,
        found["truncated"],
        found["lost_ms"],
    )


async def _ask(job: WorkerJob, kind: str, payload: bytes = b"") -> WorkerPacket:
    job.send(kind, None, payload)
    return await anext(job)
