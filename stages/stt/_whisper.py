"""Whisper inside its worker process: audio is gathered while the person speaks, decoded after.

One model serves all sessions. One finished utterance is decoded at a time; `_decode_queue` says
which, and refuses those that would be late. A cancellation is seen between the encoder and the
decoder. What the model heard counts only if `speech_check` takes it for speech.

A long utterance is decoded in pieces of at most 20 s while the person speaks, so that only the last
one remains at its end.

Partial transcripts are decodes of the audio since the last piece, in two steps, encoder and
decoder. A final that is requested meanwhile waits for the step under way, and the partial is
dropped. A second
CTranslate2 worker (`inter_threads`) would share the weights, but the cores as well: a final of
400 ms that was requested 50 ms into a partial took 850 ms with one worker and 690 ms with two (a
tiny model, two busy cores). Both are too slow, so there is one worker, and `_partial_budget` begins
no step that could still be running when a final is requested.

The final does not begin with the words on which the partials agree: CTranslate2 reads a prefix
token by token, in the time of writing it (29 words, 20 of them given: 194 ms, and without them 195
ms), and half as much context cost two errors in 66 words of human speech.
"""

import logging
import math
import time
from collections.abc import Generator
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeAlias

import numpy as np

from pipeline.frames import INPUT_RATE_HZ
from stages._worker_main import Header, WorkerReply
from stages.stt._decode_queue import DecodeQueue
from stages.stt._english_words import english_words
from stages.stt._hints import prompt, with_introduction
from stages.stt._levels import Audio, samples_of
from stages.stt._partial_budget import PartialBudget
from stages.stt._whisper_model import Abandoned, Glance, keep_memory
from stages.stt._whisper_piece import decode, final
from stages.stt._whisper_utterance import (
    LEAST_TOKENS,
    MORE_TOKENS,
    Heard,
    WhisperUtterance,
)
from stages.stt.speech_check import Hypothesis, judge
from stages.stt.whisper_loading import load

log = logging.getLogger("stages.stt.whisper")

_KNOWN_PIECES = 64
"""Pieces of long utterances whose text is remembered: some kilobytes in all."""


Known: TypeAlias = tuple[bytes, str | None, tuple[str, ...]]
"""The key of a piece's text: the hash of its audio, its language, its hints."""


@dataclass(slots=True)
class Partial:
    """The partial under way."""

    job: int
    glance: Generator[None, None, Glance]
    encoded: bool = False


