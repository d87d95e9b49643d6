"""Every stage, broken in every way, in every moment of a conversation, alone and with another
provider behind it.

The stage breaks after the opening and is well again before the last turn. `EXPECTED` says what the
person gets meanwhile. `check` says what holds in every case: nobody waits for words longer than the
turn's hard limit, no conversation hangs, what was recognised is stored once, healthy providers are
not blamed, the shares of each turn's ledger add up, and the last turn is answered as if nothing had
been.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from pipeline.breaker import BreakerState, Outcome
from pipeline.canned import CannedLines
from pipeline.errors import StageFailed
from pipeline.frames import (
    AvatarState,
    ReplyAudio,
    ReplyDone,
    ReplyStarted,
    ReplyText,
    Speech,
    SpeechStarted,
    SpeechStopped,
    TextDelta,
    Transcript,
    TurnMetrics,
)
from pipeline.session import SessionPolicy
from pipeline.testing import Script, play
from stages.fakes import FakeResponder, FakeSynthesizer, FakeTranscriber
from tests.support.breakers import Recorder
from tests.support.session import Conversation

EXPECTED = """
stage  fault    alone   breaker
stt    refuse   canned  failure
stt    hang     canned  failure
stt    stall    canned  failure
stt    error    canned  failure
stt    garbage  canned  failure
stt    strange  canned  failure
stt    signs    canned  success
stt    empty    canned  failure
stt    drip     canned  failure
stt    late     canned  failure
stt    recover  canned  failure
llm    refuse   canned  failure
llm    hang     canned  failure
llm    stall    canned  failure
llm    error    canned  failure
llm    garbage  canned  failure
llm    strange  canned  failure
llm    signs    canned  failure
llm    empty    canned  failure
llm    drip     heard   slow
llm    late     canned  failure
llm    recover  canned  failure
tts    refuse   text    failure
tts    hang     text    failure
tts    stall    text    failure
tts    error    text    failure
tts    garbage  text    failure
tts    strange  text    failure
tts    empty    text    failure
tts    drip     heard   slow
tts    late     text    failure
tts    recover  text    failure
"""
"""`alone`: the person hears a canned line, or something, or gets the reply's words as text. With
another provider behind it they hear the reply. `breaker`: what the broken provider's counts; with
another one behind it a slow call is a failure, since it is given up. `garbage` is what a provider
of Parley's finds malformed, `strange` what one of somebody else's passes on all the same, `signs`
a text without a letter or digit. A recogniser that gives such a text has heard nothing: it is not
blamed, and no other one is asked.
"""

MOMENTS = ("idle", "speaking", "barge-in", "speculative")
"""What the person does while the stage is broken: says something and waits; goes on before they are
answered; interrupts the answer; pauses in mid-sentence, so that a reply is prepared for nothing."""

ANSWERS = {"idle": 1, "speaking": 1, "barge-in": 2, "speculative": 1}
"""How many answers that makes, at least."""

LINE = "Well, tell me more about that."
SAID = "I like tests"
SIGNS = "{}[]<> \N{REPLACEMENT CHARACTER}\N{EIGHTH NOTE} ...?!"
HARD_S = 6.0
CANNED = [getattr(CannedLines(), field.name) for field in fields(CannedLines)]
TIMES = 6
"""How often the person tries, where a breaker is to open."""

OPEN_S = 61.0

ROWS = {(row[0], row[1]): row[2:] for row in map(str.split, EXPECTED.strip().splitlines()[1:])}

REFUSED = StageFailed("llm", "broken", "connect", "refused")
SCRIPTS = {
    "refuse": Script(error=REFUSED),
    "hang": Script(stall=True),
    "stall": Script(after=2, stall=True),
    "error": Script(after=2, error=OSError("connection reset")),
    "garbage": Script(error=StageFailed("llm", "broken", "protocol", "no JSON")),
    "empty": Script(end=True),
    "drip": Script(first_s=0.9, gap_s=0.9),
    "recover": Script(error=REFUSED),
}


async def late(items: Sequence[Any]) -> AsyncIterator[Any]:
    """Ignores that it is cancelled, and gives its items after that."""
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        await asyncio.sleep(0.1)
    for item in items:
        yield item


class Fault:
    """What the streams of a stage do while it is broken."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.on = False

    def stream(self, items: Sequence[Any]) -> AsyncIterator[Any]:
        if not self.on:
            return play(items, Script())
        match self.kind:
            case "late":
                return late(items)
            case "strange":  # none of the slot's frames, but what its server sent
                return play([{"text": SAID, "audio": ""}], Script())
            case "signs":
                return play([replace(item, text=SIGNS) for item in items], Script())
            case kind:
                return play(items, SCRIPTS[kind])


