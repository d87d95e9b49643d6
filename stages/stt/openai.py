"""Recognition by any OpenAI-compatible transcription server, one upload for each utterance.

Speaks `POST /v1/audio/transcriptions`. The audio is kept during the utterance and sent at its end,
so only servers that stream the answer give partial transcripts.
"""

import io
import math
import wave
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Any

import numpy as np

from pipeline.frames import INPUT_RATE_HZ, Samples, Transcript, Word
from stages._http import HttpAnswer, HttpClient, HttpRefused
from stages.stt._hints import bounded

LIMIT_SAMPLES = 120 * INPUT_RATE_HZ
"""An utterance's audio beyond 120 s is ignored; the audio before it is recognised."""

LEAST_SAMPLES = INPUT_RATE_HZ // 10
"""Servers refuse less than 0.1 s: there is no word in it."""

MAX_REPLY_BYTES = 1 << 20
MAX_CHARACTERS = 20_000
"""Two minutes of speech have fewer: a longer transcript is an error of the recogniser."""


_LANGUAGES = {
    "arabic": "ar",
    "chinese": "zh",
    "czech": "cs",
    "danish": "da",
    "dutch": "nl",
    "english": "en",
    "finnish": "fi",
    "french": "fr",
    "german": "de",
    "greek": "el",
    "hebrew": "he",
    "hindi": "hi",
    "hungarian": "hu",
    "indonesian": "id",
    "italian": "it",
    "japanese": "ja",
    "korean": "ko",
    "norwegian": "no",
    "persian": "fa",
    "polish": "pl",
    "portuguese": "pt",
    "romanian": "ro",
    "russian": "ru",
    "spanish": "es",
    "swedish": "sv",
    "thai": "th",
    "turkish": "tr",
    "ukrainian": "uk",
    "urdu": "ur",
    "vietnamese": "vi",
}
"""Whisper's names of languages, which `verbose_json` uses. Other names give no language."""


