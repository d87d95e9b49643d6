"""The rules for turn models find what they are for."""

import asyncio
from typing import Any

import pytest

from pipeline.testing import run_virtual
from stages.fakes import FakeTurnModel, Script
from stages.testing import NotConforming, turn_model_conforms


def broken(build: Any) -> list[str]:
    with pytest.raises(NotConforming) as caught:
        turn_model_conforms(build, run=run_virtual, patience_s=5.0)
    return [one.rule for one in caught.value.broken]


def test_an_answer_beyond_1_is_no_probability() -> None:
    assert broken(lambda: FakeTurnModel(answers=(2.0,))) == ["gives a probability"]


def test_an_answer_that_is_no_number_is_none_either() -> None:
    answers: Any = ("yes",)
    assert broken(lambda: FakeTurnModel(answers=answers)) == ["gives a probability"]


def test_a_plain_function_has_not_the_shape() -> None:
    class Plain(FakeTurnModel):
        def finished(self, audio: Any) -> Any:
            return 0.5

    assert broken(Plain) == ["has the shape of a turn model"]


def test_a_model_that_never_answers_is_found() -> None:
    assert "gives a probability" in broken(lambda: FakeTurnModel(Script(stall=True)))


def test_a_model_that_cannot_take_silence_is_found() -> None:
    class Deaf(FakeTurnModel):
        async def finished(self, audio: Any) -> float:
            return float(audio[0] * 0)

    assert broken(Deaf) == ["takes any audio"]


def test_a_model_that_loses_a_question_among_others_is_found() -> None:
    class Single(FakeTurnModel):
        busy = False

        async def finished(self, audio: Any) -> float:
            if self.busy:
                await asyncio.Event().wait()
            self.busy = True
            await asyncio.sleep(0.01)
            self.busy = False
            return 0.5

    assert "answers several questions at once" in broken(Single)
