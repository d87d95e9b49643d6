"""What the person said in one turn: recognised, stored by the host, then shown."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from pipeline.budget import TurnBudget
from pipeline.channel import Waited
from pipeline.errors import PipelineError
from pipeline.frames import Output, Transcript
from pipeline.guard import Guard
from pipeline.outputs import ReplyOutputs
from pipeline.stage import Host, RecognizedSpeech, Transcriber
from pipeline.utterance import Utterance


class Answer:
    """One turn's answer, spoken, typed or both; in the opening turn there is none.

    `recognise` it, then `accept` it. `emit` takes the transcript once the host has stored it, and
    `waited` is told how long the recogniser took to answer.
    """

    def __init__(
        self,
        turn: int,
        utterance: Utterance | None,
        typed: str,
        *,
        budget: TurnBudget,
        outputs: ReplyOutputs,
        transcribers: Guard[Transcriber],
        host: Host,
        emit: Callable[[Output], None],
        waited: Waited,
    ) -> None:
        self.turn = turn
        self.budget = budget
        self.outputs = outputs
        """Those of the reply to it."""
        self.pending = utterance
        """What is still to be recognised and accepted; None once that has been done or given up."""
        self.text = ""
        """What the person said, once it is to be accepted."""
        self.transcript: Transcript | None = None
        """What was recognised."""
        self._typed = typed.strip()
        self._transcribers = transcribers
        self._host = host
        self._emit = emit
        self._waited = waited
        self._speech: RecognizedSpeech | None = None
        self._accepting: asyncio.Future[None] | None = None
        self._shown = False  # the client has the transcript
        self._failed = False

    @property
    def empty(self) -> bool:
        """Nobody has said anything: the opening turn, or one without words of the person."""
        return self.pending is None and not self._typed

    async def recognise(self, on_partial: Callable[[Transcript], None]) -> Transcript:
        """Find out what was said, as `transcript` has it then: "" where there was nothing.

        Raises `PipelineError` when no recogniser could tell and nothing was typed. May be
        cancelled, and called again after either.
        """
        utterance = self.pending
        if utterance is None:
            self.transcript = Transcript(self.turn, self._typed, final=True)
            return self.transcript
        loop = asyncio.get_running_loop()
        budget = self.budget
        ahead = self.outputs.ahead
        stream = self._transcribers.stream(
            utterance.recognise,
            useful=lambda transcript: transcript.final,
            budget_s=budget.allow("stt", loop.time()),
            min_first_s=budget.least("stt"),
            probe=not ahead,
            on_degraded=partial(self.outputs.degraded, "stt"),
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
                    on_partial(transcript)
        except PipelineError as error:
            if ahead or not utterance.typed:
                raise
            self.degraded("canned line", str(error))
            final = Transcript(self.turn, "", final=True)
        budget.start("stt", stream.provider, loop.time())
        budget.end("stt", loop.time())
        self._speech = None
        if final.text.strip():
            self._speech = RecognizedSpeech(
                final,
                stream.provider,
                utterance.start_ms,
                utterance.duration_ms,
                utterance.audio,
            )
        text = f"{final.text.strip()} {utterance.typed}".strip()
        self.transcript = replace(final, turn=self.turn, text=text)
        return self.transcript

    def degraded(self, target: str, reason: str) -> None:
        """No recogniser could tell what was said: `target` takes its place."""
        source = self._transcribers.candidates[-1].provider
        self.outputs.degraded("stt", source, target, reason)

    async def accept(self) -> None:
        """Have the host store what was recognised, then show it. Raises what the host raises.

        Once begun, storing goes on where this is cancelled: what has been understood is stored,
        whatever comes next. Called again, this waits for the same storing.
        """
        transcript = self.transcript
        assert transcript is not None
        self.pending = None
        if self._accepting is None:
            self.text = transcript.text
            accepting = self._host.accept(self.turn, transcript.text, self._speech)
            self._accepting = asyncio.ensure_future(accepting)
        await asyncio.shield(self._accepting)
        if not self._shown:
            self._shown = True
            self._emit(transcript)

    def fail(self) -> None:
        """The host could not store it: the turn goes on without."""
        self._accepting = None
        self._failed = True
        self.text = ""

    def stop(self) -> None:
        """The turn is over before its time. What has been understood is stored all the same."""
        if self.pending is not None:
            self.pending.cancel()
        elif self._accepting is None and not self._failed:
            self.text = self._typed  # not accepted yet: see `stored`

    async def stored(self) -> None:
        """Return when the host has what the person said. Raises what the host raised."""
        if self._accepting is not None:
            await self._accepting
        elif self.text:
            await self._host.accept(self.turn, self.text)
