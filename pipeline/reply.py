"""One turn from its decision to the last sample heard: recognise, accept, respond, speak.

Everything that can fail has a next step. Recognition or reply gone: a canned line; synthesis gone:
the text alone. The client hears of each by a `Degraded` frame, and the next turn starts afresh.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from pipeline.budget import TurnBudget
from pipeline.channel import Channel, Policy
from pipeline.errors import PipelineError
from pipeline.frames import Degraded, Fault, Output, Sentence, Slot, Transcript
from pipeline.guard import Guard
from pipeline.sentences import SentenceSplitter
from pipeline.stage import Brief, Host, ReplyRequest, Responder, Transcriber
from pipeline.turns import Answer
from pipeline.utterance import Utterance
from pipeline.voice import Voice

logger = logging.getLogger("parley.session")

PENDING_CHARACTERS = 4096
"""How much reply text may wait for synthesis; the responder is held back beyond it."""


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
        answer: Answer,
        utterance: Utterance | None,
        *,
        budget: TurnBudget,
        transcribers: Guard[Transcriber],
        responders: Guard[Responder],
        voice: Voice,
        host: Host,
        emit: Callable[[Output], None],
        understood: Callable[[str], None],
        canned: CannedLines,
    ) -> None:
        self.turn = answer.turn
        self.budget = budget
        self.unheard = utterance
        """What is still to be recognised and accepted; None once that has been done or given up."""
        self.user_text = ""
        """What the person said, once it is to be accepted."""
        self.closes = False
        """The conversation ends when this reply has been heard."""
        self._answer = answer
        self._transcribers = transcribers
        self._responders = responders
        self._voice = voice
        self._host = host
        self._emit = emit
        self._understood = understood
        self._canned = canned
        self._released = asyncio.Event()
        self._ahead = False  # this attempt began before the release
        self._cleared = asyncio.Event()  # accepted: the client may hear and see the answer
        self._transcript: Transcript | None = None
        self._held: list[Output] = []  # to be told once cleared
        self._accepting: asyncio.Future[None] | None = None
        self._shown = False  # the client has the transcript
        self._failed = False

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
                await self._released.wait()

    async def _attempt(self, on_first: Callable[[], None]) -> str:
        self._ahead = not self._released.is_set()
        self._cleared.clear()
        self._voice.begin(self.turn, self.budget, on_first, self._cleared, ahead=self._ahead)
        line = await self._listen() or await self._respond()
        if line:
            self.closes = False
            self._clear()
            await self._voice.speak(Sentence(self.turn, line), aside=True)
        await self._voice.played()
        return self._voice.finish()

    def stop(self) -> str:
        """Silence the turn; returns what to remember of its reply. A plain call.

        The task that runs it is to be cancelled in the same breath: nothing of it runs in between.
        """
        heard = self._voice.stop(self.turn)
        if self.unheard is not None:
            self.unheard.cancel()
        elif self._accepting is None and not self._failed:
            self.user_text = self._answer.typed.strip()  # not accepted yet: see `stored`
        return heard

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
            probe=not self._ahead,
            on_degraded=self._report("stt"),
        )
        budget.start("stt", "", loop.time())
        try:
            async with stream as transcripts:
                async for transcript in transcripts:
                    if transcript.final:
                        final = transcript
                    elif self._released.is_set():
                        self._emit(transcript)
        except PipelineError as error:
            if self._ahead or not utterance.typed:
                raise
            self._degraded("stt", self._transcribers, str(error))
            final = Transcript(self.turn, "", final=True)
        budget.start("stt", stream.provider, loop.time())
        budget.end("stt", loop.time())
        text = f"{final.text.strip()} {utterance.typed}".strip()
        return replace(final, turn=self.turn, text=text)

    async def _accept_when_released(self) -> None:
        """Have the host store what was said, and let the client see it and hear the answer."""
        if self._transcript is None:
            return
        await self._released.wait()
        self.unheard = None
        try:
            await self._accept(self._transcript)
        except Exception as error:  # storage is the host's; whatever it raises, the person hears
            logger.exception("turn %d could not be stored", self.turn)
            self._accepting = None
            self._failed = True
            self.user_text = ""
            self._emit(Fault(self.turn, "not_stored", f"the answer was not stored: {error}"))
            raise _NotStored from error
        self._clear()

    async def _accept(self, transcript: Transcript) -> None:
        if self._accepting is None:
            self.user_text = transcript.text
            # Not cancelled with the turn: what has been understood is stored, whatever comes next.
            self._accepting = asyncio.ensure_future(self._host.accept(self.turn, transcript.text))
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
            "sentences", bound=PENDING_CHARACTERS, policy=Policy.BLOCK, size=_characters
        )
        unstored = False
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._accept_when_released())
                thinking = group.create_task(self._think(text, brief, sentences))
                async for sentence in sentences:
                    await self._voice.speak(sentence)
        except* _NotStored:
            unstored = True
        except* PipelineError as errors:
            raise _TooEarly from errors
        return self._canned.unsaved if unstored else thinking.result()

    async def _think(self, text: str, brief: Brief, sentences: Channel[Sentence]) -> str | None:
        loop = asyncio.get_running_loop()
        budget = self.budget
        request = ReplyRequest(self.turn, text, brief)
        splitter = SentenceSplitter()
        stream = self._responders.stream(
            lambda stage: stage.reply(request),
            useful=lambda delta: bool(delta.text.strip()),
            budget_s=budget.allow("llm", loop.time()),
            probe=not self._ahead,
            on_degraded=self._report("llm"),
        )
        budget.start("llm", "", loop.time())
        try:
            async with stream as deltas:
                async for delta in deltas:
                    budget.start("llm", stream.provider, loop.time())
                    budget.first("llm", loop.time())
                    for piece in splitter.push(delta.text):
                        await sentences.send(Sentence(self.turn, piece))
            for piece in splitter.finish():
                await sentences.send(Sentence(self.turn, piece))
        except PipelineError as error:
            if self._ahead and not self._voice.speaking:
                raise
            self._degraded("llm", self._responders, str(error))
            return self._canned.speechless
        finally:
            budget.end("llm", loop.time())
            sentences.close()
        return None

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
