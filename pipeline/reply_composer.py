"""Has a responder compose a reply's text, sentence by sentence.

Until a sentence of the reply has gone to the voice, another responder may take its place. After
that, a reply that breaks off before the line that is due in its turn, an interview's question, is
followed by that line: without it the next answer would belong to nothing.
"""

import asyncio
import math
from dataclasses import replace
from functools import partial

from pipeline.budget import TurnBudget
from pipeline.candidate import client_reason, problem_of
from pipeline.errors import PipelineError, StageError
from pipeline.frames import TextDelta, ToolCall
from pipeline.guard import Guard, Stream
from pipeline.ladder import DUE
from pipeline.outputs import ReplyOutputs
from pipeline.reply_draft import ReplyDraft
from pipeline.stage import ReplyRequest, Responder
from pipeline.wordless import has_words

BYTES_PER_S = 15
"""Speech takes a second for about so many bytes of text in UTF-8, which counts a Chinese character
as three letters."""

LAG_S = 3.0
"""How far the text of a reply may fall behind its speech, in all, where a line is due after it.
Assumed: two pauses that one hears."""

TOO_LONG = "cut at the longest that a reply may be"
"""Why the line that is due follows a reply that did not break off."""

MOST_CALLS = 32
"""One reply may call at most this many functions; further calls are dropped."""


class ReplyComposer:
    """Puts one reply's text into its draft, and its function calls into `outputs`."""

    def __init__(
        self,
        responders: Guard[Responder],
        draft: ReplyDraft,
        budget: TurnBudget,
        outputs: ReplyOutputs,
    ) -> None:
        self.draft = draft
        self._responders = responders
        self._budget = budget
        self._outputs = outputs
        self._stream: Stream[TextDelta | ToolCall] | None = None

    @property
    def provider(self) -> str:
        """The responder that is asked, or was asked last; "" before `compose` has begun."""
        return "" if self._stream is None else self._stream.provider

    @property
    def begun(self) -> bool:
        """Whether `compose` has begun to ask."""
        return self._stream is not None

    def give_up(self) -> None:
        """The person waits no longer: see `Stream.give_up`. Cancel the task of `compose` after it.

        Not before it has `begun`.
        """
        assert self._stream is not None
        self._stream.give_up()

    async def compose(self, request: ReplyRequest) -> None:
        """Get the reply to a request. Call it once.

        Raises `PipelineError` where every responder failed, or one broke off and no line is due.
        Cancelling stops the responder.
        """
        loop = asyncio.get_running_loop()
        budget, draft, brief = self._budget, self.draft, request.brief
        calls: list[ToolCall] = []

        def restart() -> None:
            draft.restart()
            calls.clear()

        self._stream = stream = self._responders.stream(
            lambda stage: stage.reply(request),
            useful=lambda item: isinstance(item, ToolCall) or has_words(item.text),
            budget_s=budget.allow("llm", loop.time()),
            min_first_s=budget.least("llm"),
            # Without exact words one that stands by, the scripted interviewer, could say nothing.
            soon=budget.soon("llm", loop.time()) if brief.say else None,
            probe=not self._outputs.ahead,
            media_s=_speech_s,
            lag_s=LAG_S if brief.due else math.inf,
            begun=lambda: draft.begun,
            restart=restart,
            on_degraded=partial(self._outputs.gave_way, "llm"),
        )
        budget.start("llm", "", loop.time())
        try:
            async with stream as items:
                async for item in items:
                    budget.start("llm", stream.provider, loop.time())
                    if stream.useful(item):
                        budget.first("llm", loop.time())
                    if isinstance(item, ToolCall):
                        calls.append(item)
                        continue
                    await draft.push(item.text)
                    if draft.full:
                        break
            if draft.full and draft.lacks(brief.due):
                self._outputs.degraded("llm", stream.provider, DUE, TOO_LONG)
                await draft.send(brief.due)  # in place of the sentence that was cut
            else:
                await draft.finish()
        except PipelineError as error:
            if not (draft.begun and brief.due):
                raise
            if draft.lacks(brief.due):
                self._outputs.degraded("llm", stream.provider, DUE, _why(error))
                await draft.send(brief.due)
        finally:
            budget.end("llm", loop.time())
        # A call cannot be taken back, so calls wait until the reply has succeeded.
        for call in calls[:MOST_CALLS]:
            self._outputs.send(replace(call, turn=request.turn))


def _speech_s(item: TextDelta | ToolCall) -> float:
    """Seconds that the item's text takes to be said. A call is no speech, so it is never late."""
    if isinstance(item, ToolCall):
        return math.inf
    return len(item.text.encode(errors="replace")) / BYTES_PER_S


def _why(error: PipelineError) -> str:
    return problem_of(error) if isinstance(error, StageError) else client_reason(error)
