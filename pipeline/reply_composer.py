"""Has a responder compose a reply's text, sentence by sentence.

Until a sentence of the reply has gone to the voice, another responder may take its place. After
that, a reply that breaks off before the line that is due in its turn, an interview's question, is
followed by that line: without it the next answer would belong to nothing.

Where the reply calls functions that the session runs, the responder is asked again with their
results (`pipeline.tool_rounds`), within the same turn. They are run once the answer is stored, so
never for a turn that is not decided.
"""

import asyncio
import math
from dataclasses import replace
from functools import partial

from pipeline.budget import TurnBudget
from pipeline.candidate import client_reason, problem_of
from pipeline.counted_reply import CountedReply
from pipeline.errors import PipelineError, StageError, StageFailed
from pipeline.frames import ReplyUsage, TextDelta, ToolCall
from pipeline.guard import Guard, Stream
from pipeline.ladder import DUE
from pipeline.outputs import ReplyOutputs
from pipeline.reply_draft import ReplyDraft
from pipeline.stage import ReplyRequest, Responder
from pipeline.token_usage import TokenUsage
from pipeline.tool_calls import ToolCalls
from pipeline.tool_rounds import ToolRound, ToolRounds
from pipeline.wordless import has_words

BYTES_PER_S = 15
"""Speech takes a second for about so many bytes of text in UTF-8, which counts a Chinese character
as three letters."""

LAG_S = 3.0
"""How far the text of a reply may fall behind its speech, in all, where a line is due after it.
Assumed: two pauses that one hears."""

TOO_LONG = "cut at the longest that a reply may be"
"""Why the line that is due follows a reply that did not break off."""


class ReplyComposer:
    """Puts one reply's text into its draft, and its function calls into `outputs`."""

    def __init__(
        self,
        responders: Guard[Responder],
        draft: ReplyDraft,
        budget: TurnBudget,
        outputs: ReplyOutputs,
        tools: ToolCalls | None = None,
    ) -> None:
        self.draft = draft
        self._tools = tools
        self._running = False  # functions, or they wait for the answer to be stored
        self._ran = -math.inf  # when the latest of them ended
        self._taken = TokenUsage()  # by the rounds so far
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

    def tools_s(self, now: float) -> float:
        """How long the turn waits on because of functions that run, or have run; 0 or less where it
        need not."""
        hard_s = self._budget.hard_s
        return hard_s if self._running else self._ran + hard_s - now

    def give_up(self) -> None:
        """The person waits no longer: see `Stream.give_up`. Cancel the task of `compose` after it.

        Not before it has `begun`.
        """
        assert self._stream is not None
        self._stream.give_up()

    async def compose(self, request: ReplyRequest) -> None:
        """Get the reply to a request. Call it once.

        Raises `PipelineError` where every responder failed, or one broke off and no line is due.
        Cancelling stops the responder, and functions that run.
        """
        budget, draft, brief = self._budget, self.draft, request.brief
        rounds = ToolRounds(request, () if self._tools is None else self._tools.offered)
        try:
            while True:
                said, calls = await self._ask(rounds.request)
                round_ = rounds.after(said, calls)
                if round_ is None or draft.full:
                    break
                await draft.finish()
                rounds.results(round_, await self._run(round_))
                draft.begin_part()
            if draft.full and draft.lacks(brief.due):
                self._outputs.degraded("llm", self.provider, DUE, TOO_LONG)
                await draft.send(brief.due)  # in place of the sentence that was cut
            else:
                await draft.finish()
            if rounds.rounds and not (draft.begun or rounds.handed):
                raise StageFailed("llm", self.provider, "empty", "calls of functions alone")
        except PipelineError as error:
            if not (draft.begun and brief.due):
                raise
            if draft.lacks(brief.due):
                self._outputs.degraded("llm", self.provider, DUE, _why(error))
                await draft.send(brief.due)
        finally:
            budget.end("llm", asyncio.get_running_loop().time())
        # A call cannot be taken back, so calls wait until the reply has succeeded.
        for call in rounds.handed:
            self._outputs.send(replace(call, turn=request.turn))

    async def _ask(self, request: ReplyRequest) -> tuple[str, list[ToolCall]]:
        """Have a responder answer: its text goes to the draft, and is returned with its calls."""
        loop = asyncio.get_running_loop()
        budget, draft, brief = self._budget, self.draft, request.brief
        counted = CountedReply(self._responders, request, lambda: self._tell(request.turn, counted))
        said: list[str] = []
        calls: list[ToolCall] = []

        def restart() -> None:
            draft.restart()
            said.clear()
            calls.clear()

        self._stream = stream = self._responders.stream(
            counted,
            useful=lambda item: isinstance(item, ToolCall) or has_words(item.text),
            budget_s=budget.allow("llm", loop.time()),
            min_first_s=budget.least("llm"),
            # Without exact words one that stands by, the scripted interviewer, could say nothing.
            soon=budget.soon("llm", loop.time()) if brief.say else None,
            probe=not self._outputs.ahead,
            media_s=_speech_s,
            lag_s=LAG_S if brief.due else math.inf,
            begun=lambda: draft.part_begun,
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
                    said.append(item.text)
                    await draft.push(item.text)
                    if draft.full:
                        break
        finally:
            counted.over()
        self._taken += counted.by(stream.provider) or TokenUsage()
        return "".join(said), calls

    def _tell(self, turn: int, counted: CountedReply) -> None:
        """Tell what the reply has taken, with what this round has so far."""
        tokens = counted.by(self.provider) or TokenUsage()
        self._outputs.send(ReplyUsage(turn, self._taken + tokens))

    async def _run(self, round_: ToolRound) -> dict[str, str]:
        """Run a round's functions, once the answer is stored; the turn's limit begins anew."""
        assert self._tools is not None
        self._running = True
        try:
            await self._outputs.wait()
            self._outputs.called()
            return await self._tools.run(round_)
        finally:
            self._running = False
            self._ran = asyncio.get_running_loop().time()
            self._budget.resume(self._ran)


def _speech_s(item: TextDelta | ToolCall) -> float:
    """Seconds that the item's text takes to be said. A call is no speech, so it is never late."""
    if isinstance(item, ToolCall):
        return math.inf
    return len(item.text.encode(errors="replace")) / BYTES_PER_S


def _why(error: PipelineError) -> str:
    return problem_of(error) if isinstance(error, StageError) else client_reason(error)
