"""Recognition of an upload: voice detection, then pieces for the recognisers of live voice."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from gateway.interviews.uploads.errors import UploadBusy, UploadFailed, UploadLanguage
from gateway.interviews.uploads.precedence import LiveFirst, WaitBudget
from gateway.interviews.uploads.segments import Span, SpeechRuns, pieces
from gateway.interviews.uploads.transcript import Part, UploadTranscript, joined
from gateway.providers.languages import any_knows, recognisers
from pipeline.errors import PipelineError
from pipeline.frames import INPUT_RATE_HZ, Samples, Transcript
from pipeline.guard import Candidate, Guard, Limits
from pipeline.languages import AUTO, check_language
from pipeline.stage import Detector, Transcriber, VadStream
from pipeline.wordless import worded

LIMITS = Limits(first_s=90.0, slow_first_s=90.0, stall_s=5.0, total_s=120.0)
"""For one piece. The usual limits are for live voice, most of which is recognised before it ends; a
piece of an upload arrives all at once, so a long recognition is no fault of the provider."""

DETECT_SAMPLES = INPUT_RATE_HZ // 2
"""Audio that voice detection gets at a time: about 1 ms of the event loop."""

REST_S = 0.005
"""Pause between two of these, in which the event loop does other work."""

DETECTION_S = 10.0
"""Voice detection that gives no result for this time has failed."""

DETECTION_SHARE = 0.1
"""The share of voice detection in the reported progress."""

OnProgress = Callable[[float], None]


@dataclass(slots=True)
class UploadRecording:
    """Decoded audio: 16 kHz, mono, 16 bit. `close` deletes it.

    `truncated` and `lost_ms` are those of `stages._decode.Decoded`.
    """

    file: BinaryIO
    samples: int
    truncated: bool = False
    lost_ms: int = 0

    @property
    def duration_ms(self) -> int:
        return self.samples * 1000 // INPUT_RATE_HZ

    @property
    def damage(self) -> str:
        """The parts of the file that are missing, in words for a log; "" if none are."""
        lost = f"{self.lost_ms} ms could not be read" if self.lost_ms else ""
        return ", ".join(filter(None, (lost, "its end is missing" if self.truncated else "")))

    async def read(self, span: Span) -> Samples:
        """The samples of one part."""
        if isinstance(self.file, io.BytesIO):
            return self._read(span)
        return await asyncio.to_thread(self._read, span)

    def close(self) -> None:
        self.file.close()

    def _read(self, span: Span) -> Samples:
        self.file.seek(2 * span.start)
        pcm: Samples = np.frombuffer(self.file.read(2 * span.length), np.int16)
        return pcm


async def recognise_upload(
    recording: UploadRecording,
    detector: Detector,
    transcribers: Guard[Transcriber],
    live_first: LiveFirst,
    *,
    hints: Sequence[str] = (),
    language: str | None = None,
    max_wait_s: float = 60.0,
    on_progress: OnProgress | None = None,
) -> UploadTranscript:
    """Recognise a recording piece by piece, each while no live voice needs the recogniser.

    `language` is the code of the language that is spoken, or "auto"; None leaves it to the
    recogniser. Recognisers are left out as in live calls: see `recognisers`.
    `max_wait_s` limits the wait for live voice, the time of cancelled pieces included.
    `on_progress` is called with a share from 0 to 1 that never falls. Raises `UploadBusy`
    (`live_voice_first`, `uploads_full`), `UploadFailed` (`no_recogniser`) and `UploadLanguage`.
    Cancelling cancels the piece under way; the caller closes the recording.
    """
    if not any_knows(transcribers, language):
        raise UploadLanguage(
            "language_not_recognised",
            f"No recogniser here understands the language {language!r}: type the answer, or have"
            " the operator run `parley fetch base`",
        )
    transcribers, heard = recognisers(transcribers, language)
    told = None if heard == AUTO else heard
    report = on_progress or _ignored
    report(0.0)
    runs = await _detect_speech(recording, detector, report)
    found = pieces(runs, recording.samples)
    guard: Guard[Transcriber] = Guard(
        "stt",
        [Candidate(one.provider, one.stage, one.breaker, LIMITS)
         for one in transcribers.candidates],
    )  # fmt: skip
    budget = WaitBudget(max_wait_s)
    parts: list[Part] = []
    total = sum(span.length for span in found)
    done = 0
    for span in found:
        piece = _Piece(await recording.read(span), span, guard, live_first, tuple(hints), told)
        parts.append(await live_first.run(piece.recognise, budget))
        done += span.length
        report(DETECTION_SHARE + (1 - DETECTION_SHARE) * done / total)
    report(1.0)
    first = transcribers.candidates[0].provider
    return joined(
        parts,
        runs,
        recording.samples,
        first=first,
        truncated=recording.truncated,
        lost_ms=recording.lost_ms,
    )


@dataclass(frozen=True, slots=True)
class _Piece:
    """One piece to be recognised; `recognise` may be called several times."""

    pcm: Samples
    span: Span
    guard: Guard[Transcriber]
    live_first: LiveFirst
    hints: tuple[str, ...]
    language: str | None

    async def recognise(self) -> Part:
        try:
            async with self.guard.stream(
                self._transcripts, useful=lambda transcript: transcript.final
            ) as transcripts:
                async for transcript in transcripts:
                    if transcript.final:
                        return self._part(transcript, transcripts.provider)
        except PipelineError as error:
            raise UploadFailed(
                "no_recogniser", "No recogniser could take the recording", retry_after_s=10
            ) from error
        raise UploadFailed("no_recogniser", "No recogniser came to an end", retry_after_s=10)

    def _part(self, transcript: Transcript, provider: str) -> Part:
        stage = next(one.stage for one in self.guard.candidates if one.provider == provider)
        return Part(self.span, worded(transcript), provider, getattr(stage, "note", ""))

    async def _transcripts(self, stage: Transcriber) -> AsyncIterator[Transcript]:
        check_language("stt", stage, self.language)
        with self.live_first.ours(stage):
            recognition = stage.open(0, None, self.hints, self.language)
            try:
                recognition.feed(self.pcm)
                async for transcript in recognition.finish():
                    yield transcript
            finally:
                recognition.cancel()


async def _detect_speech(
    recording: UploadRecording, detector: Detector, report: OnProgress
) -> list[Span]:
    """Where the recording contains speech, by the detector that live voice uses."""
    voice = SpeechRuns()
    more = asyncio.Event()

    def on_chunk(position: int, probability: float) -> None:
        voice.add(position, probability)
        more.set()

    try:
        vad_stream = detector.open(on_chunk)
    except PipelineError as error:  # the detector has all the streams that it can serve
        raise UploadBusy(
            "uploads_full", "Voice detection has no place left; try again later", retry_after_s=10
        ) from error
    try:
        for start in range(0, recording.samples, DETECT_SAMPLES):
            end = min(start + DETECT_SAMPLES, recording.samples)
            vad_stream.feed(await recording.read(Span(start, end)))
            await _caught_up(voice, more, end)
            report(DETECTION_SHARE * end / recording.samples)
            await asyncio.sleep(REST_S)
        await _flush(vad_stream, voice, more, recording.samples)
    finally:
        vad_stream.close()
    return [Span(run.start, min(run.end, recording.samples)) for run in voice.runs()]


CHUNK_SAMPLES = 1600
"""Detectors judge chunks of this length or less."""


async def _caught_up(voice: SpeechRuns, more: asyncio.Event, position: int) -> None:
    try:
        async with asyncio.timeout(DETECTION_S):
            while voice.position <= position - CHUNK_SAMPLES:
                more.clear()
                await more.wait()
    except TimeoutError:
        raise UploadFailed(
            "no_recogniser", "Voice detection does not answer", retry_after_s=10
        ) from None


async def _flush(
    vad_stream: VadStream, voice: SpeechRuns, more: asyncio.Event, samples: int
) -> None:
    """Feed silence after the end, so that an incomplete last chunk is judged, too."""
    vad_stream.feed(np.zeros(CHUNK_SAMPLES, np.int16))
    await _caught_up(voice, more, samples + CHUNK_SAMPLES)


def _ignored(share: float) -> None:
    """For a caller that wants no progress."""
