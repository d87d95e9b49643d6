"""Piper inside its worker process: one sentence after the other, each in the parts that Piper cuts.

Piper phonemises with its own espeak-ng, whose state is global to a process, and its model runs for
tens of milliseconds at a time, so it has a process of its own.
"""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from piper import PiperVoice, SynthesisConfig

from stages._worker_main import Header, LoadError, WorkerReply
from stages.tts.loudness import VoiceLevel, loudness_lufs
from stages.tts.piper import check

_MEASURED = "Hello. Tell me about a project that you are proud of."


class Piper:
    """The worker's handler: a job is one sentence; its replies are "speech" …, "end"."""

    def __init__(self, options: Header) -> None:
        if (problem := check(options["voice"])) is not None:
            raise LoadError(problem)
        started = time.perf_counter()
        self._voice = PiperVoice.load(options["voice"])
        self._config = SynthesisConfig(
            speaker_id=options["speaker"], length_scale=options["length_scale"]
        )
        self._sentences: dict[int, tuple[Iterator[Any], WorkerReply]] = {}
        # The first run allocates, shows whether it works, and says how loud the voice is.
        said = b"".join(part.audio_int16_bytes for part in self._parts(_MEASURED))
        rate_hz = self._voice.config.sample_rate
        loudness = loudness_lufs(np.frombuffer(said, np.int16) / 32768, rate_hz)
        self._level = VoiceLevel.toward_target(loudness)
        self.report: Header = {
            "rate_hz": rate_hz,
            "load_ms": round((time.perf_counter() - started) * 1000),
        }

    def handle(
        self, job: int, kind: str, header: Header, payload: bytes, reply: WorkerReply
    ) -> None:
        if kind != "speak":
            raise ValueError(f"unknown message {kind!r}")
        self._sentences[job] = (self._parts(header["text"]), reply)

    def cancel(self, job: int) -> None:
        self._sentences.pop(job, None)

    def work(self) -> bool:
        """Synthesise a part of the sentence that came first. See `Handler.work`."""
        if not self._sentences:
            return False
        job, (parts, reply) = next(iter(self._sentences.items()))
        try:
            part = next(parts, None)
        except Exception as error:  # one bad sentence must not end the process for the others
            reply("failed", {"text": f"{type(error).__name__}: {error}"}, last=True)
            part = None
        else:
            if part is None:
                reply("end", last=True)
            else:
                pcm = np.frombuffer(part.audio_int16_bytes, np.int16)
                reply(
                    "speech", None, self._level.apply_to_pcm(pcm, self.report["rate_hz"]).tobytes()
                )
        if part is None:
            del self._sentences[job]
        return True

    def _parts(self, text: str) -> Iterator[Any]:
        # Piper takes text in double brackets for raw phonemes; in a reply it is just text.
        return iter(self._voice.synthesize(text.replace("[[", "[ ["), self._config))


def handler(options: Header) -> Piper:
    """The worker's factory. See `stages.tts.piper.PiperSynthesizer`."""
    return Piper(options)
