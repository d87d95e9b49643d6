"""One live conversation: input audio and control go in, outputs go to observers.

The session takes audio through a plain call and hands it to the detector in the same call; only
work that must wait has a task. The session owns every such task. A turn's work is one task; a
barge-in first silences the reply at once (`Reply.stop`), then cancels the task.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import chain, islice

from pipeline.canned import CannedLines
from pipeline.channel import Waited
from pipeline.committer import TurnCommitter
from pipeline.decisions import Commit, Forget, Interrupt, RespondNow, Typed, Understood
from pipeline.driver import TurnDriver
from pipeline.frames import AvatarState, Samples, Transcript
from pipeline.input_audio import InputAudio
from pipeline.journal import Journal
from pipeline.languages import LanguageLock
from pipeline.last_words import LastWords
from pipeline.late_commit import LateCommit
from pipeline.pacer import Pacer
from pipeline.playout import Playout
from pipeline.replies import Replies
from pipeline.session_policy import SessionPolicy as SessionPolicy
from pipeline.session_policy import Stages as Stages
from pipeline.stage import Host, Observed, Observer, VadStream
from pipeline.time_limit import time_limits
from pipeline.turn_actions import TurnActions
from pipeline.turn_questions import TurnQuestions
from pipeline.turns import TurnPolicy, TurnState, TurnTaking
from pipeline.voice import Convert, Voice


class Session:
    """One conversation. Await `run`; every other method is a plain call on the event loop's thread.

    Every output goes to the `observers` in their order, and so does the reply's speech, some time
    before it is heard. A `journal` that its owner has opened gets every event and action of
    turn-taking, and every output before the observers do; `run` closes it. `waited` takes how long
    work had waited in a queue.
    """

    def __init__(
        self,
        stages: Stages,
        host: Host,
        *,
        observers: tuple[Observer, ...],
        pacer: Pacer,
        convert: Convert,
        policy: SessionPolicy | None = None,
        journal: Journal | None = None,
        waited: Waited | None = None,
    ) -> None:
        self.policy = policy or SessionPolicy()
        self._stages = stages
        self._host = host
        observe: list[Callable[[Observed, float], None]] = [each.observe for each in observers]
        if journal is not None:
            observe.insert(0, journal.noted)
        self._observe = tuple(observe)
        self._journal = journal
        self._on_wait = waited
        self._language = LanguageLock(self.policy.language)
        self._turns = TurnTaking(self.policy.turns)
        self._driver = TurnDriver(
            self._turns, lambda actions: self._actions.perform(actions), self._fail, journal
        )
        self._late_commit = LateCommit(self._driver.handle)
        self._questions = TurnQuestions(stages.turn_models, self._driver.handle)
        playout = Playout(self.policy.out_rate_hz, lead_ms=self.policy.lead_ms)
        self._committer = TurnCommitter(host, self._emit)
        self._input = InputAudio(
            self.policy.turns.pre_roll_ms,
            stages.transcribers,
            host,
            language=self._language,
            understood=lambda turn, text: self._driver.handle(Understood(turn, text)),
            emit=self._emit,
        )
        heard_ms = self._input.position_ms
        self._voice = Voice(stages.synthesizers, playout, pacer, convert, self._emit, heard_ms)
        self.suspend, self.proceed = self._voice.suspend, self._voice.proceed
        """Keep the reply's audio back while the client is away, and go on when it is back."""
        self._replies = Replies(
            stages,
            host,
            self.policy,
            voice=self._voice,
            committer=self._committer,
            handle=self._driver.handle,
            closed=self.end,
            emit=self._emit,
            waited=self._waited,
            heard=self._heard,
        )
        self._actions = TurnActions(
            self._input,
            self._replies,
            self._voice,
            self._questions,
            host,
            speculates=self.policy.speculate,
            ladder=stages.ladder,
            handle=self._driver.handle,
            closed=self.end,
            emit=self._emit,
        )
        self._tasks: asyncio.TaskGroup | None = None
        self._vad: VadStream | None = None
        self._over = asyncio.Event()
        self._last_words = LastWords()
        self.finish_by = self._last_words.finish_by
        """Recognise and store what is said when the session ends until then at the latest."""
        self._rest: Iterable[Samples] = ()
        self._typed = ""
        self._failure: Exception | None = None

    # --- from the client ---------------------------------------------------------------------

    def feed(self, pcm: Samples) -> None:
        """Input audio: mono, 16 kHz, at most 1 s. Ignored before `run` and after `end`."""
        if self._vad is None:
            return
        if self._journal is not None:
            self._journal.audio(pcm, self._now())
        self._input.feed(pcm)
        self._vad.feed(pcm)

    def typed(self, text: str) -> None:
        """A typed answer: a turn without speech. Refused while too many turns wait to be stored."""
        if self._committer.may_begin(self._turns.turn):
            self._driver.handle(Typed(text))

    def respond(self, *, waits: bool = False) -> None:
        """Reply now, without words of the person. Refused while the person speaks, while a reply is
        under way, unless this one `waits` for it, and while too many turns wait to be stored."""
        if not self._committer.may_begin(self._turns.turn):
            return
        if self._late_commit.waits:  # the speech that was just committed comes first
            self._late_commit.follow(RespondNow(waits))
        else:
            self._driver.handle(RespondNow(waits))

    def interrupt(self) -> None:
        """Stop the reply now. Stopping a reply that closes the conversation closes it."""
        reply = self._replies.current
        self._driver.handle(Interrupt())
        if reply is None or self._replies.current is reply:
            return
        if reply.closes:
            self.end()
            self._actions.silence()  # stops a farewell that began because the time is up
        elif self._replies.current is None:
            self._emit(AvatarState(reply.turn, "idle"))

    def commit(self) -> None:
        """The turn ends here, whatever the detector has found.

        If the detector has found no speech yet, the commit waits for it: see `LateCommit`.
        """
        if self._turns.state is TurnState.LISTENING:
            self._driver.handle(Commit())
        else:
            self._late_commit.begin()

    def forget(self) -> None:
        """Drop the utterance under way: it becomes no turn. Speech that was committed stays."""
        if not self._late_commit.waits:
            self._driver.handle(Forget())

    def played(self, turn: int, played_ms: int) -> None:
        """The client reports how much of a reply it has played."""
        self._voice.acknowledge(turn, played_ms)

    def truncate(self, turn: int, heard_ms: int) -> None:
        """The client heard only `heard_ms` of a turn's reply: remember no more of it.

        A value beyond the audio that was sent counts as that. Ignored once the next reply has
        begun.
        """
        if self._tasks is None or self._over.is_set():
            return
        heard = self._voice.truncate(turn, heard_ms)
        if heard is not None:
            self._committer.correct(self._tasks, turn, heard)

    def reconfigure(self, turns: TurnPolicy) -> None:
        """Follow another turn policy from here on; before `run` as well. Ignored after `end`.

        Where the session knows the person's language, it stands for the policy's.
        """
        if not self._over.is_set():
            if (known := self._language.known) is not None:
                turns = replace(turns, language=known)
            self.policy = replace(self.policy, turns=turns)
            self._input.keep(turns.pre_roll_ms)
            self._driver.reconfigure(turns)

    def listen_in(self, language: str | None, canned: CannedLines | None = None) -> None:
        """Recognise another language from the next utterance on: see `SessionPolicy.language`.

        From the next reply on, the lines are `canned`; with None they stay.
        """
        if canned is not None:
            self._replies.canned = canned
        if language != self.policy.language:
            self.policy = replace(self.policy, language=language)
            self._language.want(language)

    def quiet_at(self) -> float | None:
        """When `end` would cut no sentence and no answer off (loop time); None while not known."""
        listening = self._turns.state is TurnState.LISTENING or self._input.held is not None
        return None if listening or self._late_commit.waits else self._replies.quiet_at(self._now())

    def end(self, rest: Iterable[Samples] = (), typed: str = "") -> None:
        """End the conversation; `run` returns when its turns have been stored. Idempotent.

        `rest` is input audio that came but was not fed yet. It belongs to the utterance under way;
        without one the iterable is not read. It is read in small portions. `typed` text came after
        it, and belongs to the last words.
        """
        if not self._over.is_set():
            self._rest, self._typed = rest, typed
            self._leave()

    # --- life --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run the conversation until `end` is called or it closes by itself.

        Cancelling drops the turn under way and does not record what was heard of it; call `end` for
        an orderly end. Raises the exception where turn-taking, or the work for one of its actions,
        failed.
        """
        limits = time_limits(self.policy.longest_s, self._host, self._driver.handle)
        try:
            async with asyncio.TaskGroup() as self._tasks:
                self._actions.begin(self._tasks)
                try:
                    self._vad = self._stages.detector.open(self._driver.on_chunk)
                    self._driver.open()
                    await self._over.wait()
                    if self._failure is not None:
                        raise self._failure
                    self._close_vad()
                    await self._store_last_words(self._tasks)
                    await self._committer.settled()
                finally:
                    self._leave()  # also when cancelled: no task may begin from here on
                    if self._replies.current is not None:
                        self._replies.current.stop()
        finally:
            self._close_vad()
            for limit in limits:
                limit.cancel()
            self._input.cancel()
            if self._journal is not None:
                self._journal.closed(self._now())

    async def _store_last_words(self, tasks: asyncio.TaskGroup) -> None:
        rest: Iterable[Samples] = ()
        if self._input.current is not None:
            unread = iter(self._rest)
            first = tuple(islice(unread, 1))
            rest = chain(first, unread) if first else ()
            self._voice.echo.ended(self._input.position_ms())
        answer = self._actions.leave(more=bool(rest or self._typed))
        utterance = self._input.end(self._typed)
        if utterance is not None:
            answer = answer or self._replies.answer(utterance.turn, self._now(), utterance)
        elif self._typed:
            answer = self._replies.answer(self._turns.turn + 1, self._now(), typed=self._typed)
        if answer is not None:
            is_echo = self._voice.echo.hears
            await self._last_words.store(answer, utterance, rest, self._committer, tasks, is_echo)

    def _fail(self, error: Exception) -> None:
        self._failure = error
        self._leave()

    def _leave(self) -> None:
        self._late_commit.cancel()
        self._driver.close()
        self._questions.drop()
        self._over.set()

    def _close_vad(self) -> None:
        if self._vad is not None:
            self._vad.close()
            self._vad = None

    # --- from its work -----------------------------------------------------------------------

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _emit(self, output: Observed) -> None:
        if self._observe:
            now = asyncio.get_running_loop().time()
            for observe in self._observe:
                observe(output, now)

    def _heard(self, transcript: Transcript) -> None:
        """A spoken answer was stored: its language may decide the session's language."""
        if self._language.heard(transcript):
            self.reconfigure(self.policy.turns)

    def _waited(self, queue: str, age_ms: float) -> None:
        if self._on_wait is not None:
            self._on_wait(queue, age_ms)
        if self._journal is not None:
            self._journal.queue_age(queue, age_ms, self._now())
