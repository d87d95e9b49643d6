"""A face that an avatar server animates. `docs/providers.md` has the server's side of the contract.

Speaks `POST /v1/animations`: the request is speech with its mouth shapes as JSON, the answer lines
of JSON, each with a picture as soon as it is ready. Pictures are passed on undecoded, after a check
of their headers.
"""

import base64
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from pipeline.frames import AvatarFrame
from pipeline.stage import Scene
from stages._http import HttpAnswer, HttpClient
from stages.avatar.jpeg import MIME, dimensions

TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl")

MOST_FRAME_BYTES = 128 * 1024
"""Ten times the size of a picture of 320 × 320."""

MOST_LINE_BYTES = MOST_FRAME_BYTES * 4 // 3 + 1024
MOST_BLANKS = 1000
"""Empty lines of an answer, which keep the connection alive; more would block the event loop."""

LARGEST = 1024
"""Pixels; a client decodes every picture that is passed on."""

OVERHANG_MS = 500
"""Servers round up to whole pictures, and may close a mouth after the last sound."""


class RemoteAnimator:
    """A `pipeline.stage.Animator` over HTTP.

    `base_url` is the server's address; `/v1` is added if it has no path. Raises `ValueError` for
    an unusable URL or key.
    """

    def __init__(
        self, base_url: str, *, api_key: str | None = None, provider: str = "remote"
    ) -> None:
        self.provider = provider
        self._http = HttpClient(base_url, stage="avatar", provider=provider, api_key=api_key)

    async def animate(self, scene: Scene) -> AsyncIterator[AvatarFrame]:
        """Stream the pictures of one scene.

        Raises `StageBusy`, `CallerError` and `StageFailed` as `stages._http` says; "protocol" for
        anything but JPEG pictures of bounded size in order of time. Cancelling, or closing the
        iterator, closes the connection.
        """
        async with self._http.post_json("animations", _request(scene)) as answer:
            if answer.content_type.partition(";")[0].strip() not in TYPES:
                raise await answer.unexpected(TYPES[0])
            frames = _Frames(self._http, scene)
            async with aclosing(self._lines(answer)) as lines:
                async for line in lines:
                    yield frames.read(line)

    async def probe(self) -> str | None:
        """None if the server answers, otherwise a sentence that says why not. Takes 1 s at most."""
        return await self._http.probe()

    async def aclose(self) -> None:
        """Close the connections. Scenes under way fail."""
        await self._http.aclose()

    async def _lines(self, answer: HttpAnswer) -> AsyncGenerator[bytes, None]:
        """The lines that are not empty; a last line without its line feed is incomplete."""
        rest = bytearray()
        blanks = 0
        async with aclosing(answer.chunks()) as chunks:
            async for chunk in chunks:
                *ends, tail = chunk.split(b"\n")
                for end in ends:
                    rest += end
                    self._check(rest)
                    if line := bytes(rest).strip():
                        yield line
                    else:
                        blanks += 1
                        if blanks > MOST_BLANKS:
                            raise self._http.failed("protocol", "a flood of empty lines")
                    rest.clear()
                rest += tail
                self._check(rest)

    def _check(self, line: bytearray) -> None:
        if len(line) > MOST_LINE_BYTES:
            raise self._http.failed("protocol", f"a line of more than {MOST_LINE_BYTES} bytes")


def _request(scene: Scene) -> dict[str, Any]:
    speech = scene.speech
    pcm = speech.pcm.astype("<i2", copy=False).tobytes()
    return {
        "face": scene.face,
        "size": scene.size,
        "frame_ms": scene.frame_ms,
        "mood": scene.mood,
        "rate": speech.rate_hz,
        "pcm": base64.b64encode(pcm).decode("ascii"),
        "cues": [
            {"t": cue.at_ms - speech.at_ms, "d": cue.duration_ms, "v": cue.shape, "w": cue.weight}
            for cue in speech.cues
        ],
    }


class _Frames:
    """Reads the pictures of one answer."""

    def __init__(self, http: HttpClient, scene: Scene) -> None:
        self._http = http
        self._speech = scene.speech
        self._end_ms = len(self._speech.pcm) * 1000 // self._speech.rate_hz + OVERHANG_MS
        self._left = 2 * self._end_ms // scene.frame_ms + 1
        self._after_ms = -1

    def read(self, line: bytes) -> AvatarFrame:
        fields = self._http.parse(line)
        at_ms, mime, data = fields.get("at_ms"), fields.get("mime"), fields.get("data")
        if type(at_ms) is not int or not self._after_ms < at_ms <= self._end_ms:
            raise self._http.failed("protocol", "a picture that belongs to no time of the speech")
        if mime != MIME:
            raise self._http.failed("protocol", f"a picture that is not {MIME}: {str(mime)[:40]!r}")
        self._after_ms = at_ms
        self._left -= 1
        if self._left < 0:
            raise self._http.failed("protocol", "more than twice the pictures that were asked for")
        return AvatarFrame(self._speech.turn, self._speech.at_ms + at_ms, MIME, self._decode(data))

    def _decode(self, data: Any) -> bytes:
        try:
            picture = base64.b64decode(data, validate=True)
            width, height = dimensions(picture)
        except (TypeError, ValueError) as error:
            raise self._http.failed("protocol", f"a picture that is none: {error}") from None
        if max(width, height) > LARGEST:
            raise self._http.failed("protocol", f"a picture of {width} × {height} pixels")
        return picture
