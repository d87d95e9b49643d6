"""Whisper inside its worker process: audio is gathered while the person speaks, decoded after.

One model serves all sessions. One utterance is decoded at a time, from features to the last of
faster-whisper's lazily computed segments; `_decode_queue` says which, and refuses those that would
be late. A cancellation is seen between two segments, and between the encoder and the decoder.

What the model heard counts only if `speech_check` takes it for speech.

Partial transcripts are decodes of all the audio so far, in two pieces, encoder and decoder. A final
that is requested meanwhile waits for the piece under way, and the partial is dropped. A second
CTranslate2 worker (`inter_threads`) would share the weights, but the cores as well: a final of
400 ms that was requested 50 ms into a partial took 850 ms with one worker and 690 ms with two (a
tiny model, two busy cores). Both are too slow, so there is one worker, and `_partial_budget` begins
no piece that could still be running when a final is requested.

The final does not begin with the words on which the partials agree: CTranslate2 reads a prefix
token by token, in the time of writing it (29 words, 20 of them given: 194 ms, and without them 195
ms), and half as much context cost two errors in 66 words of human speech.
"""

import logging
import math
import time
from collections.abc import Generator
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from pipeline.frames import INPUT_RATE_HZ
from stages._worker_main import Header, WorkerReply
from stages.stt._decode_queue import DecodeQueue
from stages.stt._hints import prompt, with_introduction
from stages.stt._partial_budget import PartialBudget
from stages.stt._whisper_model import Abandoned, Glance, keep_memory, most_tokens
from stages.stt._whisper_utterance import (
    LEAST_TOKENS,
    MORE_TOKENS,
    WINDOW_SAMPLES,
    Audio,
    WhisperUtterance,
    loudest_db,
)
from stages.stt.speech_check import MOST_COMPRESSION, Hypothesis, Reason, judge
from stages.stt.whisper_loading import load

log = logging.getLogger("stages.stt.whisper")

_TEMPERATURES = (0.0, 0.4)
"""The second is tried only where the first gave a phrase without end: it doubles the latency."""


@dataclass(slots=True)
class Partial:
    """The partial under way."""

    job: int
    glance: Generator[None, None, Glance]
    encoded: bool = False


