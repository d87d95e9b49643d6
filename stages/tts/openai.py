"""Speech from any OpenAI-compatible speech server.

Speaks `POST /v1/audio/speech` and asks for raw PCM, which streams in a chunked body. The endpoint
gives no timing: there are neither visemes nor word positions.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from email.message import Message
from typing import Any

from pipeline.frames import Sentence, Speech
from stages._http import HttpAnswer, HttpClient
from stages.tts._pcm import PcmReader, WrongAudio, check_rate

RATE_HZ = 24_000
"""The definition of the endpoint's `pcm`: 24 kHz, signed 16-bit little-endian, mono."""

MAX_CHARACTERS = 4096
"""The endpoint's limit for one request."""

LONGEST_S = 60
"""More audio than this for one sentence is an error."""


class OpenAISynthesizer:
    """A `pipeline.stage.Synthesizer` over HTTP.

    `base_url` is the server's address; `/v1` is added where it has no path. `rate_hz` is the rate
    of the server's `pcm`, which raw audio does not state; usually 24 kHz. `speed` is 0.25 to 4.
    Raises `ValueError` for an unusable URL or key.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        voice: str,
        *,
        api_key: str | None = None,
        provider: str = "openai",
        rate_hz: int = RATE_HZ,
        speed: float | None = None,
    ) -> None:
        self.provider = provider
        self.rate_hz = rate_hz
        self._options: dict[str, Any] = {"model": model, "voice": voice, "response_format": "pcm"}
        if speed is not None:
            self._options["speed"] = speed
        self._http = HttpClient(base_url, stage="tts", provider=provider, api_key=api_key)

    async def speak(self, sentence: Sentence) -> AsyncIterator[Speech]:
        """Stream one sentence in pieces as they come.

        Raises `StageBusy`, `CallerError` and `StageFailed` as `stages._http` says; "empty" for a
        sentence without a letter or digit, "protocol" for anything but audio of the promised kind:
        a WAV file is read if it is mono, 16-bit and of `rate_hz`. Cancelling, or closing the
        iterator, closes the connection.
        """
        text = sentence.text[:MAX_CHARACTERS]
        if not any(map(str.isalnum, text)):
            raise self._http.failed("empty", "nothing to say")
        async with self._http.post_json("audio/speech", {**self._options, "input": text}) as answer:
            kind = answer.content_type.partition(";")[0].strip()
            if kind and not kind.startswith("audio/") and not kind.endswith("/octet-stream"):
                raise await answer.unexpected("audio")
            try:
                async with aclosing(self._read(answer, sentence.turn)) as pieces:
                    async for piece in pieces:
                        yield piece
            except WrongAudio as error:
                raise self._http.failed("protocol", str(error)) from error

    async def probe(self) -> str | None:
        """None if the server answers, otherwise a sentence that says why not. Takes 1 s at most."""
        return await self._http.probe()

    async def aclose(self) -> None:
        """Close the connections. Sentences under way fail."""
        await self._http.aclose()

    async def _read(self, answer: HttpAnswer, turn: int) -> AsyncGenerator[Speech, None]:
        self._check_type(answer.content_type)
        reader = PcmReader(self.rate_hz)
        samples = 0
        async with aclosing(answer.chunks()) as chunks:
            async for chunk in chunks:
                pcm = reader.feed(chunk)
                samples += len(pcm)
                if samples > LONGEST_S * self.rate_hz:
                    raise WrongAudio(f"the server sent more than {LONGEST_S} s for one sentence")
                if len(pcm):
                    yield Speech(turn, pcm)
        if len(pcm := reader.finish()):
            yield Speech(turn, pcm)

    def _check_type(self, content_type: str) -> None:
        """Check the type, and the rate if the server gives it: `audio/pcm;rate=16000`."""
        header = Message()
        header["Content-Type"] = content_type
        rate = header.get_param("rate")
        if isinstance(rate, str) and rate.isdecimal():
            check_rate(int(rate), self.rate_hz)
