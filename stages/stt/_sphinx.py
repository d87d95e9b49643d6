"""pocketsphinx inside its worker process: several utterances share a few decoders.

pocketsphinx holds the GIL while it decodes, so it has a process of its own. One forward pass is
decoded while the person speaks, in slices of 100 ms, the utterances in turn. There is no second
pass and no lattice search: they cost up to a second at the end and gain little.
"""

import math
import time
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pocketsphinx import Decoder, set_loglevel

from pipeline.frames import INPUT_RATE_HZ
from stages._worker_main import Header, WorkerReply
from stages.stt._levels import loudest_db, samples_of
from stages.stt.speech_check import Hypothesis, Verdict, judge

_BYTES_PER_MS = 2 * INPUT_RATE_HZ // 1000
_SLICE_BYTES = 100 * _BYTES_PER_MS
"""Audio decoded at a time: some 10 ms of work."""

_PARTIAL_BYTES = 300 * _BYTES_PER_MS
_FRAME_MS = 10
"""pocketsphinx counts time in frames of 10 ms."""

_SPEAKER_SLICES = 20
"""Two seconds of speech, from which the speaker is estimated."""

_WARPS = (1.0, 1.18)
"""Vocal tract lengths that are tried: the model's own, and that of a small person. Higher ones
gained nothing on a synthetic voice, and each costs decoding of two seconds per utterance."""

_MEAN_PRIOR_FRAMES = 500
"""The weight, in frames, that pocketsphinx gives to the mean it starts with (its CMN_WIN)."""

_SPEECH_RANGE = 1 / 30
"""A slice within 30 dB of the loudest counts as speech."""


def spoken(word: str) -> str:
    """A segment's word without its pronunciation number; "" for silence, noise and sentence ends.

    >>> [spoken(word) for word in ("<s>", "the(2)", "[NOISE]", "++UM++")]
    ['', 'the', '', '']
    """
    return "" if word.startswith(("<", "[", "++")) else word.partition("(")[0]


@dataclass(frozen=True, slots=True)
class SpeakerNorm:
    """The speaker's values in the features: the vocal tract's length and the mean of the cepstra.

    `mean` is None for the model's own.
    """

    warp: float = 1.0
    mean: str | None = None


ANYBODY = SpeakerNorm()


class Recogniser:
    """A decoder that gives every utterance the same start.

    Accuracy depends much on the speaker. pocketsphinx carries the cepstral mean from utterance to
    utterance, which here belong to different people, and has one length of the vocal tract. So each
    utterance begins with the model's own speaker; after two seconds of speech the speaker is
    estimated (`learn`) and the utterance is decoded again from its beginning. Results depend on the
    utterance's audio alone.
    """

    def __init__(self) -> None:
        self._decoder = Decoder(
            fwdflat=False,
            bestpath=False,
            loglevel="FATAL",
            warp_type="inverse_linear",
            warp_params="1.0",
        )
        self._warp = 1.0
        self._model_mean: str = self._decoder.get_cmn()

    def begin(self, speaker: SpeakerNorm = ANYBODY) -> None:
        """Start an utterance of `speaker`."""
        if speaker.warp != self._warp:
            self._warp = speaker.warp
            self._decoder.config["warp_params"] = str(speaker.warp)
            self._decoder.reinit_feat()
        self._decoder.set_cmn(speaker.mean or self._model_mean)
        self._decoder.start_utt()

    def decode(self, pcm: bytes) -> None:
        """Take the utterance's next audio. Raises RuntimeError if the decoder fails."""
        self._decoder.process_raw(pcm)

    def end(self) -> None:
        """End the audio and settle the result."""
        self._decoder.end_utt()

    def learn(self, speech: bytes) -> Generator[None, None, SpeakerNorm]:
        """Estimate the speaker of some speech: the candidate with the highest likelihood.

        No utterance may be under way. Pauses after every slice of work. The choice by likelihood is
        that of vocal tract length normalisation (Lee and Rose, 1996).
        """
        likelihoods: dict[SpeakerNorm, float] = {}
        for warp in _WARPS:
            speaker = SpeakerNorm(warp, self._mean_of(speech, warp))
            self.begin(speaker)
            for start in range(0, len(speech), _SLICE_BYTES):
                self.decode(speech[start : start + _SLICE_BYTES])
                yield
            self.end()
            hypothesis = self._decoder.hyp()
            likelihoods[speaker] = hypothesis.best_score if hypothesis is not None else 0.0
        return max(likelihoods, key=lambda speaker: likelihoods[speaker])

    def _mean_of(self, speech: bytes, warp: float) -> str:
        self.begin(SpeakerNorm(warp))
        self._decoder.process_raw(speech, no_search=True)
        after = _numbers(self._decoder.get_cmn(True))
        self._decoder.end_utt()
        frames = len(speech) / (_BYTES_PER_MS * _FRAME_MS)
        before = _numbers(self._model_mean)
        # Undo the mixing with the prior mean that get_cmn has done.
        mean = (after * (_MEAN_PRIOR_FRAMES + frames) - before * _MEAN_PRIOR_FRAMES) / frames
        return ",".join(f"{number:.4f}" for number in mean)

    def text(self) -> str:
        """The text recognised so far."""
        hypothesis = self._decoder.hyp()
        return hypothesis.hypstr if hypothesis is not None else ""

    def words(self) -> list[list[str | int]]:
        """Each recognised word with its first and last millisecond."""
        return [
            [word, segment.start_frame * _FRAME_MS, (segment.end_frame + 1) * _FRAME_MS]
            for segment in self._decoder.seg() or ()
            if (word := spoken(segment.word))
        ]


