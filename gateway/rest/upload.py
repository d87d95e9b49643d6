"""Files in a request's body: received in bounded pieces; a large file is stored on disk."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import IO

from starlette.requests import Request

from gateway.rest.problems import UNSUPPORTED_MEDIA_TYPE, UPLOADS_FULL
from gateway.rest.reading import CLOSE, chunks, media_type

IN_MEMORY_BYTES = 1024 * 1024
WRITE_BYTES = 256 * 1024
"""Bytes that are collected before a thread writes them to the file."""


@dataclass(slots=True)
class UploadBudget:
    """The bytes of all files that are being received or handled now."""

    taken: int = 0


@dataclass(frozen=True, slots=True)
class Accepts:
    """Which files an operation accepts: media types, and how large and slow they may be.

    All files under way may have as many bytes as `at_once` of the largest. Bytes count rather than
    requests, so connections that send nothing do not block others.
    """

    types: tuple[str, ...]
    max_bytes: int
    within_s: float = 120.0
    at_once: int = 16
    budget: UploadBudget = field(default_factory=UploadBudget, compare=False)


@dataclass(frozen=True, slots=True)
class Upload:
    """A received file, positioned at its beginning. It is deleted when the handler has returned.

    `digest` is a SHA-256 over its media type and content. Reading from `file` blocks: do it in a
    thread.
    """

    file: IO[bytes]
    size: int
    media_type: str
    digest: bytes


@asynccontextmanager
async def receive_upload(
    request: Request, accepts: Accepts, *, beside_json: bool = False
) -> AsyncIterator[Upload]:
    """The file in the request's body. Raises `Problem` for another media type, for a file that is
    too large, and if all files under way would exceed their limit.

    `beside_json` says whether the operation accepts JSON, too.
    """
    kind = media_type(request)
    if kind not in accepts.types:
        read = ", ".join((("application/json",) if beside_json else ()) + accepts.types)
        raise UNSUPPORTED_MEDIA_TYPE(f"What is read here: {read}", headers={"accept": read})
    digest = hashlib.sha256(kind.encode() + b"\n")
    size = 0
    budget = accepts.budget
    try:
        with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as file:
            waiting = bytearray()
            async for chunk in chunks(request, accepts.max_bytes, accepts.within_s):
                if budget.taken + len(chunk) > accepts.at_once * accepts.max_bytes:
                    raise UPLOADS_FULL("Try again later", headers={**CLOSE, "retry-after": "10"})
                budget.taken += len(chunk)
                size += len(chunk)
                digest.update(chunk)
                waiting += chunk
                if len(waiting) >= WRITE_BYTES:
                    await asyncio.to_thread(file.write, bytes(waiting))
                    waiting.clear()
            await asyncio.to_thread(file.write, bytes(waiting))
            file.seek(0)
            yield Upload(file, size, kind, digest.digest())
    finally:
        budget.taken -= size
