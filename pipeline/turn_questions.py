"""The questions of one session to the turn models: has the person finished?

Nothing waits for an answer. An answer in time changes the endpointing delay. A late answer, an
error, a model that hangs or an open breaker leave the delay as it is without a model.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

from pipeline.decisions import AskTurnModel, Judged
from pipeline.errors import PipelineError, StageFailed
from pipeline.frames import INPUT_RATE_HZ, Samples
from pipeline.guard import Guard
from pipeline.stage import TurnModel
from pipeline.utterance import Utterance

logger = logging.getLogger("parley.session")

HEARD_S = 8
"""How much of the utterance, up to the pause, a turn model hears at most."""

ANSWER_S = 0.2
"""How long an answer may take in all. The question is asked after 200 ms of silence, and the
shortest delay by default, 0.6 × 0.6 × 800 ms, ends 88 ms after a later answer could come: it would
hardly shorten any wait."""


class TurnQuestions:
    """Asks the turn models, one question at a time; `answered` gets each answer.

    Belongs to the event loop. Plain calls that do not raise.
    """

    def __init__(self, models: Guard[TurnModel] | None, answered: Callable[[Judged], None]) -> None:
        self._models = models
        self._answered = answered
        self._task: asyncio.Task[None] | None = None

    def ask(
        self, tasks: asyncio.TaskGroup | None, question: AskTurnModel, utterance: Utterance | None
    ) -> None:
        """Ask about the utterance so far, in a task of the group, and drop the question before.

        Without a model, an utterance or a group nothing is asked.
        """
        self.drop()
        if self._models is not None and tasks is not None and utterance is not None:
            audio = utterance.tail(HEARD_S * INPUT_RATE_HZ)
            self._task = tasks.create_task(self._wait(self._models, question, audio))

    def drop(self) -> None:
        """Take no answer to the last question. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _wait(self, models: Guard[TurnModel], question: AskTurnModel, audio: Samples) -> None:
        def call(model: TurnModel) -> AsyncIterator[float]:
            return _answer(model, audio)

        try:
            async with models.stream(call, useful=lambda _: True, budget_s=ANSWER_S) as answers:
                async for probability in answers:
                    self._answered(Judged(question.turn, question.at_ms, probability))
        except PipelineError as error:  # the guard has told the breaker
            logger.debug("no answer of a turn model: %s", error)


async def _answer(model: TurnModel, audio: Samples) -> AsyncIterator[float]:
    probability = await model.finished(audio)
    if not 0 <= probability <= 1:  # NaN as well
        raise StageFailed("turn", model.provider, "protocol", f"{probability} is no probability")
    yield round(float(probability), 4)  # as the detector's: decides as well, keeps journals small
