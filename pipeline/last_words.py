"""Recognises and stores the utterance that is under way when a session ends."""

import asyncio
import logging
from collections.abc import Iterable

from pipeline.answer import Answer
from pipeline.committer import TurnCommitter
from pipeline.errors import PipelineError
from pipeline.frames import Samples
from pipeline.utterance import Utterance

logger = logging.getLogger("parley.session")

LAST_WORDS_S = 5.0
"""How long a session that ends may still take to store what it has, besides the recognition."""

SLICE = 16
"""Items of the rest that are fed between two turns of the event loop: 0.7 ms of work where each is
20 ms of speech in Opus, 5 ms where each is the costliest 100 ms."""


async def store_last_words(
    answer: Answer,
    utterance: Utterance,
    rest: Iterable[Samples],
    committer: TurnCommitter,
    tasks: asyncio.TaskGroup,
) -> None:
    """Recognise and store the answer to an utterance that the end of the session cuts off.

    `rest` is input audio that belongs to it and was not fed yet; it is fed `SLICE` by `SLICE`.
    Errors, and a wait longer than the answer's recognition may take and `LAST_WORDS_S`, are logged.
    May be cancelled.
    """
    try:
        for index, pcm in enumerate(rest, 1):
            utterance.feed(pcm)
            if index % SLICE == 0:
                await asyncio.sleep(0)
        async with asyncio.timeout(answer.latest_s + LAST_WORDS_S):
            await committer.settled()
            if (await answer.recognise(committer.emit)).text:
                await answer.accept()
                committer.settle(tasks, answer, "")
    except (PipelineError, TimeoutError) as error:
        logger.warning("the last words of the session were not recognised: %s", error)
    except Exception:  # the host's storage; the client has gone, so only the log can say it
        logger.exception("the last words of the session were not stored")
    finally:
        utterance.cancel()
