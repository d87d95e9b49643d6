"""Recognition by any OpenAI-compatible transcription server, one upload for each utterance.

Speaks `POST /v1/audio/transcriptions`. The audio is kept during the utterance and sent at its end,
so only servers that stream the answer give partial transcripts.
"""

import io
import logging
import wave
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.frames import INPUT_RATE_HZ, Samples, Transcript
from stages._http import HttpAnswer, HttpClient, HttpRefused
from stages.stt._hints import bounded, in_prompt, prompt
from stages.stt._levels import loudest_db, samples_of
from stages.stt._server_body import reply_in
from stages.stt._server_form import ServerForm, following
from stages.stt._server_reply import NoTranscription, UploadedSpeech, transcript
from stages.stt._server_stream import StreamedText

LIMIT_SAMPLES = 120 * INPUT_RATE_HZ
"""An utterance's audio beyond 120 s is ignored; the audio before it is recognised."""

LEAST_SAMPLES = INPUT_RATE_HZ // 10
"""Servers refuse less than 0.1 s: there is no word in it."""

MAX_REPLY_BYTES = 1 << 20

log = logging.getLogger("stages.stt")


class OpenAITranscriber:
    """A `pipeline.stage.Transcriber` over HTTP.

    `base_url` is the server's address; `/v1` is added if it has no path. `word_times` asks
    for each word's times, which costs servers another pass. `stream` asks for partial text; servers
    that cannot stream answer as usual. Raises `ValueError` for an unusable URL or key.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        provider: str = "openai",
        word_times: bool = False,
        stream: bool = False,
    ) -> None:
        self.provider = provider
        self._model = model
        self._word_times = word_times
        self._stream = stream
        self._form = ServerForm()
        self._http = HttpClient(base_url, stage="stt", provider=provider, api_key=api_key)

    def open(
        self,
        turn: int,
        on_partial: Callable[[Transcript], None] | None = None,
        hints: Sequence[str] = (),
        language: str | None = None,
    ) -> "OpenAIRecognition":
        """Begin an utterance. `on_partial` is never called: there is no text before the upload.

        `hints` are sent as `prompt`, as many as fit `stages.stt._hints` and in its form. `language`
        None leaves it to the server.
        """
        return OpenAIRecognition(self, turn, bounded(hints), language)

    async def transcribe(
        self,
        turn: int,
        audio: Samples,
        hints: tuple[str, ...] = (),
        language: str | None = None,
    ) -> AsyncGenerator[Transcript, None]:
        """Upload one utterance: partials if the server streams, then the final transcript.

        The text is "" if it is no speech by `stages.stt.speech_check`; `hints` are within the
        bounds of `stages.stt._hints`. What a server refuses (`stages.stt._server_form`) is left
        out at once and from then on. Raises `StageBusy`, `CallerError` and `StageFailed` as
        `stages._http` says.
        """
        file = wav(audio)
        level_db = loudest_db(samples_of(audio.tobytes()))
        sent = in_prompt(hints, language)
        upload = UploadedSpeech(len(audio) / INPUT_RATE_HZ, level_db, sent, language)
        usual = self._usual(hints, upload)
        fields: dict[str, str] | None = self._form.shaped(usual)
        while fields is not None:
            try:
                async with aclosing(self._ask(turn, file, fields, upload)) as transcripts:
                    async for transcript in transcripts:
                        self._form.learn(usual, fields)
                        yield transcript
                return
            except HttpRefused as error:
                fields = following(fields, error.said) if error.status in (400, 422) else None
                if fields is None:
                    raise

    def learned(self) -> tuple[str, ...]:
        """The fields that the server was found to refuse, in a few words each."""
        return self._form.differences()

    async def probe(self) -> str | None:
        """None if the server answers, otherwise a sentence that says why not. Takes 1 s at most."""
        return await self._http.probe()

    async def aclose(self) -> None:
        """Close the connections. Utterances under way fail."""
        await self._http.aclose()

    def _usual(self, hints: tuple[str, ...], upload: UploadedSpeech) -> dict[str, str]:
        """The fields for a server that takes everything."""
        # verbose_json has segments and language; no server streams it.
        fields = {
            "model": self._model,
            "response_format": "json" if self._stream else "verbose_json",
        }
        if upload.language is not None:
            fields["language"] = upload.language
        if self._word_times and not self._stream:
            fields["timestamp_granularities[]"] = "word"
        if before := prompt(hints, upload.language):
            fields["prompt"] = before
        if self._stream:
            fields["stream"] = "true"
        return fields

    async def _ask(
        self, turn: int, file: bytes, fields: dict[str, str], upload: UploadedSpeech
    ) -> AsyncGenerator[Transcript, None]:
        told = upload.hints if "prompt" in fields else ()
        upload = replace(upload, hints=told, language=fields.get("language"))
        async with self._http.post_form(
            "audio/transcriptions", fields, "utterance.wav", file, "audio/wav"
        ) as answer:
            if answer.content_type.startswith("text/event-stream"):
                async with aclosing(self._streamed(turn, answer, upload)) as transcripts:
                    async for transcript in transcripts:
                        yield transcript
                return
            body = await answer.body(MAX_REPLY_BYTES)
            reply = reply_in(body, answer.content_type) or self._http.parse(body)
            yield self._final(turn, reply, upload)

    async def _streamed(
        self, turn: int, answer: HttpAnswer, upload: UploadedSpeech
    ) -> AsyncGenerator[Transcript, None]:
        heard = StreamedText(upload)
        async with aclosing(answer.events()) as events:
            async for data in events:
                if data.strip() == "[DONE]":
                    if heard.text:  # some servers have no other end
                        yield self._final(turn, {"text": heard.text}, upload)
                        return
                    break
                event = self._http.parse(data)
                if event.get("type") == "transcript.text.done":
                    yield self._final(turn, heard.completed(event), upload)
                    return
                try:
                    shown = heard.add(event)
                except NoTranscription as error:
                    raise self._http.failed("protocol", str(error)) from error
                if shown:
                    yield Transcript(turn, shown, final=False, language=upload.language)
        raise self._http.failed("stream", "it ended before the transcript did")

    def _final(self, turn: int, reply: dict[str, Any], upload: UploadedSpeech) -> Transcript:
        try:
            final, reason = transcript(turn, reply, upload)
        except NoTranscription as error:
            raise self._http.failed("protocol", f"no transcription: {error}") from error
        if reason:
            log.debug("turn %d: no answer was heard (%s)", turn, reason)
        return final


class OpenAIRecognition:
    """One utterance: it collects the audio, then uploads it."""

    def __init__(
        self, stage: OpenAITranscriber, turn: int, hints: tuple[str, ...], language: str | None
    ) -> None:
        self._stage = stage
        self._language = language
        self._hints = hints
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
        upload = self._stage.transcribe(self._turn, audio, self._hints, self._language)
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
