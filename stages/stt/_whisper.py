"""Whisper inside its worker process: audio is gathered while the person speaks, decoded after.

One utterance is decoded at a time, from features to the last of faster-whisper's lazily computed
segments. Messages of other utterances wait until it is done, but a cancellation is seen between
two segments, and between the encoder and the decoder.

Partial transcripts are decodes of all the audio so far, in two pieces, encoder and decoder. A final
that is requested meanwhile waits for the piece under way, and the partial is dropped. A second
CTranslate2 worker (`inter_threads`) would share the weights, but the cores as well: a final of
400 ms that was requested 50 ms into a partial took 850 ms with one worker and 690 ms with two (a
tiny model, two busy cores). Both are too slow, so there is one worker, and `_partial_budget` begins
no piece that could still be running when a final is requested.
"""

import logging
import math
import time
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field

import numpy as np

from pipeline.frames import INPUT_RATE_HZ
from stages._worker_main import Header, WorkerReply
from stages.stt._agreement import Agreement
from stages.stt._partial_budget import PartialBudget
from stages.stt._whisper_model import Abandoned, Audio, Glance, keep_memory
from stages.stt.whisper_loading import load

log = logging.getLogger("stages.stt.whisper")

_WINDOW_SAMPLES = 30 * INPUT_RATE_HZ
"""Whisper decodes 30 s at a time; longer audio needs timestamps to move on at a word's end."""

_SCALE = np.float32(1 / 32768)

_NEWS_BYTES = 2 * INPUT_RATE_HZ // 2
"""A partial begins when there is at least half a second of new audio."""

LEAST_TOKENS, MORE_TOKENS = 8, 4
"""The estimate for a partial: at least the first, and the second more than the one before had."""

_SLICE_SAMPLES = INPUT_RATE_HZ // 20
_SPEECH_RANGE = 1 / 20
"""A slice of 50 ms within 26 dB of the loudest counts as loud."""


@dataclass(slots=True)
class WhisperUtterance:
    """One utterance's audio and the state of its partials."""

    reply: WorkerReply
    partials: bool
    hotwords: str | None
    audio: bytearray = field(default_factory=bytearray)
    agreement: Agreement = field(default_factory=Agreement)
    loud_at_s: float = -math.inf
    """When audio with a loud end last arrived."""
    seen_bytes: int = 0
    """Bytes of the audio that the last partial had."""
    expected_tokens: int = LEAST_TOKENS
    """The estimate for the next partial."""
    _loudest: float = 1.0

    def feed(self, pcm: bytes, now_s: float) -> None:
        """Keep the next audio."""
        self.audio += pcm
        if not self.partials:
            return
        samples = np.frombuffer(pcm, np.int16).astype(np.float32)
        slices = [samples[max(0, end - _SLICE_SAMPLES) : end] for end in _ends(len(samples))]
        levels = [float(np.sqrt(np.mean(slice_ * slice_))) for slice_ in slices]
        self._loudest = max(self._loudest, *levels)
        if levels[-1] > self._loudest * _SPEECH_RANGE:
            self.loud_at_s = now_s

    @property
    def has_news(self) -> bool:
        """Whether there is enough new audio for a partial, and all audio fits one window."""
        return (
            self.partials
            and len(self.audio) >= self.seen_bytes + _NEWS_BYTES
            and len(self.audio) <= 2 * _WINDOW_SAMPLES
        )

    def samples(self) -> Audio:
        return np.frombuffer(bytes(self.audio), np.int16).astype(np.float32) * _SCALE


@dataclass(slots=True)
class Partial:
    """The partial under way."""

    job: int
    glance: Generator[None, None, Glance]
    encoded: bool = False


def _ends(length: int) -> range:
    """The ends of the slices; the last slice ends with the audio."""
    return range(length % _SLICE_SAMPLES or min(length, _SLICE_SAMPLES), length + 1, _SLICE_SAMPLES)


