"""The answer of one turn: recognised, stored by the host, then shown to the client."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from pipeline.budget import TurnBudget
from pipeline.candidate import client_reason
from pipeline.channel import Waited
from pipeline.errors import BudgetExceeded, PipelineError
from pipeline.frames import INPUT_RATE_HZ, Output, Transcript
from pipeline.guard import Guard, Stream
from pipeline.ladder import CANNED, GAP
from pipeline.outputs import ReplyOutputs
from pipeline.stage import Host, RecognizedSpeech, Transcriber
from pipeline.utterance import LONGEST_S, Utterance
from pipeline.wordless import worded

LATE_FACTOR = 4
"""The second limit of recognition, in hard limits of the turn, or the length of the speech if that
is longer. A machine that is three times too slow takes three limits; the fourth is kept for another
recogniser. A recogniser that keeps up with speech, even if it heard nothing while the person spoke,
is never cut off."""

FREED_AFTER_S = 0.1
"""How long after its answer was shown a recording is freed. Freeing takes 40 µs; the work that is
left until the first sound of the reply takes less than ten times that."""


class Answer:
    """The person's words in one turn, spoken, typed or both; empty in the opening turn.

    Call `recognise`, then `accept`. `emit` takes the transcript once the host has stored it, and
    `waited` takes the time until the recogniser's first transcript. `heard` takes the recogniser's
    transcript of a spoken answer that was stored.
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
        heard: Callable[[Transcript], None],
    ) -> None:
        self.turn = turn
        self.budget = budget
        self.outputs = outputs
        """The outputs of the reply to this answer."""
        self.pending = utterance
        """The utterance, until it is accepted or given up; then None."""
        self.text = ""
        """The words to store, set when `accept` or `stop` is called; "" before that."""
        self.transcript: Transcript | None = None
        """The result of `recognise`; None before it."""
        self._typed = typed.strip()
        self._transcribers = transcribers
        self._host = host
        self._emit = emit
        self._waited = waited
        self._asked = transcribers.line[0].provider
        self._heard = heard
        self._stream: Stream[Transcript] | None = None  # while it is asked; it has the utterance
        self._speech: RecognizedSpeech | None = None  # until it is stored
        self._accepting: asyncio.Future[None] | None = None
        self._work: asyncio.Task[Transcript] | None = None  # the latest of `recognising`
        self.goes_on = False
        """Its recognition goes on although the reply to it was stopped: the session ends, and the
        words are stored without one."""
        self._shown = False  # the client has the transcript
        self._failed = False

    @property
    def empty(self) -> bool:
        """Whether the turn has no words of the person, such as the opening turn."""
        return self.pending is None and not self._typed

    @property
    def spoken(self) -> bool:
        """Whether all words of the answer are spoken."""
        return self.pending is not None and not self.pending.typed

    @property
    def latest_s(self) -> float:
        """How long the recognition may take: the second limit, in seconds."""
        spoken_s = 0.0 if self.pending is None else self.pending.duration_ms / 1000
        return max(LATE_FACTOR * self.budget.hard_s, spoken_s)

    @property
    def settled(self) -> bool:
        """Whether the words are stored and shown, or there are none to store."""
        waits = self.pending is not None or self._accepting is not None
        return self._shown or not (waits or (self._typed and not self._failed))

    @property
    def asked(self) -> str:
        """The recogniser that is asked, or was asked last."""
        return self._asked if self._stream is None else self._stream.provider

    def recognising(self, on_partial: Callable[[Transcript], None]) -> asyncio.Task[Transcript]:
        """A task of `recognise`, which the caller owns: the current one if that `goes_on`."""
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self.recognise(on_partial))
            # The turn may be cancelled before it takes an error, which the guard has logged.
            self._work.add_done_callback(lambda work: work.cancelled() or work.exception())
        return self._work

    async def give_up(self) -> None:
        """Stop the recognition, if it still goes on."""
        if self._work is not None and not self._work.done():
            self._work.cancel()
            await asyncio.wait((self._work,))
        self._work = None  # a task keeps its error, whose frames hold this answer

    async def recognise(self, on_partial: Callable[[Transcript], None]) -> Transcript:
        """Recognise the utterance and set `transcript`; its text is "" if nothing was said, or if
        the recogniser gave no letter or digit.

        It goes on past the turn's limit, for `latest_s`. Raises `PipelineError` when every
        recogniser failed and nothing was typed. May be called again after an error or a
        cancellation.
        """
        utterance = self.pending
        if utterance is None:
            self.transcript = Transcript(self.turn, self._typed, final=True)
            return self.transcript
        loop = asyncio.get_running_loop()
        budget = self.budget
        ahead = self.outputs.ahead
        self._stream = stream = self._transcribers.stream(
            utterance.recognise,
            useful=lambda transcript: transcript.final,
            budget_s=self.latest_s,
            share_s=budget.allow("stt", loop.time()),
            size_s=utterance.duration_ms / 1000,
            min_first_s=budget.least("stt"),
            probe=not ahead,
            on_degraded=partial(self.outputs.gave_way, "stt"),
        )
        asked_at = loop.time()
        budget.start("stt", "", asked_at)
        try:
            async with stream as transcripts:
                try:
                    final = worded(await anext(transcripts))
                    self._waited("recognition", (loop.time() - asked_at) * 1000)
                    while not final.final:
                        on_partial(final)
                        final = worded(await anext(transcripts))
                except BudgetExceeded:
                    stream.give_up()  # nobody waits longer than this
                    raise
        except PipelineError as error:
            budget.gave_way("stt", stream.provider, loop.time())
            if ahead or not utterance.typed:
                raise
            self.degraded(CANNED, client_reason(error))
            final = Transcript(self.turn, "", final=True)
        finally:
            self._asked, self._stream = stream.provider, None
        budget.start("stt", stream.provider, loop.time())
        budget.end("stt", loop.time())
        if utterance.lost:
            lost_s = utterance.lost / INPUT_RATE_HZ
            self.degraded(GAP, f"the last {lost_s:.1f} s were not kept: {LONGEST_S} s are the most")
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
        """Report that recognition failed or is late, and that `target` takes the words' place."""
        self.outputs.degraded("stt", self.asked, target, reason)

    async def accept(self) -> None:
        """Have the host store the transcript, then show it. Raises what the host raises.

        Cancelling stops the wait only: the host goes on storing. A second call waits for the same
        storing.
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
            if self._speech is not None:
                self._heard(self._speech.transcript)
                asyncio.get_running_loop().call_later(FREED_AFTER_S, self._free)

    def _free(self) -> None:
        """Keep the recording no longer with the turn."""
        self._speech = None

    def fail(self) -> None:
        """The host could not store the answer: the turn goes on without it."""
        self._accepting = None
        self._failed = True
        self.text = ""

    def stop(self) -> None:
        """End the turn early. Words that were recognised or typed are stored all the same."""
        if self.pending is not None:
            if not self.goes_on:
                self.pending.cancel()
        elif self._accepting is None and not self._failed:
            self.text = self._typed  # not accepted yet: see `stored`

    async def stored(self) -> None:
        """Return when the host has stored the answer. Raises what the host raised."""
        if self._accepting is not None:
            await self._accepting
            self._speech = None
        elif self.text:
            await self._host.accept(self.turn, self.text)
