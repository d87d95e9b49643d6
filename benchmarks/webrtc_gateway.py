"""The gateway of the WebRTC runs: it speaks without end, or not at all, and nothing interrupts it.

Everything between the socket and the stages is the gateway's own. Of the stages, the voice is
finished speech that costs nothing to make, and voice detection is Silero, whose every chunk is then
called silence, or none.

    PARLEY_PORT=8000 python -m benchmarks.webrtc_gateway --detector silero
"""

import argparse
import sys
from collections.abc import AsyncIterator
from itertools import count

from benchmarks.webrtc_pictures import visemes
from benchmarks.webrtc_speech import speech
from gateway.commands.serve import serve
from gateway.settings import Settings
from pipeline.breaker import Breaker, BreakerPolicy
from pipeline.frames import Samples, Sentence, Speech
from pipeline.guard import Candidate, Guard
from pipeline.session import Stages
from pipeline.stage import Detector, OnChunk, VadStream
from stages.fakes import FakeTranscriber
from stages.llm.scripted import ScriptedInterviewer
from stages.vad.silero import SileroDetector

VOICE_RATE_HZ = 22_050
"""Of espeak and of most Piper voices."""

PIECE_MS = 1_020
"""Of speech handed over at a time: a whole number of sounds, about a clause."""

WORD_MS = 300
"""The only words of a quiet gateway."""


class EndlessVoice:
    """Speaks each sentence without end, until it is cancelled; with `quiet`, one word."""

    provider = "endless"
    rate_hz = VOICE_RATE_HZ

    def __init__(self, *, quiet: bool = False) -> None:
        self._said: Samples = speech(VOICE_RATE_HZ)
        self._quiet = quiet

    async def speak(self, sentence: Sentence) -> AsyncIterator[Speech]:
        if self._quiet:
            yield Speech(sentence.turn, self._said[: VOICE_RATE_HZ * WORD_MS // 1000])
            return
        size = VOICE_RATE_HZ * PIECE_MS // 1000
        for number in count():
            start = number * size % (len(self._said) - size)
            pcm = self._said[start : start + size]
            yield Speech(sentence.turn, pcm, visemes(number * PIECE_MS, PIECE_MS))

    async def aclose(self) -> None:
        pass


class Unmoved:
    """Runs another detector for its cost, and reports silence."""

    provider = "unmoved"

    def __init__(self, detector: Detector) -> None:
        self._detector = detector

    def open(self, on_chunk: OnChunk) -> VadStream:
        return self._detector.open(lambda position, probability: on_chunk(position, 0.0))

    async def aclose(self) -> None:
        await self._detector.aclose()


class NoDetector:
    """Ignores all audio."""

    provider = "none"

    def open(self, on_chunk: OnChunk) -> VadStream:
        return _NoStream()

    async def aclose(self) -> None:
        pass


class _NoStream:
    def feed(self, pcm: Samples) -> None:
        pass

    def close(self) -> None:
        pass


def stages(detector: Detector, *, quiet: bool) -> Stages:
    """A conversation in which one side never stops, and the other is never heard."""
    policy = BreakerPolicy()
    transcriber = FakeTranscriber()
    responder = ScriptedInterviewer()
    voice = EndlessVoice(quiet=quiet)
    return Stages(
        detector,
        Guard("stt", [Candidate(transcriber.provider, transcriber, Breaker(policy))]),
        Guard("llm", [Candidate(responder.provider, responder, Breaker(policy))]),
        Guard("tts", [Candidate(voice.provider, voice, Breaker(policy))]),
    )


def main() -> int:
    """Serve with the settings of the environment, as `parley serve` does."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--detector", choices=("silero", "none"), default="none")
    parser.add_argument("--quiet", action="store_true", help="fall silent after a word")
    arguments = parser.parse_args()
    detector: Detector = NoDetector()
    if arguments.detector == "silero":
        detector = Unmoved(SileroDetector())
    serve(Settings.load(env_file=None), stages(detector, quiet=arguments.quiet))
    return 0


if __name__ == "__main__":
    sys.exit(main())