def _numbers(mean: str) -> npt.NDArray[np.float64]:
    return np.array([float(number) for number in mean.split(",")])


class SphinxUtterance:
    """One utterance's audio, and how much of it has been decoded."""

    def __init__(self, reply: WorkerReply) -> None:
        self.reply = reply
        self.finished = False
        self.took_s = 0.0
        """Decoding, since the person has finished."""
        self.recogniser: Recogniser | None = None
        self._audio = bytearray()
        self._decoded = 0  # bytes
        self._loudness: list[float] = []  # of each slice, until there is enough to learn from
        self._learning: Generator[None, None, SpeakerNorm] | None = None
        self._learnt = False
        self._loudest_db = -math.inf
        self._partial = ""
        self._next_partial = _PARTIAL_BYTES

    @property
    def ready(self) -> bool:
        """Whether the utterance has work for a recogniser."""
        return self.finished or self._learning is not None or len(self._audio) > self._decoded

    def feed(self, pcm: bytes) -> None:
        """Keep audio until it is decoded."""
        self._audio += pcm

    def step(self, partials: bool) -> Header | None:
        """Decode one slice; returns the result when the utterance is over, None before."""
        recogniser = self.recogniser
        if recogniser is None:
            return None
        if self._learning is not None:
            self._learn(recogniser, self._learning)
            return None
        pcm = bytes(self._audio[self._decoded : self._decoded + _SLICE_BYTES])
        if not pcm:
            recogniser.end()
            verdict = self._judged(recogniser)
            words = recogniser.words() if verdict.text else []
            result: Header = {"text": verdict.text, "language": "en", "words": words}
            return {**result, "reason": verdict.reason}
        recogniser.decode(pcm)
        self._decoded += len(pcm)
        self._loudest_db = max(self._loudest_db, loudest_db(samples_of(pcm)))
        if not self._learnt:
            self._collect(recogniser, pcm)
        if partials and self._decoded >= self._next_partial:
            self._next_partial = self._decoded + _PARTIAL_BYTES
            if (text := self._judged(recogniser).text) != self._partial:
                self._partial = text
                self.reply("partial", {"text": text, "language": "en"})
        return None

    def _judged(self, recogniser: Recogniser) -> Verdict:
        """The verdict on the text so far. pocketsphinx gives no probability of a text."""
        audio_s = self._decoded / _BYTES_PER_MS / 1000
        return judge(Hypothesis(recogniser.text(), audio_s, loudest_db=self._loudest_db))

    def _collect(self, recogniser: Recogniser, pcm: bytes) -> None:
        """Collect speech until there is enough to estimate the speaker."""
        samples = np.frombuffer(pcm, np.int16).astype(np.float64)
        self._loudness.append(float(np.sqrt(np.mean(samples * samples))))
        threshold = max(self._loudness) * _SPEECH_RANGE
        loud = [index for index, value in enumerate(self._loudness) if value > threshold]
        if len(loud) < _SPEAKER_SLICES:
            return
        slices = [self._audio[index * _SLICE_BYTES :][:_SLICE_BYTES] for index in loud]
        recogniser.end()
        self._learnt = True
        self._learning = recogniser.learn(b"".join(slices))
        next(self._learning)  # so that the decoder always has an utterance under way

    def _learn(self, recogniser: Recogniser, learning: Generator[None, None, SpeakerNorm]) -> None:
        try:
            next(learning)
        except StopIteration as stop:
            self._learning = None
            self._decoded = 0
            recogniser.begin(stop.value)


