"""The gateway with real voice detection, and behind it scripted stages that cost nothing.

PARLEY_PORT=8000 python -m gateway.commands.bench.scripted

So a load run measures the gateway and not the models of this machine.
"""

import sys
from collections.abc import Sequence

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

ANSWER = (
    "Last month our checkout froze under load, and I traced it to a lock in the database. I moved"
    " the slow query out of the transaction and wrote a test so that it would not come back."
)


def stages(heard: Sequence[str] = (ANSWER,)) -> Stages:
    """The scripted stages: recognition gives these texts in turn; the interview is the real one."""
    policy = BreakerPolicy()
    transcriber = FakeTranscriber(texts=heard)
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
    serve(Settings.load(env_file=None), stages())
    return 0


if __name__ == "__main__":
    sys.exit(main())
