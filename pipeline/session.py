"""One live conversation: input audio and control in, frames out, every task under one roof.

The session takes audio through a plain call and judges it in the same call; tasks begin where work
can really wait. A turn's work is one task; when the person barges in it is told to be silent in the
same instant (`Reply.stop`) and cancelled after.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pipeline.budget import TurnBudget
from pipeline.committer import TurnCommitter
from pipeline.decisions import (
    Action,
    Cancel,
    Chunk,
    Close,
    Commit,
    Discard,
    DropHeld,
    EndTurn,
    Event,
    Hold,
    Interrupt,
    Prompt,
    ReplyBegan,
    ReplyEnded,
    Resume,
    Speculate,
    StartTurn,
    TimeUp,
    Typed,
    Understood,
)
from pipeline.errors import PipelineError
from pipeline.frames import (
    INPUT_RATE_HZ,
    AvatarState,
    Fault,
    Output,
    Samples,
    SpeechStarted,
    SpeechStopped,
    Spoken,
    Transcript,
)
from pipeline.guard import Guard
from pipeline.journal import Cause, Journal
from pipeline.pacer import Pacer
from pipeline.playout import Playout
from pipeline.reply import CannedLines, Reply
from pipeline.stage import Animator, Detector, Host, Responder, Synthesizer, Transcriber, VadStream
from pipeline.turns import TurnPolicy, TurnState, TurnTaking
from pipeline.utterance import PreRoll, Utterance
from pipeline.voice import Convert, Voice

logger = logging.getLogger("parley.session")

MOST_UNSETTLED = 8
"""So many turns may wait for the host; who types faster than storage writes is refused."""

JUDGED_WITHIN_S = 0.1
"""How long the detector takes at most to judge audio, while it keeps up."""

OVERTIME_S = 60.0
"""How long the question under way may still be answered when the time is up."""

LAST_WORDS_S = 5.0
"""How long a session that ends may still take to recognise and store what was said."""

SLICE = 16
"""So much of the rest of the input is taken between two turns of the event loop: 0.7 ms of work
where each is 20 ms of speech in Opus, 5 ms where it is the costliest 100 ms."""


@dataclass(frozen=True, slots=True)
class Stages:
    """The providers of a process, shared by its sessions.

    `animators`, if there are any, are for the host: a session has no picture.
    """

    detector: Detector
    transcribers: Guard[Transcriber]
    responders: Guard[Responder]
    synthesizers: Guard[Synthesizer]
    animators: Guard[Animator] | None = None


@dataclass(frozen=True, slots=True)
class SessionPolicy:
    """What one client asked for. `target_s` and `hard_s` are the turn's latency budget.

    With `speculate` answers are prepared at the first silence; providers that bill by use are
    asked twice then. After `longest_s` the host is told that time is up; who has not come to an end
    `OVERTIME_S` later is bidden farewell.
    """

    turns: TurnPolicy = field(default_factory=TurnPolicy)
    out_rate_hz: int = 16_000
    target_s: float = 1.0
    hard_s: float = 6.0
    speculate: bool = True
    longest_s: float = 3600.0
    canned: CannedLines = field(default_factory=CannedLines)


class Session:
    """One conversation. `run` it; everything else is a plain call from the event loop's thread.

    `emit` receives every frame for the client and must neither block nor raise; nor must
    `overheard`, which gets the reply's speech some time before it is heard. A `journal`, which its
    owner has opened, is told every input and decision of turn-taking; `run` closes it.
    """

    def __init__(
        self,
        stages: Stages,
        host: Host,
        *,
        emit: Callable[[Output], None],
        pacer: Pacer,
        convert: Convert,
        policy: SessionPolicy | None = None,
        journal: Journal | None = None,
        overheard: Callable[[Spoken], None] | None = None,
    ) -> None:
        self.policy = policy or SessionPolicy()
        self._stages = stages
        self._host = host
        self._send = emit
        emit = self._emit
        self._journal = journal
        self._turns = TurnTaking(self.policy.turns)
        self._voice = Voice(
            stages.synthesizers,
            Playout(self.policy.out_rate_hz),
            pacer,
            convert,
            emit,
            overheard,
        )
        kept_ms = self.policy.turns.prefix_ms + self.policy.turns.barge_in_ms + 1000
        self._recent = PreRoll(kept_ms * INPUT_RATE_HZ // 1000)
        self._listening: Utterance | None = None
        self._held: Utterance | None = None  # spoken into the reply; may become the next turn
        self._carried: Utterance | None = None  # decided, but cut off before it was recognised
        self._reply: Reply | None = None
        self._work: asyncio.Task[None] | None = None
        self._memory = TurnCommitter(host, emit)
        self._tasks: asyncio.TaskGroup | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ear: VadStream | None = None
        self._over = asyncio.Event()
        self._rest: Iterable[Samples] = ()
        self._failure: Exception | None = None

    # --- from the client ---------------------------------------------------------------------

    def feed(self, pcm: Samples) -> None:
        """Input audio: mono, 16 kHz, at most 1 s. Ignored before `run` and after `end`."""
        if self._ear is None:
            return
        if self._journal is not None:
            self._journal.audio(pcm, self._now())
        self._recent.push(pcm)
        for utterance in (self._listening, self._held):
            if utterance is not None:
                utterance.feed(pcm)
        self._ear.feed(pcm)

    def typed(self, text: str) -> None:
        """A typed answer: a turn without speech. Refused while too many turns wait to be stored."""
        if self._memory.waiting >= MOST_UNSETTLED:
            text = f"{MOST_UNSETTLED} turns wait to be stored"
            self._emit(Fault(self._turns.turn, "too_many_turns", text))
        else:
            self._handle(Typed(text))

    def interrupt(self) -> None:
        """Stop the reply now. A reply that closes the conversation has closed it then."""
        reply = self._reply
        self._handle(Interrupt())
        if reply is None or self._reply is reply:
            return
        if reply.closes:
            self.end()
            self._silence()  # the farewell, where the time is up as well
        elif self._reply is None:
            self._emit(AvatarState(reply.turn, "idle"))

    def commit(self) -> None:
        """The turn ends here, whatever the detector thinks.

        Where it has not heard anybody yet, it gets a moment to judge the audio that has come.
        """
        if self._turns.state is TurnState.LISTENING or self._tasks is None:
            self._handle(Commit())
        else:
            asyncio.get_running_loop().call_later(JUDGED_WITHIN_S, self._handle, Commit())

    def played(self, turn: int, played_ms: int) -> None:
        """The client says how much of a reply it has played."""
        self._voice.acknowledge(turn, played_ms)

    def end(self, rest: Iterable[Samples] = ()) -> None:
        """End the conversation; `run` returns when what was said has been stored. Idempotent.

        `rest` is input audio that had come but was not fed yet. It belongs to the utterance under
        way, and is taken from the iterable only where there is one, little by little.
        """
        if not self._over.is_set():
            self._rest = rest
            self._over.set()

    # --- life --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Hold the conversation until `end` is called or it closes by itself.

        When cancelled, the turn under way is dropped and what was heard of it is not recorded;
        call `end` to leave in order. Raises what was wrong where a decision could not be taken or
        carried out.
        """
        limits = self._limits()
        try:
            async with asyncio.TaskGroup() as self._tasks:
                try:
                    self._ear = self._stages.detector.open(self._on_chunk)
                    now = self._now()
                    self._decided("open", now, self._turns.open(now))
                    await self._over.wait()
                    if self._failure is not None:
                        raise self._failure
                    self._ear.close()
                    self._ear = None
                    if self._listening is not None:
                        self._discard()
                    self._silence()
                    await self._last_words()
                    await self._memory.settled()
                finally:
                    self._over.set()  # also when cancelled: no task may begin from here on
                    if self._reply is not None:
                        self._reply.stop()
        finally:
            if self._ear is not None:
                self._ear.close()
                self._ear = None
            if self._timer is not None:
                self._timer.cancel()
            for limit in limits:
                limit.cancel()
            for utterance in (self._listening, self._held):
                if utterance is not None:
                    utterance.cancel()
            if self._journal is not None:
                self._journal.closed(self._now())

    def _limits(self) -> list[asyncio.TimerHandle]:
        """See to it that the conversation does not last for ever."""
        loop = asyncio.get_running_loop()
        longest_s = self.policy.longest_s
        return [
            loop.call_later(longest_s, self._host.time_is_up),
            loop.call_later(longest_s + OVERTIME_S, self._handle, TimeUp()),
        ]

    async def _last_words(self) -> None:
        """What the person had said but nobody had recognised yet is stored all the same."""
        utterance = self._listening or self._carried
        if utterance is None:
            return
        rest = self._rest if self._listening is not None else ()
        self._listening = self._carried = None
        answer = EndTurn(utterance.turn, 0, self._now(), spoken=True)
        reply = self._new_reply(answer, utterance)
        reply.release()
        try:
            for index, pcm in enumerate(rest, 1):
                utterance.feed(pcm)
                if index % SLICE == 0:
                    await asyncio.sleep(0)
            async with asyncio.timeout(LAST_WORDS_S):
                await self._memory.settled()
                if await reply.hear():
                    self._settle(reply, "")
        except (PipelineError, TimeoutError) as error:
            logger.warning("the last words of the session were not recognised: %s", error)
        except Exception:  # the host's storage; there is nobody left to tell but the operator
            logger.exception("the last words of the session were not stored")
        finally:
            utterance.cancel()

    # --- turn-taking -------------------------------------------------------------------------

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _emit(self, frame: Output) -> None:
        if self._journal is not None:
            self._journal.noted(frame, self._now())
        self._send(frame)

    def _waited(self, queue: str, age_ms: float) -> None:
        if self._journal is not None:
            self._journal.queue_age(queue, age_ms, self._now())

    def _on_chunk(self, position: int, probability: float) -> None:
        # Four digits decide as well as seventeen, and keep journals small.
        self._handle(Chunk(position * 1000 / INPUT_RATE_HZ, round(probability, 4)))

    def _handle(self, event: Event) -> None:
        self._decide(event, lambda now: self._turns.handle(event, now))

    def _decide(self, cause: Cause, decide: Callable[[float], list[Action]]) -> None:
        """Decide and act. What goes wrong ends the session: whoever calls, a timer or the detector,
        could only log it, and the person would talk to nobody."""
        if self._tasks is None or self._over.is_set():
            return
        now = self._now()
        try:
            self._decided(cause, now, decide(now))
        except Exception as error:  # any bug
            self._failure = error
            self._over.set()

    def _decided(self, cause: Cause, now: float, actions: list[Action]) -> None:
        if self._journal is not None:
            self._journal.decided(cause, now, actions)
        self._perform(actions)

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case StartTurn():
                    self._listen(action)
                case Speculate():
                    self._speculate(action)
                case Discard():
                    self._discard()
                case EndTurn():
                    self._answer(action)
                case Cancel():
                    self._silence()
                case Hold():
                    self._hold(action)
                case DropHeld():
                    self._drop_held()
                case Resume():
                    self._voice.resume(action.turn)
                case Prompt(turn, times):
                    self._say(turn, self._host.prompt(turn, times))
                case Close(turn):
                    self._say(turn, self._host.farewell(), closes=True)
                case _:  # Refuse
                    text = "there is no speech to commit"
                    self._emit(Fault(action.turn, action.code, text))
        self._watch()

    def _watch(self) -> None:
        """See to it that `expire` is called at the deadline. A later deadline leaves the timer."""
        deadline = self._turns.deadline
        if deadline is None:
            return
        if self._timer is not None:
            if self._timer.when() <= deadline:
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(deadline, self._expire)

    def _expire(self) -> None:
        self._timer = None
        self._decide("expire", self._turns.expire)

    def _hold(self, action: Hold) -> None:
        """Pause the reply and listen to what is said into it."""
        self._voice.pause(action.turn)
        # What is carried would be taken for what is said now, so that is not recognised early.
        stage = self._ready_transcriber() if self._carried is None else None
        self._held = self._utterance(action.turn + 1, action.from_ms, stage)

    def _drop_held(self) -> None:
        assert self._held is not None
        self._held.cancel()
        self._held = None

    def _listen(self, action: StartTurn) -> None:
        self._listening, self._held = self._held, None
        if self._listening is None:
            stage = self._ready_transcriber()
            self._listening = self._utterance(action.turn, action.from_ms, stage)
        self._carried = None
        self._emit(SpeechStarted(action.turn, action.at_ms))
        self._emit(AvatarState(action.turn, "listening"))

    def _utterance(self, turn: int, from_ms: int, stage: Transcriber | None) -> Utterance:
        carried = self._carried
        start = from_ms * INPUT_RATE_HZ // 1000
        if carried is None:
            audio = self._recent.since(start)
        else:  # the person goes on: it is one utterance, recognised as a whole
            audio = carried.joined(self._recent.since(max(start, carried.end)))
        return Utterance(
            turn,
            audio,
            self._recent.position,
            stage,
            self._on_partial,
            typed="" if carried is None else carried.typed,
            hints=self._host.hints,
        )

    def _on_partial(self, transcript: Transcript) -> None:
        turn = transcript.turn
        if self._held is not None and self._held.turn == turn:
            self._handle(Understood(turn, transcript.text))
        if self._listening is not None and self._listening.turn == turn:
            self._handle(Understood(turn, transcript.text))
            self._emit(transcript)

    def _ready_transcriber(self) -> Transcriber | None:
        """The recogniser that most likely gets the utterance, so that it can start at once."""
        for candidate in self._stages.transcribers.candidates:
            candidate.breaker.poll(self._now())
            if candidate.breaker.closed:
                return candidate.stage
        return None

    def _speculate(self, action: Speculate) -> None:
        """Prepare the answer while the silence may still be a pause."""
        if not self.policy.speculate:
            return
        assert self._tasks is not None
        answer = EndTurn(action.turn, action.at_ms, action.ended, spoken=True)
        self._reply = self._new_reply(answer, self._listening)
        self._work = self._tasks.create_task(self._converse(self._reply))

    def _discard(self) -> None:
        """The person goes on, or adds something typed: nothing was prepared."""
        reply, self._reply = self._reply, None
        if reply is None:
            return
        reply.stop()
        assert self._work is not None
        self._work.cancel()
        assert self._listening is not None
        self._listening.reopen()

    def _answer(self, action: EndTurn) -> None:
        assert self._tasks is not None
        if action.typed:
            self._discard()
        utterance = self._listening or self._carried
        self._listening = self._carried = None
        if utterance is not None:
            utterance.typed = f"{utterance.typed} {action.typed}".strip()
        if action.spoken:
            self._emit(SpeechStopped(action.turn, action.at_ms))
        self._emit(AvatarState(action.turn, "thinking"))
        if self._reply is None:
            self._reply = self._new_reply(action, utterance)
            self._work = self._tasks.create_task(self._converse(self._reply))
        assert self._reply.turn == action.turn
        budget, now = self._reply.budget, self._now()
        budget.end("endpointing", now)
        budget.release(now)
        self._reply.release()

    def _say(self, turn: int, line: str, *, closes: bool = False) -> None:
        """Say a line that answers nothing; without one nothing is said."""
        if not line:
            self._handle(ReplyEnded(turn))
            if closes:
                self.end()
            return
        assert self._tasks is not None
        answer = EndTurn(turn, 0, self._now(), spoken=False)
        self._reply = self._new_reply(answer, None, line=line, closes=closes)
        self._work = self._tasks.create_task(self._converse(self._reply))
        self._reply.release()

    def _new_reply(
        self, answer: EndTurn, utterance: Utterance | None, *, line: str = "", closes: bool = False
    ) -> Reply:
        budget = TurnBudget(answer.ended, target_s=self.policy.target_s, hard_s=self.policy.hard_s)
        budget.start("endpointing", self._stages.detector.provider, answer.ended)
        return Reply(
            answer,
            utterance,
            budget=budget,
            transcribers=self._stages.transcribers,
            responders=self._stages.responders,
            voice=self._voice,
            host=self._host,
            emit=self._emit,
            understood=lambda text: self._handle(Understood(answer.turn, text)),
            waited=self._waited,
            canned=self.policy.canned,
            line=line,
            closes=closes,
        )

    async def _converse(self, reply: Reply) -> None:
        await self._memory.settled()
        heard = await reply.run(lambda: self._handle(ReplyBegan(reply.turn)))
        self._reply = None
        self._settle(reply, heard)
        self._emit(AvatarState(reply.turn, "idle"))
        if reply.closes:
            await self._memory.settled()
            self.end()
        else:
            self._handle(ReplyEnded(reply.turn))

    def _silence(self) -> None:
        """Stop the reply under way, if there is one, and remember what was heard of it."""
        reply, self._reply = self._reply, None
        if reply is None:
            return
        heard = reply.stop()
        assert self._work is not None
        self._work.cancel()
        if reply.unheard is not None:
            self._carried = reply.unheard
        else:
            self._settle(reply, heard)

    def _settle(self, reply: Reply, heard: str) -> None:
        assert self._tasks is not None
        self._memory.settle(self._tasks, reply, heard)