class Transcriber(FakeTranscriber):
    def __init__(self, fault: Fault) -> None:
        super().__init__(texts=(SAID,), provider="broken")
        self.fault = fault

    def transcripts(self, turn: int) -> AsyncIterator[Transcript]:
        ends = (1, 6, len(SAID))
        items = [Transcript(turn, SAID[:end], final=end == len(SAID)) for end in ends]
        return self.fault.stream(items)


class Responder(FakeResponder):
    def __init__(self, fault: Fault) -> None:
        super().__init__(provider="broken")
        self.fault = fault

    def reply(self, request: Any) -> AsyncIterator[TextDelta]:
        text = " ".join(request.brief.say)
        return self.fault.stream([TextDelta(request.turn, word + " ") for word in text.split()])


class Synthesizer(FakeSynthesizer):
    def __init__(self, fault: Fault) -> None:
        super().__init__(provider="broken")
        self.fault = fault

    def speak(self, sentence: Any) -> AsyncIterator[Speech]:
        tone = np.full(3200, 8000, np.int16)
        return self.fault.stream([Speech(sentence.turn, tone) for _ in sentence.text.split()])


BROKEN: dict[str, Callable[[Fault], Any]] = {
    "stt": Transcriber,
    "llm": Responder,
    "tts": Synthesizer,
}


class World:
    """A conversation with one broken stage, which `hold` holds."""

    def __init__(self, stage: str, kind: str, moment: str, *, spare: bool) -> None:
        self.stage, self.kind, self.moment, self.spare = stage, kind, moment, spare
        self.fault = Fault(kind)
        self.meanwhile: list[ReplyDone] = []
        self.breakers: dict[str, Recorder] = {}
        self.talk = Conversation()
        self.talk.early = self._record
        self.talk.policy = SessionPolicy(hard_s=HARD_S, speculate=moment == "speculative")
        self.talk.transcribers = [FakeTranscriber(texts=(SAID,))]
        slots = {
            "stt": self.talk.transcribers,
            "llm": self.talk.responders,
            "tts": self.talk.synthesizers,
        }
        candidates = slots[stage]
        candidates[:] = [BROKEN[stage](self.fault), *(candidates if spare else ())]

    @property
    def unheard(self) -> bool:
        """Whether the broken stage has heard nothing, which is no failure."""
        return (self.stage, self.kind) == ("stt", "signs")

    @property
    def broken(self) -> Recorder:
        """The breaker of the broken provider."""
        return self.breakers["broken"]

    def hold(self) -> None:
        self.talk.run(self._story)  # also: no task is left, and the journal replays alike

    def _record(self) -> None:
        stages = self.talk.session._stages
        for guard in (stages.transcribers, stages.responders, stages.synthesizers):
            for candidate in guard.candidates:
                candidate.breaker = self.breakers[candidate.provider] = Recorder()

    async def _story(self) -> None:
        await self.talk.until(ReplyDone, 0)
        self.fault.on = True
        for _ in range(TIMES if self.kind == "recover" else 1):
            await self._say()
            await self._answered()
        self.fault.on = False
        self.meanwhile = self.talk.all(ReplyDone)[1:]
        await self.talk.pause(round(OPEN_S * 1000) if self.kind == "recover" else 1000)
        await self.talk.speak()
        await self._answered()

    async def _say(self) -> None:
        match self.moment:
            case "speaking":
                await self.talk.speak()
                await self.talk.until(SpeechStopped)
                await self.talk.pause(300)
            case "barge-in":
                before = len(self.talk.all(ReplyText))
                await self.talk.speak()
                await self._until(lambda: len(self.talk.all(ReplyText)) > before)
                await self.talk.pause(100)
            case "speculative":
                await self.talk.speak(800)
                await self.talk.pause(400)
        await self.talk.speak()

    async def _answered(self) -> None:
        """Say nothing until the conversation waits for the person."""
        await self.talk.pause(200)
        await self._until(
            lambda: (
                len(self.talk.all(ReplyStarted)) == len(self.talk.all(ReplyDone))
                and self.talk.all(AvatarState)[-1].state == "idle"
            )
        )

    async def _until(self, so: Callable[[], bool]) -> None:
        for _ in range(600):
            if so():
                return
            await self.talk.pause(100)
        raise AssertionError("the conversation hangs")


