"""The session's voice: turns sentences into paced audio, and knows which words were heard."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from pipeline.budget import TurnBudget
from pipeline.candidate import client_reason
from pipeline.echo import EchoWatch
from pipeline.errors import PipelineError
from pipeline.fillers import FillerSpeech
from pipeline.frames import (
    AvatarState,
    Clear,
    ReplyDone,
    ReplyPaused,
    ReplyResumed,
    ReplyStarted,
    ReplyText,
    Samples,
    Sentence,
    Speech,
    Spoken,
    Viseme,
    Visemes,
)
from pipeline.guard import Guard, Stream
from pipeline.ladder import TEXT, steps_down
from pipeline.outputs import ReplyOutputs
from pipeline.paced_playout import PacedPlayout
from pipeline.pacer import Pacer
from pipeline.patience import Soon
from pipeline.playout import FRAME_MS, Playout
from pipeline.speakable import speakable
from pipeline.stage import Converter, Observed, Synthesizer
from pipeline.synthesis import Synthesis

Convert = Callable[[int, int], Converter]
"""Makes a converter from one sample rate to another."""

NOTHING: Samples = np.zeros(0, np.int16)


class Voice:
    """Speaks one reply at a time.

    The first `lead_ms` of a reply are sent inside the call that pushed them; the process's pacer
    sends the rest. `stop` takes effect at once: after it no frame of that turn is emitted.

    `emit` takes the frames for the client, and all speech when it is queued for playout, some
    seconds before it is heard. It must neither block nor raise. `position_ms` says how much input
    audio has come.
    """

    def __init__(
        self,
        synthesizers: Guard[Synthesizer],
        playout: Playout,
        pacer: Pacer,
        convert: Convert,
        emit: Callable[[Observed], None],
        position_ms: Callable[[], int],
    ) -> None:
        self._synthesizers = synthesizers
        self._playout = playout
        self._paced = PacedPlayout(playout, pacer, emit)
        self._convert = convert
        self._emit = emit
        self._turn = -1
        self._budget: TurnBudget | None = None
        self._on_first: Callable[[], None] = lambda: None
        self._outputs = ReplyOutputs(-1, emit)
        self._remembered: str | None = None  # the text to remember of this reply, once it is over
        self._away = False  # nobody hears it now
        self.stream: Stream[Speech] | None = None
        """The latest synthesis of this reply; None before the first."""
        self._filler: FillerSpeech | None = None
        self._filler_ms = 0  # its length; the reply's own audio begins there
        self._heard = False  # the reply's own first audio was sent
        self._rest: asyncio.TimerHandle | None = None  # the end of a line that fills the wait
        self._resting = False  # it is over, and the client knows
        self.replying = False
        """As `speaking`, but for the reply itself: a filler does not count."""
        self.echo = EchoWatch(position_ms)
        self.speaking = False
        """True from the first audio or text of a reply until it has been played or stopped."""

    def begin(
        self,
        turn: int,
        budget: TurnBudget,
        on_first: Callable[[], None],
        outputs: ReplyOutputs,
    ) -> None:
        """Begin a reply. `on_first` is called when its first audio or text is sent.

        Nothing is sent before its `outputs` are accepted; until then the first piece of audio is
        kept. A reply ahead of its turn's decision uses closed breakers only, and raises errors that
        come before its first audio. Where the same turn's reply is begun again, a filler goes on.
        """
        again = turn == self._turn and self.speaking
        self._turn = turn
        self._outputs = outputs
        self._remembered = None
        self._budget = budget
        self._on_first = on_first
        self.stream = None
        self._heard = self.replying = False
        self._paced.on_frame = self._note
        if not again:
            self._filler, self._filler_ms = None, 0
            self._resting = False
            self._playout.begin(turn)
            self.echo.resumed()
            if self._away:
                self._playout.pause(asyncio.get_running_loop().time())

    def fill(self, turn: int, filler: FillerSpeech) -> bool:
        """Say a filler, which is heard but not remembered; the reply follows at its end.

        A plain call. Returns False, and says nothing, once the turn has a reply or is over, and
        while the client is away.
        """
        over = turn != self._turn or self._remembered is not None
        if over or self.speaking or self._away:
            return False
        playout = self._playout
        self._filler = filler
        self._announce(Sentence(turn, filler.text), own=False, aside=True)
        playout.say(filler.text, aside=True)
        rate_hz, samples = filler.rate_hz, 0
        converter = self._converter(rate_hz)
        for speech in filler.speech:
            self._push(replace(speech, turn=turn), converter, 0, samples * 1000 // rate_hz, rate_hz)
            samples += len(speech.pcm)
        self._complete(converter, samples * 1000 // rate_hz, rate_hz)
        self._filler_ms = playout.pushed_ms
        self.rest()
        return True

    def rest(self) -> None:
        """The line that was said last fills a wait: at its end, unless more has been said by then,
        the client learns that the turn is being worked on. A plain call."""
        if not self._playout.pushed_ms:
            return
        if self._rest is not None:
            self._rest.cancel()
        now = asyncio.get_running_loop().time()
        over_at = now + self._playout.left_s(now)
        said = (self._turn, self._playout.pushed_ms)
        self._rest = asyncio.get_running_loop().call_at(over_at, self._rested, said)

    def _rested(self, said: tuple[int, int]) -> None:
        self._rest = None
        if self.speaking and not self._playout.paused:
            self._resting = said == (self._turn, self._playout.pushed_ms)
            if self._resting:
                self._emit(AvatarState(self._turn, "thinking"))

    async def speak(self, sentence: Sentence, *, aside: bool = False) -> None:
        """Synthesise a sentence and queue it for playout; waits while the look-ahead is full.

        The synthesizer gets the sentence's speakable text; the client and the conversation keep the
        sentence as it is. A sentence of which nothing can be said is only shown: no synthesizer is
        asked. An `aside` is no part of the conversation: it is heard, but not remembered.

        A voice that breaks off, or trickles, gives way to the next one, which says the rest of the
        sentence from the word that was cut off. Where no voice can, the client gets the text alone
        and a `Degraded` frame. Raises `PipelineError` only in a reply ahead of its decision, and
        not for an aside. Cancelling stops the synthesis.
        """
        assert self._budget is not None
        loop = asyncio.get_running_loop()
        budget, playout, outputs = self._budget, self._playout, self._outputs
        said = speakable(sentence.text, sentence.language)
        if not said.text:
            await outputs.wait()
            self._announce(sentence, aside=aside)
            playout.say(sentence.text, aside=aside, silent=True)
            return
        budget.start("tts", "", loop.time())
        synthesis = Synthesis(self._synthesizers, sentence, said, self._converter)
        begun = False
        start_ms = playout.pushed_ms
        while True:
            now, part_ms = loop.time(), playout.pushed_ms - start_ms
            soon = self._soon(budget, now)
            self.stream = stream = synthesis.stream(budget, soon, outputs, now, part_ms=part_ms)
            try:
                async with stream as pieces:
                    async for speech in pieces:
                        budget.start("tts", stream.provider, loop.time())
                        budget.first("tts", loop.time())
                        if not begun:
                            begun = True
                            await outputs.wait()
                            start_ms = playout.pushed_ms  # behind a filler
                            self._announce(sentence, aside=aside)
                            playout.say(sentence.text, aside=aside)
                        elif synthesis.gave_way is not None and not synthesis.samples:
                            source, why = synthesis.gave_way
                            outputs.degraded("tts", source, stream.provider, why)
                        at_ms, converter = start_ms + synthesis.at_ms, synthesis.converter
                        speech = synthesis.take(speech)
                        self._push(speech, converter, start_ms, at_ms, synthesis.rate_hz)
                        await self._paced.room()
            except PipelineError as error:
                budget.gave_way("tts", stream.provider, loop.time())
                if not steps_down(outputs, budget, loop.time(), begun=self.replying or aside):
                    raise
                await outputs.wait()
                if synthesis.cut_off(stream.provider, error, loop.time()):
                    playout.push(synthesis.converter.flush())
                    continue
                outputs.degraded("tts", stream.provider, TEXT, client_reason(error))
                if not begun:
                    self._announce(sentence, aside=aside)
                    playout.say(sentence.text, written=True, aside=aside)
            else:
                end_ms = start_ms + synthesis.at_ms
                self._complete(synthesis.converter, end_ms, synthesis.rate_hz)
            break
        budget.end("tts", loop.time())

    async def write(self, sentence: Sentence, *, aside: bool = False) -> None:
        """Send a sentence as text only; it counts as heard at once."""
        await self._outputs.wait()
        self._announce(sentence, spoken=False, aside=aside)
        self._playout.say(sentence.text, written=True, aside=aside)

    async def played(self) -> None:
        """The reply is complete: return when its last sample has been heard."""
        await self._paced.over()
        self._playout.close()
        self.speaking = self.replying = False

    def finish(self) -> str:
        """Send the client the end of the reply; returns the part of it to remember."""
        now = asyncio.get_running_loop().time()
        self.echo.said(self._playout.begun(now))
        self._emit(ReplyDone(self._turn, interrupted=False, heard=self._playout.heard(now)))
        self._remembered = self._playout.heard(now, asides=False)
        return self._remembered

    def stop(self, turn: int) -> str:
        """Stop a turn's reply now; returns the part of it to remember. A plain call.

        That part is "" for a reply that had not begun.
        """
        if turn != self._turn:
            return ""
        now = asyncio.get_running_loop().time()
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        self._paced.hold()
        heard = self._playout.heard(now)
        at_ms = self._playout.played_ms(now)
        self._remembered = self._playout.heard(now, asides=False)
        told = self._playout.told(now)
        if self.speaking:
            begun, replied = self._playout.begun(now), self.replying
            self.echo.said(begun, cut_after=heard, replied=replied)
        cleared = self._playout.paused
        self._playout.stop()
        if self.speaking:
            self.speaking = self.replying = False
            if not cleared:
                self._emit(Clear(self._turn, at_ms))
            self._emit(ReplyDone(self._turn, interrupted=not told, heard=heard))
        return self._remembered

    def pause(self, turn: int) -> None:
        """The person speaks into a turn's reply: pause it. A plain call."""
        if turn == self._turn and self.speaking and not self._playout.paused:
            self._paced.hold()
            at_ms = self._playout.pause(asyncio.get_running_loop().time())
            self.echo.paused()
            self._emit(Clear(turn, at_ms))
            self._emit(ReplyPaused(turn, at_ms))
            self._emit(AvatarState(turn, "listening"))

    def resume(self, turn: int) -> None:
        """Go on after a pause, with the word that was cut off. A plain call."""
        if turn == self._turn and self._playout.paused and not self._away:
            now = asyncio.get_running_loop().time()
            self.echo.resumed()
            self._emit(ReplyResumed(turn, self._playout.resume(now)))
            self._emit(AvatarState(turn, "speaking"))
            self._paced.go_on()

    def suspend(self) -> None:
        """The client has gone for a while: send no audio until `proceed`. A plain call."""
        self._away = True
        self.pause(self._turn)

    def proceed(self) -> None:
        """The client is back: go on, with the word that was cut off. A plain call."""
        self._away = False
        if self.speaking:
            self.resume(self._turn)
        elif self._playout.paused:
            self._playout.resume(asyncio.get_running_loop().time())

    def left_s(self, now: float) -> float:
        """How long what was said so far is still heard, from `now` on; 0 for nothing."""
        return self._playout.left_s(now) if self.speaking else 0.0

    def sentence_over_at(self, now: float) -> float | None:
        """When a stop would cut no sentence off: see `Playout.sentence_over_at`."""
        return self._playout.sentence_over_at(now) if self.speaking else now

    def acknowledge(self, turn: int, played_ms: int) -> None:
        """The client reports how much of a reply it has played."""
        if turn == self._playout.turn:
            self._playout.acknowledge(played_ms, asyncio.get_running_loop().time())

    def truncate(self, turn: int, heard_ms: int) -> str | None:
        """The client heard only `heard_ms` of a turn's reply, at most what was sent.

        Returns the text to remember of it instead. None if that has not changed, if the reply is
        under way (`finish` and `stop` then count it in), or if it is not the last reply.
        """
        if turn != self._turn:
            return None
        self._playout.truncate(heard_ms)
        if self._remembered is None:
            return None
        before = self._remembered
        now = asyncio.get_running_loop().time()
        self._remembered = self._playout.heard(now, asides=False)
        return None if self._remembered == before else self._remembered

    # --- on the way out ----------------------------------------------------------------------

    def _announce(
        self, sentence: Sentence, *, spoken: bool = True, own: bool = True, aside: bool = False
    ) -> None:
        self.replying = self.replying or own
        if not self.speaking:
            self.speaking = True
            self._on_first()
            self._emit(ReplyStarted(self._turn))
            if self._away:
                self._emit(ReplyPaused(self._turn, 0))
            if spoken:
                self._emit(AvatarState(self._turn, "speaking"))
        elif self._resting and spoken:
            self._resting = False
            self._emit(AvatarState(self._turn, "speaking"))
        self._emit(ReplyText(self._turn, sentence.text, filler=aside))

    def _push(
        self, speech: Speech, converter: Converter, start_ms: int, at_ms: int, rate_hz: int
    ) -> None:
        cues = tuple(
            Viseme(start_ms + cue.at_ms, cue.duration_ms, cue.shape, cue.weight)
            for cue in speech.cues
        )
        if cues:
            self._emit(Visemes(self._turn, cues[0].at_ms, cues))
        self._emit(Spoken(self._turn, at_ms, rate_hz, speech.pcm, cues))
        self._playout.push(converter.push(speech.pcm), speech.words)
        self._paced.pump()

    def _converter(self, rate_hz: int) -> Converter:
        """From a voice's sample rate to the client's."""
        return self._convert(rate_hz, self._playout.rate_hz)

    def _soon(self, budget: TurnBudget, now: float) -> Soon:
        """When the next sentence's audio is due: once some was heard, before that has run out."""
        left_s = self._playout.left_s(now)
        return Soon(left_s, left_s + 0.5) if self._heard else budget.soon("tts", now)

    def _complete(self, converter: Converter, at_ms: int, rate_hz: int) -> None:
        """All audio of a sentence was pushed; it ends at `at_ms`."""
        self._playout.push(converter.flush())
        self._playout.said()
        self._emit(Spoken(self._turn, at_ms, rate_hz, NOTHING, last=True))
        self._paced.pump()

    def _note(self, at_ms: int, now: float) -> None:
        """A frame was sent: note what the person hears first, and when the reply begins."""
        assert self._budget is not None
        if self._filler is not None:
            self._budget.filler_out(self._filler.provider, now)
        if self.replying and at_ms + FRAME_MS > self._filler_ms:
            self._heard = True
            self._paced.on_frame = None
            self._budget.audio_out(now)
