"""Does a provider keep the contract of `pipeline.stage`? To be asked in its author's own tests.

::

    from stages.testing import synthesizer_conforms

    def test_the_beeper_keeps_the_contract() -> None:
        synthesizer_conforms(Beeper)

Each of the five functions is given what builds the stage and puts the rules of its slot to it: its
shape, what it gives, odd input, several calls at once, cancellation at every await, an event loop
that is never blocked, and an end that leaves nothing behind. It returns None, or raises one
`NotConforming` that lists all rules that were broken: what the contract says, and what was seen.
No test framework is needed; `python -m stages.testing tts parley_beep:Beeper` does the same.

`build` is called on the event loop, again after a broken rule; `start()`, if the stage has it, is
awaited. A provider that uses no threads, processes or sockets may be run in virtual time, where
waiting costs nothing: `run=run_virtual` (see `pipeline.testing`). `patience_s` is how long one call
may take before it counts as one that never ends.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeAlias

from pipeline.frames import Samples, Slot
from pipeline.stage import Animator, Detector, Responder, Synthesizer, Transcriber
from stages.testing import _avatar, _llm, _stt, _tts, _vad
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
]

PATIENCE_S = 30.0

Verdict: TypeAlias = tuple[str, tuple[Broken, ...]]
Run: TypeAlias = Callable[[Coroutine[Any, Any, Verdict]], Verdict]


def detector_conforms(
    build: Callable[[], Detector], *, run: Run = asyncio.run, patience_s: float = PATIENCE_S
) -> None:
    """Put a detector on trial. Raises `NotConforming`."""
    _try("vad", build, None, _vad.RULES, run, patience_s)


def transcriber_conforms(
    build: Callable[[], Transcriber],
    *,
    speech: Samples | None = None,
    run: Run = asyncio.run,
    patience_s: float = PATIENCE_S,
) -> None:
    """Put a transcriber on trial. Raises `NotConforming`.

    `speech` is an utterance that it understands (16 kHz, some seconds); without it a second of
    something like a voice is used. What is understood is compared with itself only.
    """
    use, rules = _stt.rules(speech)
    _try("stt", build, use, rules, run, patience_s)


def responder_conforms(
    build: Callable[[], Responder], *, run: Run = asyncio.run, patience_s: float = PATIENCE_S
) -> None:
    """Put a responder on trial; it is asked 20 to 60 times. Raises `NotConforming`."""
    _try("llm", build, _llm.use, _llm.RULES, run, patience_s)


def synthesizer_conforms(
    build: Callable[[], Synthesizer], *, run: Run = asyncio.run, patience_s: float = PATIENCE_S
) -> None:
    """Put a synthesizer on trial; it speaks 40 to 80 sentences. Raises `NotConforming`."""
    _try("tts", build, _tts.use, _tts.RULES, run, patience_s)


def animator_conforms(
    build: Callable[[], Animator], *, run: Run = asyncio.run, patience_s: float = PATIENCE_S
) -> None:
    """Put an animator on trial; it is asked 30 to 70 times. Raises `NotConforming`."""
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