def check(world: World) -> None:
    """What holds whatever breaks, and whenever."""
    talk = world.talk

    # Every turn that was decided has words within the hard limit, unless the person goes on.
    for at, frame in talk.frames:
        if isinstance(frame, SpeechStopped):
            later = ((t, f) for t, f in talk.frames if t >= at)
            answers = (t for t, f in later if isinstance(f, ReplyText | SpeechStarted))
            assert next(answers) - at <= HARD_S, f"silence after turn {frame.turn}"

    # A reply that is over stays over.
    ended: set[int] = set()
    for _, frame in talk.frames:
        if isinstance(frame, ReplyText | ReplyAudio):
            assert frame.turn not in ended
        elif isinstance(frame, ReplyDone):
            ended.add(frame.turn)

    # What was recognised is stored once, then shown; with a recogniser that works nothing is lost.
    stored = [(entry[1], entry[2]) for entry in talk.host.log if entry[0] == "accept"]
    shown = [(frame.turn, frame.text) for frame in talk.all(Transcript) if frame.final]
    assert shown == stored
    if (world.stage != "stt" or world.spare) and not world.unheard:
        times = TIMES if world.kind == "recover" else 1
        assert len(stored) >= ANSWERS[world.moment] * times + 1

    # The ledger of every turn adds up, and only the broken provider has lost time.
    for metrics in talk.all(TurnMetrics):
        told_ms = math.fsum(share.ms for share in metrics.shares)
        assert round(told_ms, 1) == (metrics.voice_to_voice_ms or 0.0)
        lost = {(share.stage, share.provider) for share in metrics.shares if share.failed}
        sentence = {("sentence", "broken")} if world.stage == "llm" else set()
        assert lost <= {(world.stage, "broken"), *sentence}

    # The last turn is answered in full.
    last = talk.all(ReplyDone)[-1]
    assert not last.interrupted
    assert LINE in last.heard
    assert talk.audio_ms(last.turn) >= 6 * 200
    assert stored[-1] == (last.turn, SAID)

    # Signs are neither shown nor spoken.
    assert [frame for frame in talk.all(ReplyText) if SIGNS[:4] in frame.text] == []

    # The broken provider is blamed, and nobody else is.
    blamed = {Outcome.FAILURE, Outcome.SLOW}
    assert bool(blamed & set(world.broken.settled)) is not world.unheard
    others = [breaker for breaker in world.breakers.values() if breaker is not world.broken]
    assert [breaker for breaker in others if blamed & set(breaker.settled)] == []
    states = [change.new for change in world.broken.take_transitions()]
    opened = [BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED]
    assert states == (opened if world.kind == "recover" else [])


@pytest.mark.parametrize("spare", [False, True], ids=["alone", "with a spare"])
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(("stage", "kind"), ROWS, ids=map("-".join, ROWS))
def test_the_conversation_goes_on(stage: str, kind: str, moment: str, spare: bool) -> None:
    world = World(stage, kind, moment, spare=spare)
    world.hold()
    check(world)
    if moment != "idle":
        return
    alone, counted = ROWS[stage, kind]
    talk = world.talk
    for done in world.meanwhile:
        text = " ".join(frame.text for frame in talk.all(ReplyText) if frame.turn == done.turn)
        sound_ms = talk.audio_ms(done.turn)
        if spare and not world.unheard:
            assert LINE in done.heard
            assert sound_ms >= 6 * 200
        elif alone == "canned":
            assert any(line in done.heard for line in CANNED)
            assert sound_ms > 1000
        elif alone == "text":
            assert LINE in text
        else:
            assert sound_ms >= 6 * 200
    if not spare:
        assert Outcome(counted) in world.broken.settled
