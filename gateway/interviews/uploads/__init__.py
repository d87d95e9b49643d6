"""Uploaded answers: a recording in a request's body becomes the words and the sound of an answer.

Routes use `Uploads`; `gateway.interviews.uploads.errors` shows the tree of its errors.
"""

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import BinaryIO, cast

from gateway.interviews.uploads.body import UploadBody, read_body, takes
from gateway.interviews.uploads.errors import UploadBusy, UploadError, not_decoded
from gateway.interviews.uploads.precedence import LiveFirst
from gateway.interviews.uploads.recognise import OnProgress, UploadRecording, recognise_upload
from gateway.interviews.uploads.transcript import UploadTranscript
from pipeline.guard import Guard
from pipeline.stage import Detector, Transcriber
from stages._decode import DecodeLimits, NotDecoded, decode

__all__ = ["UploadBody", "UploadError", "UploadRecording", "UploadTranscript", "Uploads", "takes"]

logger = logging.getLogger("parley.uploads")

MOST_DECODED = 2
"""Files that are decoded at a time, each in its own process."""

MOST_UNDER_WAY = 16
"""Uploads that are decoded or recognised, or wait for either: 25 MB and 19 MB on disk each."""


class Uploads:
    """All uploads of a process. Belongs to the event loop on which it is first used."""

    def __init__(
        self,
        detector: Detector,
        transcribers: Guard[Transcriber],
        *,
        max_mb: int = 25,
        max_min: int = 10,
    ) -> None:
        self._detector = detector
        self._transcribers = transcribers
        self._limits = DecodeLimits(most_bytes=max_mb << 20, longest_s=max_min * 60)
        self._live_first = LiveFirst([one.stage for one in transcribers.candidates])
        self._decoding = asyncio.Semaphore(MOST_DECODED)
        self._under_way = 0

    async def read(self, headers: Mapping[str, str], stream: AsyncIterator[bytes]) -> UploadBody:
        """The request's body; see `gateway.interviews.uploads.body.read_body`."""
        return await read_body(headers, stream, most_bytes=self._limits.most_bytes)

    async def decode(self, body: UploadBody) -> UploadRecording:
        """The body's file as samples; the caller closes both.

        Raises `UploadTooLarge` (also too long), `UploadNotTaken`, `UploadUndecodable`,
        `UploadBusy` and `UploadFailed`. Cancelling ends the decoder.
        """
        with self._admitted():
            file = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115
            try:
                async with self._decoding:
                    found = await decode(body.file, file, self._limits)
            except NotDecoded as error:
                file.close()
                raise not_decoded(error) from error
            except BaseException:
                file.close()
                raise
        recording = UploadRecording(file, found.samples, found.truncated, found.lost_ms)
        if recording.truncated or recording.lost_ms:
            logger.info(
                "an upload (%s, %s) of %.1f s is damaged: %s",
                found.container,
                found.codec,
                recording.duration_ms / 1000,
                recording.damage,
            )
        return recording

    async def recognise(
        self,
        recording: UploadRecording,
        *,
        hints: Sequence[str] = (),
        language: str | None = None,
        max_wait_s: float = 60.0,
        on_progress: OnProgress | None = None,
    ) -> UploadTranscript:
        """The recording's words; see `gateway.interviews.uploads.recognise.recognise_upload`."""
        with self._admitted():
            return await recognise_upload(
                recording,
                self._detector,
                self._transcribers,
                self._live_first,
                hints=hints,
                language=language,
                max_wait_s=max_wait_s,
                on_progress=on_progress,
            )

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        if self._under_way >= MOST_UNDER_WAY:
            raise UploadBusy(
                "uploads_full", f"{MOST_UNDER_WAY} uploads are being recognised", retry_after_s=10
            )
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
