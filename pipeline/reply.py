"""One turn from its decision to the last sample heard: recognise, accept, respond, speak.

Every step that can fail has a substitute. If recognition or the reply fails, a canned line is
spoken; if synthesis fails, the client gets the text alone. A `Degraded` frame reports each failure
to the client, and the next turn starts with all stages again.

The person waits no longer than the budget's hard limit. Recognition and reply get the time that it
leaves them, less the reserve for a canned line. If the reply has begun by then but no sentence of
it is complete, its words so far are spoken; if there are none, the canned line is. Synthesis has
the rest of the time; after it the client gets the text alone.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

from pipeline.answer import Answer
from pipeline.candidate import client_reason
from pipeline.canned import CannedLines
from pipeline.channel import Channel, Waited
from pipeline.echo import ECHO
from pipeline.errors import BudgetExceeded, ChannelClosed, PipelineError
from pipeline.frames import Fault, Output, Sentence, Slot, Transcript
from pipeline.guard import Guard
from pipeline.ladder import CANNED, HOLDING, NO_TEXT, steps_down
from pipeline.late_answer import recognised
from pipeline.late_reply import Awaited, LateReply
from pipeline.reply_composer import ReplyComposer
from pipeline.reply_draft import Aside, ReplyDraft
from pipeline.reply_task import ReplyTask as ReplyTask
from pipeline.stage import Brief, Host, ReplyRequest, Responder
from pipeline.tool_calls import OwnTool, ToolCalls
from pipeline.voice import Voice

logger = logging.getLogger("parley.session")

PENDING_CHARACTERS = 4096
"""How much reply text may wait for synthesis; until it is less, the responder is not read."""


class _TooEarly(Exception):
    """An attempt before the turn's decision failed: it is repeated after the decision."""


class _NotStored(Exception):
    """The host could not store the answer."""


