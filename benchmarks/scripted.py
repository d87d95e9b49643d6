"""The gateway with real voice detection, and scripted stages behind it that cost nothing.

PARLEY_PORT=8000 python -m benchmarks.scripted
"""

import sys

from benchmarks.speech import answers
from gateway.commands.serve import serve
from gateway.settings import Settings
from pipeline.breaker import Breaker, BreakerPolicy
from pipeline.guard import Candidate, Guard
from pipeline.session import Stages
from stages.fakes import FakeSynthesizer, FakeTranscriber
from stages.llm.scripted import ScriptedInterviewer
from stages.vad.silero import SileroDetector

MS_PER_WORD = 120
"""How fast the scripted voice speaks: replies long enough to be interrupted, and no longer."""


def stages() -> Stages:
    """Recognition hears the fixture clips' texts in turn; the interview is the real one."""
    policy = BreakerPolicy()
    transcriber = FakeTranscriber(texts=[clip.text for clip in answers()])
    responder = ScriptedInterviewer()
    synthesizer = FakeSynthesizer(ms_per_word=MS_PER_WORD)
    return Stages(
        SileroDetector(),
        Guard("stt", [Candidate(transcriber.provider, transcriber, Breaker(policy))]),
        Guard("llm", [Candidate(responder.provider, responder, Breaker(policy))]),
        Guard("tts", [Candidate(synthesizer.provider, synthesizer, Breaker(policy))]),
    )


def main() -> int:
    """Serve with the settings of the environment, as `parley serve` does."""
    settings = Settings.load(env_file=None)
    serve(settings, stages())
    return 0


if __name__ == "__main__":
    sys.exit(main())