class OpenAITranscriber:
    """A `pipeline.stage.Transcriber` over HTTP.

    `base_url` is the server's address; `/v1` is added where it has no path. `language` is a code
    ("en") that spares the server the detection. `word_times` asks for each word's times, which
    costs servers another pass. `stream` asks for partial text; servers that cannot stream answer
    as usual. Raises `ValueError` for an unusable URL or key.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        provider: str = "openai",
        language: str | None = None,
        word_times: bool = False,
        stream: bool = False,
    ) -> None:
        self.provider = provider
        self._model = model
        self._language = language
        self._word_times = word_times
        self._stream = stream
        # verbose_json has segments and language; some models know only json.
        self._verbose = not stream
        self._http = HttpClient(base_url, stage="stt", provider=provider, api_key=api_key)

    def open(
        self,
        turn: int,
        on_partial: Callable[[Transcript], None] | None = None,
        hints: Sequence[str] = (),
        language: str | None = None,
    ) -> "OpenAIRecognition":
        """Begin an utterance. `on_partial` is never called: there is no text before the upload.

        `hints` are sent as `prompt`, as many as fit `stages.stt._hints`. `language` stands for the
        constructor's.
        """
        return OpenAIRecognition(self, turn, ", ".join(bounded(hints)), language)

    async def transcribe(
        self, turn: int, audio: Samples, prompt: str = "", language: str | None = None
    ) -> AsyncGenerator[Transcript, None]:
        """Upload one utterance: partials if the server streams, then the final transcript.

        A server that refuses `verbose_json` is asked again for `json`, and from then on only for
        `json`. Raises `StageBusy`, `CallerError` and `StageFailed` as `stages._http` says.
        """
        file = wav(audio)
        language = language or self._language
        if self._verbose:
            try:
                upload = self._ask(turn, file, prompt, language, verbose=True)
                async with aclosing(upload) as transcripts:
                    async for transcript in transcripts:
                        yield transcript
                return
            except HttpRefused as error:
                if error.status not in (400, 422):
                    raise
        async with aclosing(self._ask(turn, file, prompt, language, verbose=False)) as transcripts:
            async for transcript in transcripts:
                self._verbose = False
                yield transcript

    async def probe(self) -> str | None:
        """None if the server answers, otherwise a sentence that says why not. Takes 1 s at most."""
        return await self._http.probe()

    async def aclose(self) -> None:
        """Close the connections. Utterances under way fail."""
        await self._http.aclose()

    async def _ask(
        self, turn: int, file: bytes, prompt: str, language: str | None, *, verbose: bool
    ) -> AsyncGenerator[Transcript, None]:
        fields = {
            "model": self._model,
            "response_format": "verbose_json" if verbose else "json",
        }
        if language is not None:
            fields["language"] = language
        if self._word_times and verbose:
            fields["timestamp_granularities[]"] = "word"
        if prompt:
            fields["prompt"] = prompt
        if self._stream:
            fields["stream"] = "true"
        async with self._http.post_form(
            "audio/transcriptions", fields, "utterance.wav", file, "audio/wav"
        ) as answer:
            if answer.content_type.startswith("text/event-stream"):
                async with aclosing(self._streamed(turn, answer, language)) as transcripts:
                    async for transcript in transcripts:
                        yield transcript
                return
            reply = self._http.parse(await answer.body(MAX_REPLY_BYTES))
            yield self._final(turn, reply, language)

    async def _streamed(
        self, turn: int, answer: HttpAnswer, language: str | None
    ) -> AsyncGenerator[Transcript, None]:
        heard = ""
        async with aclosing(answer.events()) as events:
            async for data in events:
                if data.strip() == "[DONE]":
                    break
                event = self._http.parse(data)
                match event.get("type"), event.get("delta"):
                    case "transcript.text.delta", str(delta) if delta:
                        heard += delta
                        if len(heard) > MAX_CHARACTERS:
                            raise self._http.failed("protocol", "a transcript without end")
                        text = heard.strip()
                        yield Transcript(turn, text, final=False, language=language)
                    case "transcript.text.done", _:
                        yield self._final(turn, event, language)
                        return
        raise self._http.failed("stream", "it ended before the transcript did")

    def _final(self, turn: int, reply: dict[str, Any], language: str | None) -> Transcript:
        try:
            text = reply["text"]
            if not isinstance(text, str):
                raise TypeError("text is no text")
            if len(text) > MAX_CHARACTERS:
                raise ValueError(f"a text of more than {MAX_CHARACTERS} characters")
            return Transcript(
                turn,
                text.strip(),
                final=True,
                language=language or _language(reply),
                confidence=_confidence(reply.get("segments") or ()),
                words=tuple(
                    Word(word["word"].strip(), _ms(word["start"]), _ms(word["end"]))
                    for word in reply.get("words") or ()
                ),
            )
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise self._http.failed("protocol", f"no transcription: {error!r}") from error


class OpenAIRecognition:
    """One utterance: it collects the audio, then uploads it."""

    def __init__(
        self, stage: OpenAITranscriber, turn: int, prompt: str, language: str | None
    ) -> None:
        self._stage = stage
        self._language = language
        self._prompt = prompt
        self._turn = turn
        self._left = LIMIT_SAMPLES
        self._kept: list[Samples] = []

    def feed(self, pcm: Samples) -> None:
        """Take the utterance's next audio. A plain call: never blocks, never raises."""
        pcm = pcm[: self._left]
        self._left -= len(pcm)
        if len(pcm):
            self._kept.append(pcm.copy())

    async def finish(self) -> AsyncIterator[Transcript]:
        """Upload the audio; see `OpenAITranscriber.transcribe`. The text may be "".

        Less than 0.1 s of audio is an empty transcript without an upload. Cancelling, or closing
        the iterator, closes the connection.
        """
        kept, self._kept = self._kept, []
        audio = np.concatenate(kept) if kept else np.zeros(0, np.int16)
        if len(audio) < LEAST_SAMPLES:
            yield Transcript(self._turn, "", final=True)
            return
        upload = self._stage.transcribe(self._turn, audio, self._prompt, self._language)
        async with aclosing(upload) as transcripts:
            async for transcript in transcripts:
                yield transcript

    def cancel(self) -> None:
        """Forget the audio. Idempotent; an upload is stopped by leaving `finish`."""
        self._left = 0
        self._kept = []


def wav(audio: Samples) -> bytes:
    """Input audio as a WAV file. Two minutes take about 2 ms."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(INPUT_RATE_HZ)
        writer.writeframes(audio.astype("<i2", copy=False).tobytes())
    return file.getvalue()


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _language(reply: dict[str, Any]) -> str | None:
    """The language's code, from `language` (a code or a name) or the first of `languages`."""
    languages = reply.get("languages") or ()
    name = reply.get("language") or (languages[0].get("code") if languages else None) or ""
    name = name.lower()
    return name if 2 <= len(name) <= 3 else _LANGUAGES.get(name)


def _confidence(segments: Sequence[dict[str, Any]]) -> float | None:
    """The mean probability of a token: exp of the segments' average, weighted by their length."""
    logs = [
        (segment["avg_logprob"], max(segment["end"] - segment["start"], 0.01))
        for segment in segments
        if segment.get("avg_logprob") is not None
    ]
    if not logs:
        return None
    mean = sum(log * weight for log, weight in logs) / sum(weight for _, weight in logs)
    return min(1.0, math.exp(mean))
