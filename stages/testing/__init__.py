"""Checks whether a provider keeps the contract of `pipeline.stage`, for its author's own tests.

::

    from stages.testing import synthesizer_conforms

    def test_the_beeper_keeps_the_contract() -> None:
        synthesizer_conforms(Beeper)

Each of the six functions takes a callable that builds the stage, and checks the rules of its slot:
shape, results, odd input, several calls at once, cancellation at every await, an event loop that is
never blocked, and an end that leaves nothing running. It returns None, or raises one
`NotConforming` that lists all broken rules, each with the contract's text and the observed faults.
No test framework is needed; `python -m stages.testing tts parley_beep:Beeper` does the same.

`build` is called on the event loop, and again after a broken rule; `start()`, if the stage has it,
is awaited. A provider without threads, processes and sockets may run in virtual time, where waiting
costs nothing: `run=run_virtual` (see `pipeline.testing`). A call that takes longer than
`patience_s` counts as one that never ends.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeAlias

from pipeline.frames import Samples, Slot
from pipeline.stage import Animator, Detector, Responder, Synthesizer, Transcriber, TurnModel
from stages.testing import _avatar, _llm, _stt, _tts, _turn, _vad
from stages.testing._trial import Broken, NotConforming, Rule, Trial, Use, judge

__all__ = [
    "PATIENCE_S",
    "Broken",
    "NotConforming",
    "animator_conforms",
    "detector_conforms",
    "responder_conforms",
    "synthesizer_conforms",
    "transcriber_conforms",
    "turn_model_conforms",
]

PATIENCE_S = 30.0

Verdict: TypeAlias = tuple[str, tuple[Broken, ...]]
Run: TypeAlias = Callable[[Coroutine[Any, Any, Verdict]], Verdict]


def detector_conforms(
    build: Callable[[], Detector], *, run: Run = asyncio.run, patience_s: float = PATIENCE_S
) -> None:
    """Check a detector. Raises `NotConforming`."""
    _try("vad", build, None, _vad.RULES, run, patience_s)


def turn_model_conforms(
    build: Callable[[], TurnModel], *, run: Run = asyncio.run, patience_s: float = PATIENCE_S
) -> None:
    """Check a turn model with 20 to 60 questions. Raises `NotConforming`."""
    _try("turn", build, _turn.use, _turn.RULES, run, patience_s)


def transcriber_conforms(
    build: Callable[[], Transcriber],
    *,
    speech: Samples | None = None,
    run: Run = asyncio.run,
    patience_s: float = PATIENCE_S,
) -> None:
    """Check a transcriber. Raises `NotConforming`.

    `speech` is an utterance that it understands (16 kHz, some seconds); the default is a second of
    a voice-like sound. Transcripts are compared only with one another.
    """
    use, rules = _stt.rules(speech)
    _try("stt", build, use, rules, run, patience_s)


def responder_conforms(
    build: Callable[[], Responder], *, run: Run = asyncio.run, patience_s: float = PATIENCE_S
) -> None:
    """Check a responder with 20 to 60 calls. Raises `NotConforming`."""
    _try("llm", build, _llm.use, _llm.RULES, run, patience_s)


def synthesizer_conforms(
    build: Callable[[], Synthesizer], *, run: Run = asyncio.run, patience_s: float = PATIENCE_S
) -> None:
    """Check a synthesizer with 40 to 80 sentences. Raises `NotConforming`."""
    _try("tts", build, _tts.use, _tts.RULES, run, patience_s)


def animator_conforms(
    build: Callable[[], Animator], *, run: Run = asyncio.run, patience_s: float = PATIENCE_S
) -> None:
    """Check an animator with 30 to 70 calls. Raises `NotConforming`."""
    _try("avatar", build, _avatar.use, _avatar.RULES, run, patience_s)


def _try(
    slot: Slot,
    build: Callable[[], Any],
    use: Use | None,
    rules: Sequence[Rule],
    run: Run,
    patience_s: float,
) -> None:
    async def main() -> Verdict:
        trial = Trial(slot, build, patience_s, use)
        broken = await judge(trial, rules)
        return trial.name, broken

    name, broken = run(main())
    if broken:
        raise NotConforming(slot, name, broken)
