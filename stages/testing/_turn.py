"""Rules for turn models."""

import asyncio
import inspect
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import numpy as np

from pipeline.frames import INPUT_RATE_HZ, Samples
from pipeline.turn_questions import HEARD_S
from stages.testing import _calls
from stages.testing._audio import silence, voice
from stages.testing._trial import Rule, Trial

TOGETHER = 3


def use(stage: Any, turn: int) -> AsyncIterator[float]:
    return _answer(stage, voice())


async def _answer(stage: Any, audio: Samples) -> AsyncIterator[float]:
    yield await stage.finished(audio)


async def has_the_shape_of_a_turn_model(trial: Trial) -> None:
    """A turn model has `provider`, `async finished(audio)` and `aclose()`."""
    _calls.shape_of_stage(trial, {"finished": 1})
    if not inspect.iscoroutinefunction(getattr(trial.stage, "finished", None)):
        trial.saw("`finished` is not `async def`")


async def gives_a_probability(trial: Trial) -> None:
    """An answer is a number from 0 to 1."""
    for answer in await trial.used():
        if not isinstance(answer, int | float) or not 0 <= answer <= 1:
            trial.saw(f"it answered {answer!r}")


async def takes_any_audio(trial: Trial) -> None:
    """Whatever the audio is, 8 s of it or none, a question ends: with an answer or a StageError."""
    samples = HEARD_S * INPUT_RATE_HZ
    audio = {
        "no audio": np.zeros(0, np.int16),
        "one sample": np.ones(1, np.int16),
        "silence": silence(HEARD_S),
        "the loudest noise": np.resize(np.array([32_767, -32_768], np.int16), samples),
    }
    for what, pcm in audio.items():
        await trial.items(partial(_answer, trial.stage, pcm), what)
    await trial.used()


async def answers_several_questions_at_once(trial: Trial) -> None:
    """Sessions share the stage: questions under way at the same time are all answered."""
    for answers in await asyncio.gather(*(trial.used(turn) for turn in range(TOGETHER))):
        if len(answers) != 1:
            trial.saw(f"{TOGETHER} questions at once: one has {len(answers)} answers")


RULES: tuple[Rule, ...] = (
    has_the_shape_of_a_turn_model,
    gives_a_probability,
    takes_any_audio,
    answers_several_questions_at_once,
    _calls.may_be_cancelled_at_any_await,
    _calls.never_blocks_the_event_loop,
    _calls.says_whether_it_would_answer,
    _calls.ends_with_aclose,
)
