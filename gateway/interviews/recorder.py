"""Stores recordings of spoken answers that are stored already, if there is consent.

No answer waits for its recording: after the answer is stored, a thread encodes the recordings one
at a time. A failure is logged and noted in the list of recordings. A recording that is not stored
yet is lost if the process dies.
"""

import asyncio
import io
import json
import logging
import time
from collections.abc import Iterator

import numpy as np
import soundfile

from gateway.interviews.recordings import Recorded, recordings_of
from gateway.interviews.sessions import NoSuchSession, SessionRecord, add
from gateway.interviews.uploads import UploadRecording
from gateway.store import Append, Put, Store, StoreError
from pipeline.frames import INPUT_RATE_HZ, Samples

logger = logging.getLogger("parley.recordings")

MOST_BYTES = 32 << 20
"""The largest recording: above what ten minutes, the default limit of an upload, take at 16 kHz."""

MOST_SESSION_BYTES = 100 << 20
"""The limit for all recordings of a session."""

MOST_WAITING = 16
"""Recordings that may wait to be encoded: at most 4 MB of memory each, or a file on disk."""

MOST_NOTED = 256
"""The most recordings that may wait beyond those; they are not kept, and only that is noted."""

CLOSE_WAIT_S = 5.0
"""How long closing waits for the recordings under way."""

BLOCK_BYTES = 2 * INPUT_RATE_HZ

Sound = Samples | UploadRecording


class NotKept(Exception):
    """A recording is not kept. The text is a code for programs."""


class Recorder:
    """Stores recordings with tasks of `group`; if that is not `allowed`, stores none."""

    def __init__(self, store: Store, group: asyncio.TaskGroup, *, allowed: bool) -> None:
        self._store = store
        self._group = group
        self._allowed = allowed
        self._one = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def keep(self, record: SessionRecord, number: int, sound: Sound) -> None:
        """Begin to store the recording of a stored answer, if there is consent. Never raises.

        An `UploadRecording` is closed in any case.
        """
        if not self._allowed or record.recording is None:
            _close(sound)
            return
        waiting = sum(not task.done() for task in self._tasks)
        if waiting >= MOST_WAITING + MOST_NOTED:
            _close(sound)
            logger.error("session %s: recording %d is not kept: busy", record.id, number)
            return
        if waiting >= MOST_WAITING:
            _close(sound)
        kept = sound if waiting < MOST_WAITING else None
        task = self._group.create_task(self._run(record, number, kept))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Wait up to `CLOSE_WAIT_S` for the recordings under way, then cancel the rest."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=CLOSE_WAIT_S)
            for task in late:
                task.cancel()

    async def _run(self, record: SessionRecord, number: int, sound: Sound | None) -> None:
        problem: str | None = "busy"
        try:
            if sound is not None:
                async with self._one:
                    problem = await self._keep(record, number, sound)
            if problem is not None:
                logger.error("session %s: recording %d is not kept: %s", record.id, number, problem)
                await self._store_lines(record, Recorded(number, _now(), problem=problem))
        except NoSuchSession:
            pass  # the session was deleted or has expired
        except Exception:  # an error would end the other tasks of the group
            logger.exception("session %s: recording %d is not kept", record.id, number)
        finally:
            _close(sound)

    async def _keep(self, record: SessionRecord, number: int, sound: Sound) -> str | None:
        """Store a recording; returns a problem to be noted, or None. Raises `NoSuchSession`."""
        try:
            known = await recordings_of(self._store, record)
            if known.withdrawn_at is not None:
                return None
            others = sum(item.size_bytes for item in known.items if item.number != number)
            left_bytes = MOST_SESSION_BYTES - others
            if left_bytes <= 0:
                return "session_full"
            most = min(left_bytes, MOST_BYTES)
            file, samples = await asyncio.to_thread(encode, sound, most)
            duration_ms = samples * 1000 // INPUT_RATE_HZ
            item = Recorded(number, _now(), duration_ms, len(file))
            await self._store.delete(record.keys.recording(number))
            await self._store_lines(record, item, file)
        except NotKept:
            return "session_full" if most < MOST_BYTES else "too_large"
        except StoreError as error:
            logger.warning("session %s: %s", record.id, error)
            return "not_stored"
        return None

    async def _store_lines(
        self, record: SessionRecord, item: Recorded, file: bytes | None = None
    ) -> None:
        """Store a recording's details and its file for as long as the session lives."""
        name, log = record.keys.recording(item.number), record.keys.recordings
        line = json.dumps(_written(item)).encode()

        def writes(lifetime_s: float | None) -> tuple[Put | Append, ...]:
            puts = () if file is None else (Put(name, file, None, lifetime_s),)
            return (*puts, Append(log, line, lifetime_s))

        current = await add(self._store, record.id, writes)
        if (await recordings_of(self._store, current)).withdrawn_at is not None:
            await self._store.delete(name)


def encode(sound: Sound, most_bytes: int) -> tuple[bytes, int]:
    """The sound as a FLAC file, and its number of samples. Blocks: call it in a thread.

    Raises `NotKept` if the file would be larger than `most_bytes`.
    """
    out = io.BytesIO()
    samples = 0
    with soundfile.SoundFile(
        out, "w", INPUT_RATE_HZ, channels=1, format="FLAC", subtype="PCM_16"
    ) as file:
        for pcm in _blocks(sound):
            file.write(pcm)
            samples += len(pcm)
            if out.tell() > most_bytes:
                raise NotKept("too_large")
    return out.getvalue(), samples


def _blocks(sound: Sound) -> Iterator[Samples]:
    if isinstance(sound, UploadRecording):
        sound.file.seek(0)
        while data := sound.file.read(BLOCK_BYTES):
            yield np.frombuffer(data, np.int16)
    else:
        for start in range(0, len(sound), INPUT_RATE_HZ):
            yield sound[start : start + INPUT_RATE_HZ]


def _close(sound: Sound | None) -> None:
    if isinstance(sound, UploadRecording):
        sound.close()


def _written(item: Recorded) -> dict[str, object]:
    if item.problem is not None:
        return {"number": item.number, "at": item.at, "problem": item.problem}
    return {
        "number": item.number,
        "at": item.at,
        "duration_ms": item.duration_ms,
        "size_bytes": item.size_bytes,
    }


def _now() -> float:
    return round(time.time(), 3)
