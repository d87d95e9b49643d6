"""Speech from any OpenAI-compatible speech server.

Speaks `POST /v1/audio/speech` and asks for raw PCM, which streams in a chunked body. The endpoint
gives no timing: there are neither visemes nor word positions.
"""

import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from email.message import Message
from typing import Any

from pipeline.errors import CallerError
from pipeline.frames import Sentence, Speech
from stages._http import HttpAnswer, HttpClient, HttpRefused
from stages.tts._pcm import PcmReader, WrongAudio, check_rate

RATE_HZ = 24_000
"""The definition of the endpoint's `pcm`: 24 kHz, signed 16-bit little-endian, mono."""

MAX_CHARACTERS = 4096
"""The endpoint's limit for one request."""

LONGEST_S = 60
"""More audio than this for one sentence is an error."""


MOST_REFUSED = 64
"""The most names of refused voices that are remembered."""

_REFUSED = (400, 404, 422)
"""How servers refuse a voice that they do not have."""

logger = logging.getLogger(__name__)


class OpenAISynthesizer:
    """A `pipeline.stage.Synthesizer` over HTTP.

    `base_url` is the server's address; `/v1` is added where it has no path. `rate_hz` is what the
    server's `pcm` has, where it is not the usual 24 kHz; raw audio does not say. `speed` is 0.25 to
    4. `voice` is the server's own name of a voice. A sentence may wish for another one; where the
    server refuses that, it is spoken with `voice`. Raises `ValueError` for an unusable URL or key.
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
        self._voice = voice
        self._refused: OrderedDict[str, None] = OrderedDict()  # voices that the server lacks
        self._options: dict[str, Any] = {"model": model, "response_format": "pcm"}
        if speed is not None:
            self._options["speed"] = speed
        self._http = HttpClient(base_url, stage="tts", provider=provider, api_key=api_key)

    async def speak(self, sentence: Sentence) -> AsyncIterator[Speech]:
        """Stream one sentence in pieces as they come.

        Raises `StageBusy`, `CallerError` and `StageFailed` as `stages._http` says; `CallerError`
        ("empty") for a sentence without a letter or digit, `StageFailed` ("protocol") for anything
        but audio of the promised kind: a WAV file is read if it is mono, 16-bit and of `rate_hz`.
        Cancelling, or closing the iterator, closes the connection.
        """
        text = sentence.text[:MAX_CHARACTERS]
        if not any(map(str.isalnum, text)):
            raise CallerError("tts", self.provider, "empty", "nothing to say")
        wished = sentence.voice or self._voice
        voice = self._voice if wished in self._refused else wished
        try:
            async with aclosing(self._ask(text, voice, sentence.turn)) as pieces:
                async for piece in pieces:
                    yield piece
        except HttpRefused as error:
            if voice == self._voice or error.status not in _REFUSED:
                raise
        else:
            return
        async with aclosing(self._ask(text, self._voice, sentence.turn)) as pieces:
            async for piece in pieces:
                yield piece
        self._refuse(voice)  # only now is it sure that the voice was what was refused

    async def _ask(self, text: str, voice: str, turn: int) -> AsyncGenerator[Speech, None]:
        body = {**self._options, "voice": voice, "input": text}
        async with self._http.post_json("audio/speech", body) as answer:
            kind = answer.content_type.partition(";")[0].strip()
            if kind and not kind.startswith("audio/") and not kind.endswith("/octet-stream"):
                raise await answer.unexpected("audio")
            try:
                async with aclosing(self._read(answer, turn)) as pieces:
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

    def _refuse(self, voice: str) -> None:
        """Remember, for a while, that the server lacks a voice: it is not asked for it again."""
        logger.info("%s does not speak with the voice %.40r", self.provider, voice)
        self._refused[voice] = None
        if len(self._refused) > MOST_REFUSED:
            self._refused.popitem(last=False)

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
