"""`LastWords`: recognises and stores the utterance that is under way when a session ends."""

import asyncio
import logging
from collections.abc import Callable, Iterable

from pipeline.answer import Answer
from pipeline.committer import TurnCommitter
from pipeline.errors import PipelineError
from pipeline.frames import Samples, Transcript
from pipeline.utterance import Utterance

logger = logging.getLogger("parley.session")

LAST_WORDS_S = 5.0
"""How long a session that ends may still take to store its turns, besides the recognition."""

NOT_RECOGNISED = "the last words of the session, %.1f s, were not recognised: %s"

SLICE = 16
"""Items of the remaining audio that are fed between two turns of the event loop: 0.7 ms of work if
each is 20 ms of speech in Opus, 5 ms if each is the costliest 100 ms."""


class LastWords:
    """The last words of one session."""

    def __init__(self) -> None:
        self._by: float | None = None
        self._limit: asyncio.Timeout | None = None  # while they are recognised

    def finish_by(self, at: float) -> None:
        """Recognise and store the last words by this loop time at the latest. A plain call.

        It may come before the words are said, or while they are recognised.
        """
        self._by = at
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(self._sooner(self._limit.when()))

    async def store(
        self,
        answer: Answer,
        utterance: Utterance | None,
        rest: Iterable[Samples],
        committer: TurnCommitter,
        tasks: asyncio.TaskGroup,
        is_echo: Callable[[str], bool],
    ) -> None:
        """Recognise and store the answer to an utterance that the end of the session cuts off, or
        one that was typed alone.

        `rest` is input audio that belongs to it and was not fed yet; it is fed `SLICE` by `SLICE`.
        Spoken words that are the echo of the reply are no answer.
        Errors, and a wait longer than the answer's recognition may take and `LAST_WORDS_S`, are
        logged. May be cancelled; that the words are lost is logged then, too.
        """

        def said_s() -> float:
            return 0.0 if utterance is None else utterance.duration_ms / 1000

        told = False
        try:
            for index, pcm in enumerate(() if utterance is None else rest, 1):
                assert utterance is not None
                utterance.feed(pcm)
                if index % SLICE == 0:
                    await asyncio.sleep(0)
            now = asyncio.get_running_loop().time()
            until = self._sooner(now + answer.latest_s + LAST_WORDS_S)
            async with asyncio.timeout_at(until) as self._limit:
                await committer.settled()
                text = (await self._words(answer, committer)).text
                if text and not (answer.spoken and is_echo(text)):
                    await answer.accept()
                    told = True
                    committer.settle(tasks, answer, "")
        except TimeoutError:
            logger.warning(NOT_RECOGNISED, said_s(), "the time was up")
        except PipelineError as error:
            logger.warning(NOT_RECOGNISED, said_s(), error)
        except asyncio.CancelledError:
            logger.warning(NOT_RECOGNISED, said_s(), "the process ended")
            raise
        except Exception:  # the host's storage; the client has gone, so only the log can say it
            logger.exception("the last words of the session were not stored")
        finally:
            self._limit = None
            if utterance is not None:
                utterance.cancel()
            await answer.give_up()
            if not told and answer.budget.voice_to_voice_s is not None:
                committer.emit(answer.budget.metrics(answer.turn))  # a filler was heard in its turn

    async def _words(self, answer: Answer, committer: TurnCommitter) -> Transcript:
        """The transcript of the answer. Begins the recognition if it has not begun yet."""
        if answer.transcript is not None:
            return answer.transcript
        early = answer.outputs.ahead
        try:
            return await answer.recognising(committer.emit)
        except PipelineError:
            if not early:
                raise
            answer.outputs.begin(ahead=False)  # as after a decision: every recogniser is asked
            return await answer.recognising(committer.emit)

    def _sooner(self, at: float | None) -> float | None:
        return at if self._by is None or at is None else min(at, self._by)
