"""Whisper inside its worker process: audio is gathered while the person speaks, decoded after.

One utterance is decoded at a time, from features to the last of faster-whisper's lazily computed
segments. Messages of other utterances wait until it is done, but a cancellation is seen between two
segments.
"""

import math
import time
from collections import deque

import numpy as np
import numpy.typing as npt
from faster_whisper import WhisperModel

from pipeline.frames import INPUT_RATE_HZ
from stages._worker_main import Header, LoadError, Reply
from stages.stt.whisper_models import check, locate

_WINDOW_SAMPLES = 30 * INPUT_RATE_HZ
"""Whisper looks at 30 s at a time; longer audio needs timestamps to move on at a word's end."""

_SCALE = np.float32(1 / 32768)


class Whisper:
    """The worker's handler: jobs are utterances; "open", "audio" …, "finish" make one."""

    def __init__(self, options: Header) -> None:
        if (problem := check(options["model"])) is not None:
            raise LoadError(problem)
        started = time.perf_counter()
        self._options = options
        self._model = WhisperModel(
            str(locate(options["model"])),
            device="cpu",
            compute_type=options["compute_type"],
            cpu_threads=options["cpu_threads"],
            local_files_only=True,
        )
        self._audio: dict[int, bytearray] = {}
        self._finished: deque[tuple[int, Reply]] = deque()
        # The first decode allocates, and shows whether the files are any good.
        self._transcribe(np.zeros(INPUT_RATE_HZ, np.float32), None)
        self.report: Header = {
            "model": options["model"],
            "multilingual": self._model.model.is_multilingual,
            "load_ms": round((time.perf_counter() - started) * 1000),
        }

    def handle(self, job: int, kind: str, header: Header, payload: bytes, reply: Reply) -> None:
        if kind == "open":
            self._audio[job] = bytearray()
        elif kind == "audio":
            self._audio[job] += payload
        elif kind == "finish":
            self._finished.append((job, reply))
        else:
            raise ValueError(f"unknown message {kind!r}")

    def cancel(self, job: int) -> None:
        self._audio.pop(job, None)

    def work(self) -> bool:
        """Decode the utterance that was finished first. See `Handler.work`."""
        if not self._finished:
            return False
        job, reply = self._finished.popleft()
        audio = self._audio.pop(job, None)
        if audio is None:  # cancelled
            return True
        try:
            samples = np.frombuffer(audio, np.int16).astype(np.float32) * _SCALE
            result = self._transcribe(samples, reply)
        except Exception as error:  # one bad utterance must not end the process for the others
            reply("failed", {"text": f"{type(error).__name__}: {error}"}, last=True)
        else:
            reply("final", result, last=True)
        return True

    def _transcribe(self, samples: npt.NDArray[np.float32], reply: Reply | None) -> Header:
        if not len(samples):
            return {"text": "", "language": None, "confidence": None, "words": []}
        options = self._options
        segments, info = self._model.transcribe(
            samples,
            language=options["language"],
            beam_size=options["beam_size"],
            # One temperature: a second try would double the latency just when it is longest.
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=options["without_timestamps"] and len(samples) <= _WINDOW_SAMPLES,
            word_timestamps=options["word_timestamps"],
            vad_filter=False,
        )
        texts: list[str] = []
        words: list[list[str | int]] = []
        weighted = weights = 0.0
        for segment in segments:
            if reply is not None and reply.cancelled:
                break
            texts.append(segment.text)
            weight = max(segment.end - segment.start, 0.01)
            weighted += weight * math.exp(segment.avg_logprob)
            weights += weight
            words += [
                [word.word.strip(), round(word.start * 1000), round(word.end * 1000)]
                for word in segment.words or ()
            ]
        return {
            "text": "".join(texts).strip(),
            "language": info.language,
            "confidence": min(1.0, weighted / weights) if weights else None,
            "words": words,
        }


def handler(options: Header) -> Whisper:
    """The worker's factory."""
    return Whisper(options)
