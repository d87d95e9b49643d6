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


class Reply:
    """One turn's work. `run` it in a task; whoever cancels that task calls `stop` first."""

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
        canned: CannedLines,
    ) -> None:
        self.turn = answer.turn
        self.budget = budget
        self.unheard = utterance
        """What is still to be recognised; None once that has been done or given up."""
        self.user_text = ""
        """What the person said, once it is known."""
        self.closes = False
        """The conversation ends when this reply has been heard."""
        self._answer = answer
        self._transcribers = transcribers
        self._responders = responders
        self._voice = voice
        self._host = host
        self._emit = emit
        self._canned = canned
        self._accepting: asyncio.Future[None] | None = None
        self._failed = False

    async def run(self, on_first: Callable[[], None]) -> str:
        """Do it all; returns what is to be remembered of the reply.

        `on_first` is called when the first reply audio is on its way.

        Cancelling stops every provider call under way.
        """
        self._voice.begin(self.turn, self.budget, on_first)
        line = await self._listen() or await self._respond()
        if line:
            self.closes = False
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
            self.user_text = transcript.text
            # Not cancelled with the turn: what has been understood is stored, whatever comes next.
            self._accepting = asyncio.ensure_future(self._host.accept(self.turn, transcript.text))
            await asyncio.shield(self._accepting)
            self._emit(transcript)
        return transcript.text

    async def stored(self) -> None:
        """Return when the host has what the person said. Raises what the host raised."""
        if self._accepting is not None:
            await self._accepting
        elif self.user_text:
            await self._host.accept(self.turn, self.user_text)

    # --- the steps; each returns a canned line to say where it failed -------------------------

    async def _listen(self) -> str | None:
        if self.unheard is None and not self._answer.typed:
            return None  # the opening turn: nobody has spoken yet
        try:
            if await self.hear():
                return None
            self._degraded("stt", self._transcribers, "nothing was recognised")
        except PipelineError as error:
            self._degraded("stt", self._transcribers, str(error))
        except Exception as error:  # storage is the host's; whatever it raises, the person hears
            logger.exception("turn %d could not be stored", self.turn)
            self._accepting = None
            self._failed = True
            self.user_text = ""
            self._emit(Fault(self.turn, "not_stored", f"the answer was not stored: {error}"))
            return self._canned.unsaved
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
            on_degraded=self._report("stt"),
        )
        budget.start("stt", "", loop.time())
        try:
            async with stream as transcripts:
                async for transcript in transcripts:
                    if transcript.final:
                        final = transcript
                    else:
                        self._emit(transcript)
        except PipelineError as error:
            if not utterance.typed:
                raise
            self._degraded("stt", self._transcribers, str(error))
            final = Transcript(self.turn, "", final=True)
        budget.start("stt", stream.provider, loop.time())
        budget.end("stt", loop.time())
        text = f"{final.text.strip()} {utterance.typed}".strip()
        return replace(final, turn=self.turn, text=text)

    async def _respond(self) -> str | None:
        brief = self._host.brief(self.turn, self.user_text)
        self.closes = brief.closes
        sentences: Channel[Sentence] = Channel(
            "sentences", bound=PENDING_CHARACTERS, policy=Policy.BLOCK, size=_characters
        )
        async with asyncio.TaskGroup() as group:
            thinking = group.create_task(self._think(brief, sentences))
            async for sentence in sentences:
                await self._voice.speak(sentence)
        return thinking.result()

    async def _think(self, brief: Brief, sentences: Channel[Sentence]) -> str | None:
        loop = asyncio.get_running_loop()
        budget = self.budget
        request = ReplyRequest(self.turn, self.user_text, brief)
        splitter = SentenceSplitter()
        stream = self._responders.stream(
            lambda stage: stage.reply(request),
            useful=lambda delta: bool(delta.text.strip()),
            budget_s=budget.allow("llm", loop.time()),
            on_degraded=self._report("llm"),
        )
        budget.start("llm", "", loop.time())
        try:
            async with stream as deltas:
                async for delta in deltas:
                    budget.start("llm", stream.provider, loop.time())
                    budget.first("llm", loop.time())
                    for text in splitter.push(delta.text):
                        await sentences.send(Sentence(self.turn, text))
            for text in splitter.finish():
                await sentences.send(Sentence(self.turn, text))
        except PipelineError as error:
            self._degraded("llm", self._responders, str(error))
            return self._canned.speechless
        finally:
            budget.end("llm", loop.time())
            sentences.close()
        return None

    # --- telling the client ------------------------------------------------------------------

    def _report(self, slot: Slot) -> Callable[[str, str, str], None]:
        return lambda source, target, why: self._emit(
            Degraded(self.turn, slot, source, target, why)
        )

    def _degraded(self, slot: Slot, guard: Guard[Any], reason: str) -> None:
        source = guard.candidates[-1].provider
        self._emit(Degraded(self.turn, slot, source, "canned line", reason))


def _characters(sentence: Sentence) -> int:
    return len(sentence.text)