class Sphinx:
    """The worker's handler: jobs are utterances; "open", "audio" …, "finish" make one.

    An utterance gets a decoder with its first audio. If no decoder is free, the audio waits here,
    and is decoded faster than real time once another utterance has ended.
    """

    def __init__(self, decoders: int) -> None:
        started = time.perf_counter()
        self._free = [Recogniser()]
        self._unmade = decoders - 1
        self._utterances: dict[int, SphinxUtterance] = {}
        self._partials: set[int] = set()
        self._busy_s = 0.0
        self.report: Header = {
            "decoders": decoders,
            "load_ms": round((time.perf_counter() - started) * 1000),
        }

    def handle(
        self, job: int, kind: str, header: Header, payload: bytes, reply: WorkerReply
    ) -> None:
        if kind == "open":
            self._utterances[job] = SphinxUtterance(reply)
            if header["partials"]:
                self._partials.add(job)
        elif kind == "audio":
            self._utterances[job].feed(payload)
        elif kind == "finish":
            self._utterances[job].finished = True
        else:
            raise ValueError(f"unknown message {kind!r}")

    def cancel(self, job: int) -> None:
        self._partials.discard(job)
        utterance = self._utterances.pop(job, None)
        if utterance is not None and utterance.recogniser is not None:
            utterance.recogniser.end()
            self._free.append(utterance.recogniser)

    def work(self) -> bool:
        """One slice for the utterance that has waited longest. See `Handler.work`."""
        for job, utterance in self._utterances.items():
            if utterance.ready and (utterance.recogniser is not None or self._equip(utterance)):
                self._step(job, utterance)
                return True
        return False

    def _step(self, job: int, utterance: SphinxUtterance) -> None:
        # To the end of the queue, so that each utterance is served.
        del self._utterances[job]
        began = time.perf_counter()
        try:
            result = utterance.step(job in self._partials)
        except RuntimeError as error:  # the decoder is in an unknown state: make a new one
            utterance.reply("failed", {"text": f"pocketsphinx: {error}"}, last=True)
            self._unmade += 1
            self._partials.discard(job)
            return
        took_s = time.perf_counter() - began
        self._busy_s += took_s
        utterance.took_s += took_s if utterance.finished else 0.0
        if result is None:
            self._utterances[job] = utterance
            return
        told = {**result, "took_s": utterance.took_s, "busy_s": self._busy_s}
        utterance.reply("final", told, last=True)
        self._partials.discard(job)
        if utterance.recogniser is not None:
            self._free.append(utterance.recogniser)

    def _equip(self, utterance: SphinxUtterance) -> bool:
        if not self._free and self._unmade:
            self._unmade -= 1
            self._free.append(Recogniser())
        if not self._free:
            return False
        utterance.recogniser = self._free.pop()
        utterance.recogniser.begin()
        return True


def handler(options: Header) -> Sphinx:
    """The worker's factory. `decoders`: how many utterances are decoded at a time."""
    set_loglevel("FATAL")
    return Sphinx(options["decoders"])
