"""One turn from its decision to the last sample heard: recognise, accept, respond, speak.

Everything that can fail has a next step. Recognition or reply gone: a canned line; synthesis gone:
the text alone. The client hears of each by a `Degraded` frame, and the next turn starts afresh.

Nobody is left in silence for longer than the budget's hard limit. Recognition and reply get what it
leaves them, less what a canned line needs. Where the reply has begun but no sentence of it is
complete by then, its words so far are spoken; where there are none, the canned line is. Synthesis
has the rest of the time, and after it the client gets the text alone.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from pipeline.budget import TurnBudget
from pipeline.channel import Channel, Waited
from pipeline.decisions import EndTurn
from pipeline.errors import BudgetExceeded, ChannelClosed, PipelineError
from pipeline.frames import Degraded, Fault, Output, Sentence, Slot, ToolCall, Transcript
from pipeline.guard import Guard
from pipeline.sentences import SentenceSplitter
from pipeline.stage import Brief, Host, RecognizedSpeech, ReplyRequest, Responder, Transcriber
from pipeline.utterance import Utterance
from pipeline.voice import Voice

logger = logging.getLogger("parley.session")

PENDING_CHARACTERS = 4096
"""How much reply text may wait for synthesis; the responder is held back beyond it."""

LONGEST_REPLY = 4000
"""Characters of a reply, about four minutes; whoever goes on beyond that is not listened to."""


@dataclass(frozen=True, slots=True)
class CannedLines:
    """What is said where a stage could not do its work."""

    unheard: str = "Sorry, I did not catch that. Could you please say it again?"
    speechless: str = "Sorry, I lost my thread for a moment. Please go on."
    unsaved: str = "Sorry, I could not save that answer. Could you please say it again?"


class _TooEarly(Exception):
    """What was prepared before the decision came to nothing: it is tried again after it."""


class _NotStored(Exception):
    """The host could not store what the person said."""


class Reply:
    """One turn's work. `run` it in a task; whoever cancels that task calls `stop` first.

    A reply may begin before its turn is decided. It then recognises, asks the responder and
    synthesises the first sentence, through closed breakers only and without telling anybody;
    `release` lets it go on. What fails before that is tried again after it, before anything
    degrades. A reply that is never released leaves no trace but in its providers' statistics.
    """

    def __init__(
        self,
        answer: EndTurn,
        utterance: Utterance | None,
        *,
        budget: TurnBudget,
        transcribers: Guard[Transcriber],
        responders: Guard[Responder],
        voice: Voice,
        host: Host,
        emit: Callable[[Output], None],
        understood: Callable[[str], None],
        waited: Waited,
        canned: CannedLines,
        line: str = "",
        closes: bool = False,
    ) -> None:
        self.turn = answer.turn
        self.budget = budget
        self.unheard = utterance
        """What is still to be recognised and accepted; None once that has been done or given up."""
        self.user_text = ""
        """What the person said, once it is to be accepted."""
        self.closes = closes
        """The conversation ends when this reply has been heard."""
        self._answer = answer
        self._transcribers = transcribers
        self._responders = responders
        self._voice = voice
        self._host = host
        self._emit = emit
        self._understood = understood
        self._waited = waited
        self._canned = canned
        self._line = line
        self._released = asyncio.Event()
        self._ahead = False  # this attempt began before the release
        self._cleared = asyncio.Event()  # accepted: the client may hear and see the answer
        self._transcript: Transcript | None = None
        self._heard: RecognizedSpeech | None = None
        self._held: list[Output] = []  # to be told once cleared
        self._accepting: asyncio.Future[None] | None = None
        self._shown = False  # the client has the transcript
        self._failed = False
        self._stopped = False

    def release(self) -> None:
        """The turn is decided. A plain call."""
        self._released.set()

    async def run(self, on_first: Callable[[], None]) -> str:
        """Do it all; returns what is to be remembered of the reply.

        `on_first` is called when the first reply audio is on its way. Cancelling stops every
        provider call under way.
        """
        while True:
            try:
                return await self._attempt(on_first)
            except _TooEarly:
                self._raise_if_stopped()
                await self._released.wait()

    async def _attempt(self, on_first: Callable[[], None]) -> str:
        self._ahead = not self._released.is_set()
        self._cleared.clear()
        self._voice.begin(self.turn, self.budget, on_first, self._cleared, ahead=self._ahead)
        line = self._line
        if not line:
            line = await self._listen() or await self._respond() or ""
            self.closes = self.closes and not line
        if line:
            self._clear()
            await self._voice.speak(Sentence(self.turn, line), aside=True)
        await self._voice.played()
        return self._voice.finish()

    def stop(self) -> str:
        """Silence the turn; returns what to remember of its reply. A plain call.

        The task that runs it is to be cancelled in the same breath: nothing of it runs in between.
        """
        self._stopped = True
        heard = self._voice.stop(self.turn)
        if self.unheard is not None:
            self.unheard.cancel()
        elif self._accepting is None and not self._failed:
            self.user_text = self._answer.typed.strip()  # not accepted yet: see `stored`
        return heard

    def _raise_if_stopped(self) -> None:
        # A task group that ends by an error of its own forgets that it was cancelled meanwhile.
        if self._stopped:
            raise asyncio.CancelledError

    async def hear(self) -> str:
        """Recognise, accept and show what the person said; returns it, "" if there was nothing.

        Raises `PipelineError` when no recogniser could tell, and whatever the host raises.
        """
        transcript = await self._recognise()
        self.unheard = None
        if transcript.text:
            await self._accept(transcript)
        return transcript.text

    async def stored(self) -> None:
        """Return when the host has what the person said. Raises what the host raised."""
        if self._accepting is not None:
            await self._accepting
        elif self.user_text:
            await self._host.accept(self.turn, self.user_text)

    # --- recognise and accept ----------------------------------------------------------------

    async def _listen(self) -> str | None:
        """Find out what was said; returns a canned line where nobody could tell."""
        if self.unheard is None and not self._answer.typed:
            self._clear()
            return None  # the opening turn: nobody has spoken yet
        reason = "nothing was recognised"
        try:
            if self._transcript is None:
                self._transcript = await self._recognise()
                self._understood(self._transcript.text)
        except PipelineError as error:
            reason = str(error)
        if self._transcript is not None and self._transcript.text:
            return None
        self._transcript = None
        if self._ahead:
            self._held.clear()
            raise _TooEarly
        self._degraded("stt", self._transcribers, reason)
        self.unheard = None
        return self._canned.unheard

    async def _recognise(self) -> Transcript:
        utterance = self.unheard
        if utterance is None:
            return Transcript(self.turn, self._answer.typed.strip(), final=True)
        loop = asyncio.get_running_loop()
        budget = self.budget
        stream = self._transcribers.stream(
            utterance.recognise,
            useful=lambda transcript: transcript.final,
            budget_s=budget.allow("stt", loop.time()),
            min_first_s=budget.least("stt"),
            probe=not self._ahead,
            on_degraded=self._report("stt"),
        )
        asked_at = loop.time()
        budget.start("stt", "", asked_at)
        waiting = True
        try:
            async with stream as transcripts:
                async for transcript in transcripts:
                    if waiting:
                        waiting = False
                        self._waited("recognition", (loop.time() - asked_at) * 1000)
                    if transcript.final:
                        final = transcript
                        break
                    if self._released.is_set():
                        self._emit(transcript)
        except PipelineError as error:
            if self._ahead or not utterance.typed:
                raise
            self._degraded("stt", self._transcribers, str(error))
            final = Transcript(self.turn, "", final=True)
        budget.start("stt", stream.provider, loop.time())
        budget.end("stt", loop.time())
        self._heard = None
        if final.text.strip():
            self._heard = RecognizedSpeech(
                final,
                stream.provider,
                utterance.start_ms,
                utterance.duration_ms,
                utterance.audio,
            )
        text = f"{final.text.strip()} {utterance.typed}".strip()
        return replace(final, turn=self.turn, text=text)

    async def _accept_when_released(self) -> None:
        """Have the host store what was said, and let the client see it and hear the answer."""
        if self._transcript is None:
            return
        await self._released.wait()
        self.unheard = None
        loop = asyncio.get_running_loop()
        slow = Fault(self.turn, "storage_slow", "the answer is still being stored")
        timer = loop.call_later(self.budget.allow("tts", loop.time()), self._emit, slow)
        try:
            await self._accept(self._transcript)
        except Exception as error:  # storage is the host's; whatever it raises, the person hears
            logger.exception("turn %d could not be stored", self.turn)
            self._accepting = None
            self._failed = True
            self.user_text = ""
            self._emit(Fault(self.turn, "not_stored", "the answer was not stored"))
            raise _NotStored from error
        finally:
            timer.cancel()
        self._clear()

    async def _accept(self, transcript: Transcript) -> None:
        if self._accepting is None:
            self.user_text = transcript.text
            # Not cancelled with the turn: what has been understood is stored, whatever comes next.
            accepting = self._host.accept(self.turn, transcript.text, self._heard)
            self._accepting = asyncio.ensure_future(accepting)
        await asyncio.shield(self._accepting)
        if not self._shown:
            self._shown = True
            self._emit(transcript)

    def _clear(self) -> None:
        self._cleared.set()
        held, self._held = self._held, []
        for frame in held:
            self._emit(frame)

    # --- respond -----------------------------------------------------------------------------

    async def _respond(self) -> str | None:
        """Find the words and speak them; returns a canned line where that failed."""
        text = "" if self._transcript is None else self._transcript.text
        brief = self._host.brief(self.turn, text)
        self.closes = brief.closes
        sentences: Channel[Sentence] = Channel(
            "synthesis", bound=PENDING_CHARACTERS, size=_characters, waited=self._waited
        )
        splitter = SentenceSplitter()
        known = len(self._held)
        unstored = False
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._accept_when_released())
                thinking = group.create_task(self._think(text, brief, splitter, sentences))
                await self._speak(sentences, splitter, thinking)
        except* _NotStored:
            unstored = True
        except* (PipelineError, _TooEarly) as errors:
            del self._held[known:]
            raise _TooEarly from errors
        self._raise_if_stopped()
        if unstored:
            return self._canned.unsaved
        if thinking.cancelled():  # it was taking too long
            return self._speechless(BudgetExceeded("llm", 0.0))
        return thinking.result()

    async def _speak(
        self,
        sentences: Channel[Sentence],
        splitter: SentenceSplitter,
        thinking: asyncio.Task[str | None],
    ) -> None:
        """Speak each sentence; where the next one is too long in coming, what there is of it."""
        loop = asyncio.get_running_loop()
        begun = False
        timer: asyncio.TimerHandle

        def wait_no_longer() -> None:
            nonlocal timer
            left_s = 0.0 if begun else self.budget.allow("llm", loop.time())
            if left_s > 0:  # the turn was decided meanwhile, which moved the limit
                timer = loop.call_later(left_s, wait_no_longer)
            elif sentences.stats().depth == 0 and not thinking.done():
                if words := splitter.words():
                    sentences.offer(Sentence(self.turn, words))
                else:
                    thinking.cancel()

        while True:
            limit_s = self.budget.hard_s if begun else self.budget.allow("llm", loop.time())
            timer = loop.call_later(limit_s, wait_no_longer)
            try:
                sentence = await sentences.receive()
            except ChannelClosed:
                break
            finally:
                timer.cancel()
            await self._voice.speak(sentence)
            begun = True

    async def _think(
        self, text: str, brief: Brief, splitter: SentenceSplitter, sentences: Channel[Sentence]
    ) -> str | None:
        loop = asyncio.get_running_loop()
        budget = self.budget
        request = ReplyRequest(self.turn, text, brief)
        room = LONGEST_REPLY
        stream = self._responders.stream(
            lambda stage: stage.reply(request),
            useful=lambda item: isinstance(item, ToolCall) or bool(item.text.strip()),
            budget_s=budget.allow("llm", loop.time()),
            min_first_s=budget.least("llm"),
            probe=not self._ahead,
            on_degraded=self._report("llm"),
        )
        budget.start("llm", "", loop.time())
        try:
            async with stream as deltas:
                async for delta in deltas:
                    budget.start("llm", stream.provider, loop.time())
                    budget.first("llm", loop.time())
                    if isinstance(delta, ToolCall):
                        continue
                    for piece in splitter.push(delta.text[:room]):
                        await sentences.send(Sentence(self.turn, piece))
                    room -= len(delta.text)
                    if room <= 0:
                        break
            for piece in splitter.finish():
                await sentences.send(Sentence(self.turn, piece))
        except PipelineError as error:
            return self._speechless(error)
        finally:
            budget.end("llm", loop.time())
            sentences.close()
        return None

    def _speechless(self, error: PipelineError) -> str:
        """The line for a reply that failed. Raises where it can be tried again."""
        hurried = self.budget.allow("llm", asyncio.get_running_loop().time()) == 0
        if self._ahead and not self._voice.speaking and not (hurried and self._cleared.is_set()):
            raise _TooEarly from error
        self._degraded("llm", self._responders, str(error))
        return self._canned.speechless

    # --- telling the client ------------------------------------------------------------------

    def _report(self, slot: Slot) -> Callable[[str, str, str], None]:
        def report(source: str, target: str, why: str) -> None:
            frame = Degraded(self.turn, slot, source, target, why)
            if self._cleared.is_set() or not self._ahead:
                self._emit(frame)
            else:
                self._held.append(frame)

        return report

    def _degraded(self, slot: Slot, guard: Guard[Any], reason: str) -> None:
        source = guard.candidates[-1].provider
        self._emit(Degraded(self.turn, slot, source, "canned line", reason))


def _characters(sentence: Sentence) -> int:
    return len(sentence.text)