class Whisper:
    """The worker's handler: jobs are utterances; "open", "audio" …, "finish" make one.

    "open" says whether `partials` are wanted, the `hints` and the `language`; "finish" says when
    the text is `due`, in seconds of the machine's monotonic clock. The final's header has a
    `reason` where the text is empty.
    """

    def __init__(self, options: Header) -> None:
        started = time.perf_counter()
        self._options = options
        self._model, loaded = load(options)
        self._token_s = 0.0
        self._utterances: dict[int, WhisperUtterance] = {}
        self._partial: Partial | None = None
        # The first decode allocates memory and shows whether the files work; the second measures
        # the cost.
        for level in (0.0, 1e-3):
            begun = time.perf_counter()
            self._transcribe(np.full(INPUT_RATE_HZ, level, np.float32), (), None, None)
            took_s = time.perf_counter() - begun
        self._queue = DecodeQueue()
        self._queue.decoded(1.0, took_s)
        self._share = PartialBudget(
            time.perf_counter(), frame_s=self._model.frame_s, token_s=self._token_s
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
            language = header.get("language") or self._options["language"]
            if not self._model.model.is_multilingual:
                language = "en"
            self._utterances[job] = WhisperUtterance(
                reply, header["partials"], tuple(header["hints"]), language
            )
        elif kind == "audio":
            self._utterances[job].feed(payload, time.perf_counter())
        elif kind == "finish":
            due_s = header.get("due")
            due_s = math.inf if due_s is None else due_s
            if not self._queue.add(job, self._utterances[job].audio_s, due_s):
                self._refuse(job, "as many answers wait as may")
        else:
            raise ValueError(f"unknown message {kind!r}")

    def cancel(self, job: int) -> None:
        self._utterances.pop(job, None)
        self._queue.remove(job)

    def work(self) -> bool:
        """Decode the finished utterance that is due first; without one, a piece of a partial.

        See `Handler.work`.
        """
        for job in self._queue.late(time.monotonic()):
            self._refuse(job, "the answers that wait before this one would make it late")
        if (chosen := self._queue.next()) is not None:
            self._partial = None
            self._finish(self._utterances.pop(chosen))
            return True
        if self._partial is None:
            self._begin()
        return self._partial is not None and self._go_on(self._partial)

    # --- finals ------------------------------------------------------------------------------

    def _refuse(self, job: int, why: str) -> None:
        self._utterances.pop(job).reply("busy", {"text": why}, last=True)

    def _finish(self, utterance: WhisperUtterance) -> None:
        reply = utterance.reply
        self._model.cancelled = lambda: reply.cancelled
        started = time.perf_counter()
        try:
            samples = utterance.samples()
            result = self._transcribe(samples, utterance.hints, utterance.language, reply)
        except Abandoned:
            return
        except Exception as error:  # one bad utterance must not end the process for the others
            reply("failed", {"text": f"{type(error).__name__}: {error}"}, last=True)
        else:
            reply("final", result, last=True)
            if len(samples):
                self._queue.decoded(utterance.audio_s, time.perf_counter() - started)
                self._share.frame.measured(self._model.frame_s)
                self._share.token.measured(self._token_s)
        finally:
            self._model.cancelled = lambda: False

    def _transcribe(
        self,
        samples: Audio,
        hints: tuple[str, ...],
        language: str | None,
        reply: WorkerReply | None,
    ) -> Header:
        if not len(samples):
            return _final([], None, [], [], "no words")
        options = self._options
        language = language or self._model.language_of(samples)
        tokens = 0
        found, info = self._model.transcribe(
            samples,
            language=language,
            beam_size=options["beam_size"],
            temperature=_TEMPERATURES,
            best_of=1,
            compression_ratio_threshold=MOST_COMPRESSION,
            # `judge` reads these two: there is text in a window that it does not take for speech.
            log_prob_threshold=None,
            no_speech_threshold=None,
            max_new_tokens=most_tokens(len(samples)),
            condition_on_previous_text=False,
            without_timestamps=options["without_timestamps"] and len(samples) <= WINDOW_SAMPLES,
            word_timestamps=options["word_timestamps"],
            hotwords=prompt(hints, language),
            vad_filter=False,
        )
        level_db = loudest_db(samples)
        texts: list[str] = []
        words: list[list[str | int]] = []
        weighed: list[tuple[float, float]] = []
        reason: Reason = "no words"
        for seek, window in groupby(found, key=lambda segment: segment.seek):
            segments = list(window)
            if reply is not None and reply.cancelled:
                break
            tokens += sum(len(segment.tokens) for segment in segments)
            audio_s = min(len(samples) / INPUT_RATE_HZ - seek / 100, 30.0)
            verdict = judge(
                Hypothesis(
                    "".join(segment.text for segment in segments),
                    audio_s,
                    segments[0].avg_logprob,
                    segments[0].no_speech_prob,
                    level_db,
                    with_introduction(hints),
                )
            )
            log.debug("%s: %.1f s, %s", verdict.reason or "speech", audio_s, segments[0])
            if not verdict.text:
                reason = verdict.reason
                continue
            texts.append(verdict.text)
            weighed.append((audio_s, math.exp(segments[0].avg_logprob)))
            words += [
                [word.word.strip(), round(word.start * 1000), round(word.end * 1000)]
                for segment in segments
                for word in segment.words or ()
            ]
        self._token_s = self._model.decode_s / max(tokens, LEAST_TOKENS)
        return _final(texts, info.language, weighed, words, reason)

    # --- partials ----------------------------------------------------------------------------

    def _begin(self) -> None:
        """Begin a partial of the utterance that has waited longest, if the budget allows it."""
        now_s = time.perf_counter()
        for job, utterance in self._utterances.items():
            tokens, frames = (
                utterance.expected_tokens,
                self._model.frames_of(len(utterance.audio) // 2),
            )
            if utterance.has_news and self._share.may_encode(
                now_s, utterance.loud_at_s, tokens, frames
            ):
                del self._utterances[job]  # to the end of the queue
                self._utterances[job] = utterance
                utterance.seen_bytes = len(utterance.audio)
                hints = prompt(utterance.hints, utterance.language)
                glance = self._model.glance(utterance.samples(), utterance.language, hints)
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
            self._share.frame.measured(self._model.frame_s)
            return True
        self._share.token.measured((now_s - started) / max(found.tokens, LEAST_TOKENS))
        utterance.expected_tokens = max(LEAST_TOKENS, found.tokens + MORE_TOKENS)
        self._show(utterance, found)
        return True

    def _show(self, utterance: WhisperUtterance, found: Glance) -> None:
        seen_s = utterance.seen_bytes / 2 / INPUT_RATE_HZ
        heard = Hypothesis(
            found.text,
            seen_s,
            found.avg_logprob,
            found.no_speech_prob,
            hints=with_introduction(utterance.hints),
        )
        text = judge(heard).text
        before = utterance.agreement.text
        if text and (shown := utterance.agreement.add(text)) != before:
            utterance.reply("partial", {"text": shown, "language": found.language})


def _final(
    texts: list[str],
    language: str | None,
    weighed: list[tuple[float, float]],
    words: list[list[str | int]],
    reason: Reason,
) -> Header:
    """The final's header. `weighed` are the windows' lengths and mean probabilities of a token."""
    weights = sum(weight for weight, _ in weighed)
    mean = sum(weight * value for weight, value in weighed) / weights if weights else None
    return {
        "text": " ".join(texts),
        "language": language,
        "confidence": None if mean is None else min(1.0, mean),
        "words": words,
        "reason": "" if texts else reason,
    }


def handler(options: Header) -> Whisper:
    """The worker's factory."""
    keep_memory()
    return Whisper(options)