class Whisper:
    """The worker's handler: jobs are utterances; "open", "audio" …, "finish" make one.

    "open" says whether `partials` are wanted, the `hints` and the `language`, None if it is to
    be found; "finish" says when the text is `due`, in seconds of the machine's monotonic clock.
    The final's header has a `reason` where the text is empty, `took_s`, what its decode took, and
    `busy_s`, what all decodes but those of partials have taken since the process began.
    """

    def __init__(self, options: Header) -> None:
        started = time.perf_counter()
        self._options = options
        self._model, loaded = load(options)
        self._model.words = english_words()
        self._utterances: dict[int, WhisperUtterance] = {}
        self._known: dict[Known, Heard] = {}
        self._partial: Partial | None = None
        self._captions_told = False  # that they stop where the encoder would delay a final
        # The first decode allocates memory and shows whether the files work; the second measures
        # the cost.
        for level in (0.0, 1e-3):
            begun = time.perf_counter()
            sound = np.full(INPUT_RATE_HZ, level, np.float32)
            heard = decode(self._model, sound, language=None, hints=(), options=options)
        self._busy_s = 0.0
        self._queue = DecodeQueue()
        self._queue.decoded(heard.audio_s, time.perf_counter() - begun)
        self._share = PartialBudget(
            time.perf_counter(),
            frame_s=self._model.frame_s,
            token_s=self._model.decode_s / max(heard.tokens, LEAST_TOKENS),
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
            multilingual = self._model.model.is_multilingual
            language = header.get("language") if multilingual else "en"
            self._utterances[job] = WhisperUtterance(
                reply, header["partials"], tuple(header["hints"]), language
            )
        elif kind == "audio":
            self._utterances[job].feed(payload, time.perf_counter())
        elif kind == "finish":
            due_s = header.get("due")
            due_s = math.inf if due_s is None else due_s
            self._take_known(self._utterances[job])
            if not self._queue.add(job, self._utterances[job].audio_s, due_s):
                self._refuse(job, "as many answers wait as may")
        else:
            raise ValueError(f"unknown message {kind!r}")

    def cancel(self, job: int) -> None:
        self._utterances.pop(job, None)
        self._queue.remove(job)

    def work(self) -> bool:
        """Decode the finished utterance that is due first; without one, a piece of a long
        utterance, or half a partial.

        See `Handler.work`.
        """
        for job in self._queue.late(time.monotonic()):
            self._refuse(job, "the answers that wait before this one would make it late")
        if (chosen := self._queue.next()) is not None:
            self._partial = None
            self._finish(self._utterances.pop(chosen))
            return True
        if self._next_piece():
            return True
        if self._partial is None:
            self._begin()
        return self._partial is not None and self._go_on(self._partial)

    # --- finals and pieces -------------------------------------------------------------------

    def _refuse(self, job: int, why: str) -> None:
        self._utterances.pop(job).reply("busy", {"text": why}, last=True)

    def _finish(self, utterance: WhisperUtterance) -> None:
        began = time.perf_counter()
        try:
            while utterance.has_piece:
                self._decode_piece(utterance)
            rest = self._decode(utterance, samples_of(bytes(utterance.audio)))
        except Abandoned:
            return
        except Exception as error:  # one bad utterance must not end the process for the others
            self._fail(utterance, error)
        else:
            utterance.decoded(bytes(utterance.audio), rest)
            took_s = time.perf_counter() - began
            told = {**final(utterance.before), "took_s": took_s, "busy_s": self._busy_s}
            utterance.reply("final", told, last=True)

    def _next_piece(self) -> bool:
        """Decode a piece of an utterance that goes on; false if none is long enough."""
        for job, utterance in self._utterances.items():
            self._take_known(utterance)
            if utterance.has_piece:
                self._partial = None
                try:
                    self._decode_piece(utterance)
                except Abandoned:
                    pass  # its cancellation is the next message
                except Exception as error:
                    self._fail(self._utterances.pop(job), error)
                return True
        return False

    def _fail(self, utterance: WhisperUtterance, error: Exception) -> None:
        utterance.reply("failed", {"text": f"{type(error).__name__}: {error}"}, last=True)

    def _decode_piece(self, utterance: WhisperUtterance) -> None:
        """Decode an utterance's next piece, and remember its text."""
        piece = utterance.piece()
        heard = self._decode(utterance, samples_of(piece))
        self._known[_key(utterance, piece)] = heard
        if len(self._known) > _KNOWN_PIECES:
            del self._known[next(iter(self._known))]
        utterance.decoded(piece, heard)

    def _take_known(self, utterance: WhisperUtterance) -> None:
        """Take the pieces whose text is known from an earlier job.

        Speech that goes on after a silence is a new job with the same audio from its beginning.
        """
        while utterance.has_piece:
            piece = utterance.piece()
            if (heard := self._known.get(_key(utterance, piece))) is None:
                return
            utterance.decoded(piece, heard)

    def _decode(self, utterance: WhisperUtterance, samples: Audio) -> Heard:
        """Decode a piece, and measure what it costs. Raises Abandoned."""
        model, reply = self._model, utterance.reply
        started = time.perf_counter()
        model.cancelled = lambda: reply.cancelled
        try:
            heard = decode(
                model,
                samples,
                language=utterance.language,
                hints=utterance.hints,
                options=self._options,
            )
        finally:
            model.cancelled = lambda: False
            self._busy_s += time.perf_counter() - started
        if len(samples):
            self._queue.decoded(heard.audio_s, time.perf_counter() - started)
            self._share.frame.measured(model.frame_s)
            self._share.token.measured(model.decode_s / max(heard.tokens, LEAST_TOKENS))
        return heard

    # --- partials ----------------------------------------------------------------------------

    def _begin(self) -> None:
        """Begin a partial of the utterance that has waited longest, if the budget allows it."""
        now_s = time.perf_counter()
        for job, utterance in self._utterances.items():
            tokens, frames = (
                utterance.expected_tokens,
                self._model.frames_of(len(utterance.audio) // 2),
            )
            if not utterance.has_news:
                continue
            if not self._captions_told and self._share.too_slow(frames):
                self._captions_told = True
                log.info("no captions past %.0f s of speech: slow encoder", utterance.audio_s)
            if self._share.may_encode(now_s, utterance.loud_at_s, tokens, frames):
                del self._utterances[job]  # to the end of the queue
                self._utterances[job] = utterance
                utterance.seen_bytes = len(utterance.audio)
                hints = prompt(utterance.hints, utterance.language)
                samples = samples_of(bytes(utterance.audio))
                glance = self._model.glance(samples, utterance.language, hints)
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
            language=found.language,
        )
        before = utterance.shown
        if text := judge(heard).text:
            utterance.agreement.add(text)
        if (shown := utterance.shown) != before:
            utterance.reply("partial", {"text": shown, "language": found.language})


def _key(utterance: WhisperUtterance, piece: bytes) -> Known:
    return sha256(piece).digest(), utterance.language, utterance.hints


def handler(options: Header) -> Whisper:
    """The worker's factory."""
    keep_memory()
    return Whisper(options)