class Reply:
    """One turn's work. Call `run` in a task, and `stop` before that task is cancelled.

    A reply may begin before its turn is decided. It then recognises, asks the responder and
    synthesises the first sentence, through closed breakers only, and sends and stores nothing;
    `release` lets it go on. A step that fails before the release is repeated after it, before the
    turn degrades. A reply that is never released shows only in its providers' statistics.
    """

    def __init__(
        self,
        task: ReplyTask,
        answer: Answer,
        *,
        responders: Guard[Responder],
        voice: Voice,
        host: Host,
        emit: Callable[[Output], None],
        understood: Callable[[str], None],
        waited: Waited,
        canned: CannedLines,
        late: LateReply,
        tools: Sequence[OwnTool] = (),
        fills: bool = True,
    ) -> None:
        self.turn = answer.turn
        self.budget = answer.budget
        self.answer = answer
        self.outputs = answer.outputs
        self.closes = task.closes
        """The conversation ends when this reply has been heard."""
        self.echoed = False
        """The turn had no words but the echo of the reply before it: the question waits."""
        self.asks_again = False
        """That echo had cut the reply off, which is to be said again."""
        self._task = task
        self._responders = responders
        self._voice = voice
        self._host = host
        self._emit = emit
        self._understood = understood
        self._waited = waited
        self._canned = canned
        self._late = late
        self._tools = tools
        self._fills = fills
        self._brief: Brief | None = None
        self._composer: ReplyComposer | None = None  # the latest
        self._released = asyncio.Event()
        self._stopped = False
        self._held = False  # a line was said because the recogniser was late

    def release(self) -> None:
        """The turn is decided. A plain call."""
        self._released.set()
        if self._task.replies and not self._task.line:
            opens = self.answer.empty
            self._late.begin(Awaited(self.turn, self.budget, opens, self._wish, self._source))

    async def run(self, on_first: Callable[[], None]) -> str:
        """Do the turn's work; returns the part of the reply to remember.

        `on_first` is called when the first reply audio or text is sent. Cancelling stops every
        provider call under way.
        """
        while True:
            self.outputs.begin(ahead=not self._released.is_set())
            try:
                if self._task.replies:
                    return await self._attempt(on_first)
                return await self._accept_only()
            except _TooEarly:
                self._raise_if_stopped()
                await self._released.wait()
                self.budget.repeat("llm", "tts")
                if self.answer.transcript is None:
                    self.budget.repeat("stt")

    async def _attempt(self, on_first: Callable[[], None]) -> str:
        self._voice.begin(self.turn, self.budget, on_first, self.outputs)
        line: str | None = self._task.line
        if not line:
            line = await self._recognise(self._canned.unheard)
            if self.echoed and not self._voice.speaking:
                self._late.stop()
                return ""
            line = await self._respond() if line is None else line
            self.closes = self.closes and not line
        if line:
            self.outputs.accept()
            await self._say_aside(line)
        self._late.spoken()
        self._late.stop()
        await self._voice.played()
        return self._voice.finish()

    async def _accept_only(self) -> str:
        """Recognise, accept and show the answer, without a reply even if that fails."""
        if await self._recognise("") is None:
            with suppress(_NotStored):
                await self._accept_when_released()
        return ""

    def stop(self) -> str:
        """Stop the reply at once; returns the part of it to remember. A plain call.

        Cancel the task of `run` right after this, without awaiting in between.
        """
        self._stopped = True
        self._late.stop()
        heard = self._voice.stop(self.turn)
        self.answer.stop()
        return heard

    def _raise_if_stopped(self) -> None:
        # A task group that ends by an error of its own drops a cancellation from the outside.
        if self._stopped:
            raise asyncio.CancelledError

    # --- recognise and accept ----------------------------------------------------------------

    async def _recognise(self, canned: str) -> str | None:
        """Recognise the answer; returns `canned` if every recogniser failed or no words came."""
        answer = self.answer
        if answer.empty:
            self.outputs.accept()
            return None  # the opening turn, or one without words of the person
        reason = "nothing was recognised"
        try:
            if answer.transcript is None:
                hold = self._hold if canned else None
                transcript = await recognised(answer, self._show_partial, self._released, hold)
                self._understood(transcript.text)
        except PipelineError as error:
            reason = client_reason(error)
        if self._held:
            self.budget.resume(asyncio.get_running_loop().time())
        if answer.transcript is not None and (text := answer.transcript.text):
            if not (answer.spoken and self._voice.echo.hears(text)):
                return None
            if self.outputs.ahead:  # if the person goes on speaking, the attempt is dropped
                await self._released.wait()
                self.outputs.begin(ahead=False)
                self.outputs.accept()
            reason = ECHO
        answer.transcript = None
        if self.outputs.ahead:
            self.outputs.drop()
            raise _TooEarly
        if reason is ECHO:
            logger.info("turn %d: no answer was heard (echo)", self.turn)
            self._voice.echo.heard()
            self.asks_again = self._voice.echo.cut_off
            self.echoed, canned = True, ""
        answer.degraded(CANNED if canned else NO_TEXT, reason)
        answer.pending = None
        return canned

    async def _hold(self, times: int) -> None:
        """The recogniser is late: tell the person. The reply cannot be repeated from here on, and
        the rest of it waits again until the answer, which is still to come, is stored."""
        self.outputs.begin(ahead=False)
        self.outputs.accept()
        if not times:
            self.answer.degraded(HOLDING, "still recognising")
        canned = self._canned
        await self._say_aside(canned.still_listening if times else canned.listening)
        self._voice.rest()
        self.outputs.begin(ahead=False)
        self._held = True

    def _show_partial(self, transcript: Transcript) -> None:
        if self._released.is_set():
            self._emit(transcript)

    async def _accept_when_released(self) -> None:
        """After the release, have the host store the answer, then send the kept outputs."""
        if self.answer.transcript is None:
            return
        await self._released.wait()
        loop = asyncio.get_running_loop()
        slow = Fault(self.turn, "storage_slow", "the answer is still being stored")
        timer = loop.call_later(self.budget.allow("tts", loop.time()), self._emit, slow)
        try:
            await self.answer.accept()
        except Exception as error:  # of the host's storage: a canned line says so
            logger.exception("turn %d could not be stored", self.turn)
            self.answer.fail()
            self._emit(Fault(self.turn, "not_stored", "the answer was not stored"))
            raise _NotStored from error
        finally:
            timer.cancel()
        self.outputs.accept()

    # --- respond -----------------------------------------------------------------------------

    async def _respond(self) -> str | None:
        """Get the reply's text and speak it; returns a canned line if that failed."""
        transcript = self.answer.transcript
        text = "" if transcript is None else transcript.text
        brief = self._brief = self._host.brief(self.turn, text)
        self.closes = brief.closes
        sentences: Channel[Sentence] = Channel(
            "synthesis",
            bound=PENDING_CHARACTERS,
            size=lambda sentence: len(sentence.text),
            waited=self._waited,
        )
        draft = ReplyDraft(self.turn, sentences, brief.voice, brief.language)
        filler = self._canned.looking if self._fills else ""
        left_s = self._voice.left_s
        tools = ToolCalls(self.turn, self._tools, draft.say_aside, left_s, filler)
        composer = ReplyComposer(self._responders, draft, self.budget, self.outputs, tools)
        self._composer = composer
        request = ReplyRequest(self.turn, text, brief)
        kept = self.outputs.kept
        unstored = False
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._accept_when_released())
                composing = group.create_task(self._compose(composer, request, sentences))
                await self._speak(brief, sentences, composer, composing)
        except* _NotStored:
            unstored = True
        except* (PipelineError, _TooEarly) as errors:
            self.outputs.drop(kept)
            raise _TooEarly from errors
        self._raise_if_stopped()
        if unstored:
            self.outputs.drop(kept)  # no function is called for an answer that was not stored
            return self._canned.unsaved
        if composing.cancelled():  # it was taking too long
            return self._speechless(BudgetExceeded("llm", 0.0))
        return composing.result()

    async def _speak(
        self,
        brief: Brief,
        sentences: Channel[Sentence],
        composer: ReplyComposer,
        composing: asyncio.Task[str | None],
    ) -> None:
        """Speak each sentence; if the next sentence is late, speak its words so far."""
        loop = asyncio.get_running_loop()
        deliver = self._voice.speak if brief.spoken else self._voice.write
        begun = False
        timer: asyncio.TimerHandle

        def wait_no_longer(again: Callable[..., None]) -> None:
            # Its own argument: as a closure over itself it would hold the turn and its audio until
            # a full garbage collection.
            nonlocal timer
            now = loop.time()
            left_s = composer.tools_s(now)
            if left_s <= 0 and not begun:
                left_s = self.budget.allow("llm", now)
            # The turn was decided meanwhile, which moved the limit; or the loop was so late that
            # the responder is not asked yet.
            if left_s > 0 or not composer.begun:
                timer = loop.call_later(left_s, again, again)
            elif sentences.stats().depth or composing.done() or composer.draft.offer_words():
                return
            else:
                composer.give_up()
                composing.cancel()

        while True:
            limit_s = self.budget.hard_s if begun else self.budget.allow("llm", loop.time())
            timer = loop.call_later(limit_s, wait_no_longer, wait_no_longer)
            try:
                sentence = await sentences.receive()
            except ChannelClosed:
                break
            finally:
                timer.cancel()
            await deliver(sentence, aside=isinstance(sentence, Aside))
            begun = True

    async def _compose(
        self, composer: ReplyComposer, request: ReplyRequest, sentences: Channel[Sentence]
    ) -> str | None:
        """Get the reply's text into `sentences`; returns a canned line if that failed."""
        try:
            await composer.compose(request)
        except PipelineError as error:
            return self._speechless(error)
        finally:
            sentences.close()
        return None

    def _speechless(self, error: PipelineError) -> str:
        """The line for a reply that failed. Raises `_TooEarly` if it can be repeated."""
        outputs, now = self.outputs, asyncio.get_running_loop().time()
        assert self._composer is not None
        self.budget.gave_way("llm", self._composer.provider, now)
        if not steps_down(outputs, self.budget, now, begun=self._voice.replying):
            raise _TooEarly from error
        outputs.degraded("llm", self._composer.provider, CANNED, client_reason(error))
        return self._canned.speechless

    # --- a reply that is late ----------------------------------------------------------------

    def _wish(self) -> Sentence | None:
        """A sentence in the reply's voice and language, without its text; None if it is written."""
        brief = self._brief or self._host.brief(self.turn, "")
        return self._sentence("", brief) if brief.spoken else None

    def _source(self) -> tuple[Slot, str]:
        """The stage for which the turn waits, and its provider."""
        if self.answer.transcript is None and not self.answer.empty:
            return "stt", self.answer.asked
        if (speech := self._voice.stream) is not None:
            return "tts", speech.provider
        return "llm", "" if self._composer is None else self._composer.provider

    async def _say_aside(self, line: str) -> None:
        """Speak or write a line that is no part of the conversation, as the brief says."""
        brief = self._brief or self._host.brief(self.turn, "")
        deliver = self._voice.speak if brief.spoken else self._voice.write
        await deliver(self._sentence(line, brief), aside=True)

    def _sentence(self, text: str, brief: Brief) -> Sentence:
        return Sentence(self.turn, text, brief.voice, brief.language)