class Whisper:
    """The worker's handler: jobs are utterances; "open", "audio" …, "finish" make one."""

    def __init__(self, options: Header) -> None:
        started = time.perf_counter()
        self._options = options
        self._model, loaded = load(options)
        self._token_s = 0.0
        self._utterances: dict[int, WhisperUtterance] = {}
        self._finished: deque[tuple[int, WorkerReply]] = deque()
        self._partial: Partial | None = None
        # The first decode allocates memory and shows whether the files work; the second measures
        # the cost.
        for level in (0.0, 1e-3):
            self._transcribe(np.full(INPUT_RATE_HZ, level, np.float32), None, None)
        self._share = PartialBudget(
            time.perf_counter(), encoder_s=self._model.encode_s, token_s=self._token_s
        )
        self.report: Header = {
            **loaded,
            "multilingual": self._model.model.is_multilingual,
            "load_ms": round((time.perf_counter() - started) * 1000),
        }

    def handle(
        self, job: int, kind: str, header: Header, payload: bytes, reply: WorkerReply
    ) -> None:
        if kind == "open":
            self._utterances[job] = WhisperUtterance(
                reply, header["partials"], " ".join(header["hints"]) or None
            )
        elif kind == "audio":
            self._utterances[job].feed(payload, time.perf_counter())
        elif kind == "finish":
            self._finished.append((job, reply))
        else:
            raise ValueError(f"unknown message {kind!r}")

    def cancel(self, job: int) -> None:
        self._utterances.pop(job, None)

    def work(self) -> bool:
        """Decode the utterance that was finished first; without one, a piece of a partial.

        See `Handler.work`.
        """
        if self._finished:
            self._partial = None
            self._finish(*self._finished.popleft())
            return True
        if self._partial is None:
            self._begin()
        return self._partial is not None and self._go_on(self._partial)

    # --- finals ------------------------------------------------------------------------------

    def _finish(self, job: int, reply: WorkerReply) -> None:
        utterance = self._utterances.pop(job, None)
        if utterance is None:  # cancelled
            return
        self._model.cancelled = lambda: reply.cancelled
        try:
            samples = utterance.samples()
            result = self._transcribe(samples, utterance.hotwords, reply)
        except Abandoned:
            return
        except Exception as error:  # one bad utterance must not end the process for the others
            reply("failed", {"text": f"{type(error).__name__}: {error}"}, last=True)
        else:
            reply("final", result, last=True)
            if 0 < len(samples) <= _WINDOW_SAMPLES:
                self._share.encoder.measured(self._model.encode_s)
                self._share.token.measured(self._token_s)
        finally:
            self._model.cancelled = lambda: False

    def _transcribe(
        self, samples: Audio, hotwords: str | None, reply: WorkerReply | None
    ) -> Header:
        if not len(samples):
            return {"text": "", "language": None, "confidence": None, "words": []}
        options = self._options
        tokens = 0
        segments, info = self._model.transcribe(
            samples,
            language=options["language"] or self._model.language_of(samples),
            beam_size=options["beam_size"],
            # One temperature: a second try would double the latency when it is longest already.
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=options["without_timestamps"] and len(samples) <= _WINDOW_SAMPLES,
            word_timestamps=options["word_timestamps"],
            hotwords=hotwords,
            vad_filter=False,
        )
        texts: list[str] = []
        words: list[list[str | int]] = []
        weighted = weights = 0.0
        for segment in segments:
            if reply is not None and reply.cancelled:
                break
            texts.append(segment.text)
            tokens += len(segment.tokens)
            weight = max(segment.end - segment.start, 0.01)
            weighted += weight * math.exp(segment.avg_logprob)
            weights += weight
            words += [
                [word.word.strip(), round(word.start * 1000), round(word.end * 1000)]
                for word in segment.words or ()
            ]
        self._token_s = self._model.decode_s / max(tokens, LEAST_TOKENS)
        return {
            "text": "".join(texts).strip(),
            "language": info.language,
            "confidence": min(1.0, weighted / weights) if weights else None,
            "words": words,
        }

    # --- partials ----------------------------------------------------------------------------

    def _begin(self) -> None:
        """Begin a partial of the utterance that has waited longest, if the budget allows it."""
        now_s = time.perf_counter()
        for job, utterance in self._utterances.items():
            expected = utterance.expected_tokens
            if utterance.has_news and self._share.may_encode(now_s, utterance.loud_at_s, expected):
                del self._utterances[job]  # to the end of the queue
                self._utterances[job] = utterance
                utterance.seen_bytes = len(utterance.audio)
                glance = self._model.glance(
                    utterance.samples(), self._options["language"], utterance.hotwords
                )
                self._partial = Partial(job, glance)
                return

    def _go_on(self, partial: Partial) -> bool:
        """Do the next piece of a partial; false while it must not begin."""
        utterance = self._utterances.get(partial.job)
        if utterance is None:  # cancelled
            self._partial = None
            return True
        started = time.perf_counter()
        expected = utterance.expected_tokens
        if partial.encoded and not self._share.may_decode(started, utterance.loud_at_s, expected):
            return False
        found: Glance | None = None
        try:
            next(partial.glance)
        except StopIteration as stop:
            found = stop.value
            self._partial = None
        except Exception as error:  # the final will show whether the utterance is at fault
            self._partial = None
            utterance.partials = False
            log.warning("no more partials of this utterance: %r", error)
        now_s = time.perf_counter()
        self._share.spent(now_s, now_s - started)
        if found is None:
            partial.encoded = True
            self._share.encoder.measured(self._model.encode_s)
            return True
        self._share.token.measured((now_s - started) / max(found.tokens, LEAST_TOKENS))
        utterance.expected_tokens = max(LEAST_TOKENS, found.tokens + MORE_TOKENS)
        before = utterance.agreement.text
        if (shown := utterance.agreement.add(found.text)) != before:
            utterance.reply("partial", {"text": shown, "language": found.language})
        return True


def handler(options: Header) -> Whisper:
    """The worker's factory."""
    keep_memory()
    return Whisper(options)
