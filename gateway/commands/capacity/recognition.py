"""Measures how long the configured recogniser takes for speech on this machine while it does
nothing else."""

import asyncio
import os
import time
from dataclasses import replace
from typing import Any

import numpy as np

from gateway.commands.bench import resources
from gateway.commands.bench.figures import percentile
from gateway.commands.bench.validity import OTHERS_LIMIT
from gateway.commands.call.audio import read
from gateway.commands.call.demo import CLIPS
from gateway.commands.capacity.figures import RecogniserFigures
from gateway.commands.stage_worker import started
from gateway.commands.terminal import CommandFailed
from gateway.providers.build import options, wanted
from gateway.settings import Settings
from gateway.variables import REMOTE
from pipeline.errors import StageFailed
from pipeline.frames import INPUT_RATE_HZ, Samples
from stages.registry import AUTO, NoProvider, choose
from stages.third_party import describe

ANSWER = ("answer.flac", "last.flac")
"""Two clips of the package, played one after the other: ten seconds, as long as a usual answer."""

ROUNDS, QUICK_ROUNDS = 5, 3
ROUND_S = 60.0
"""A recogniser that takes longer for ten seconds of speech is of no use."""

LEAST = 0.0001
"""The smallest real-time factor that is reported, so that a measured one is never 0."""

PIECE = INPUT_RATE_HZ // 10


class NotMeasured(Exception):
    """The recogniser could not be measured; the text says why."""


def recognition(settings: Settings, *, quick: bool) -> tuple[RecogniserFigures, tuple[str, ...]]:
    """The figures of the recogniser that the settings choose, and doubts about them.

    If the settings choose a worker elsewhere, the recogniser that `parley worker stt` would use on
    this machine is measured. A recogniser at a server is not measured. Raises `NotMeasured`.
    """
    name = wanted(settings)["stt"]
    known = replace(options(settings), stt_workers=(), tts_workers=())
    try:
        choice = choose("stt", AUTO if name == REMOTE else name, known)
    except NoProvider as error:
        raise NotMeasured(f"{error}; `parley doctor` shows what is missing") from None
    if choice.first.remote:
        return RecogniserFigures(choice.first.name, "", True, None, None, None), ()
    return asyncio.run(_measured(settings, QUICK_ROUNDS if quick else ROUNDS))


async def _measured(settings: Settings, rounds: int) -> tuple[RecogniserFigures, tuple[str, ...]]:
    try:
        stage = await started(settings, "stt")
    except CommandFailed as error:
        raise NotMeasured(error.message) from None
    try:
        return await timed(stage, answer(), rounds)
    except TimeoutError:
        raise NotMeasured(
            f"{stage.provider} took more than {ROUND_S:.0f} s for ten seconds of speech"
        ) from None
    except StageFailed as error:
        raise NotMeasured(f"{stage.provider}: {error.detail}") from None
    except Exception as error:  # from a third party, or a library
        raise NotMeasured(f"{stage.provider}: {describe(error)}") from None
    finally:
        await stage.aclose()


def answer() -> Samples:
    """Ten seconds of speech that come with the package."""
    return np.concatenate([read(CLIPS / name) for name in ANSWER])


async def timed(
    stage: Any, speech: Samples, rounds: int
) -> tuple[RecogniserFigures, tuple[str, ...]]:
    """Recognise the speech `rounds` times in a row, after once that does not count.

    The median time counts. Raises `StageFailed` and `TimeoutError`.
    """
    text = await _recognised(stage, speech)  # it allocates memory, and more
    took_s: list[float] = []
    began_s, cpu_s, busy_s = time.monotonic(), _cpu_s(), resources.machine().busy_s
    for _ in range(rounds):
        start_s = time.monotonic()
        text = await _recognised(stage, speech)
        took_s.append(time.monotonic() - start_s)
    wall_s, used_s = time.monotonic() - began_s, _cpu_s() - cpu_s
    others = (resources.machine().busy_s - busy_s - used_s) / wall_s
    memory_mb = sum(map(resources.memory_mb, resources.descendants(os.getpid())))
    doubts = []
    if others > OTHERS_LIMIT:
        doubts.append(f"recognition: other processes used {others:.2f} cores")
    if not text:
        doubts.append(f"recognition: {stage.provider} understood nothing of the speech")
    seconds = len(speech) / INPUT_RATE_HZ
    figures = RecogniserFigures(
        stage.provider,
        str(getattr(stage, "detail", str)()),
        False,
        max(round(percentile(took_s, 0.5) / seconds, 4), LEAST),
        round(max(used_s / wall_s, 0.01), 2),
        round(memory_mb) if memory_mb else None,
    )
    return figures, tuple(doubts)


async def _recognised(stage: Any, speech: Samples) -> str:
    """The recognised text, as fast as the recogniser gives it."""
    languages = getattr(stage, "languages", None)
    language = "en" if languages is None or "en" in languages else languages[0]
    text = ""
    async with asyncio.timeout(ROUND_S):
        utterance = stage.open(1, None, (), language)
        try:
            for at in range(0, len(speech), PIECE):
                utterance.feed(speech[at : at + PIECE])
            async for transcript in utterance.finish():
                text = transcript.text
        finally:
            utterance.cancel()
    return text


def _cpu_s() -> float:
    """CPU seconds of this process and its child processes."""
    own = os.getpid()
    return sum(map(resources.cpu_s, (own, *resources.descendants(own))))
