"""A session's replies: one at a time, each in a task of its own until it is settled."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from pipeline.answer import Answer
from pipeline.budget import TurnBudget
from pipeline.channel import Waited
from pipeline.committer import TurnCommitter
from pipeline.decisions import Event, ReplyBegan, ReplyEnded, Understood
from pipeline.frames import AvatarState, Output, Transcript
from pipeline.late_reply import LateReply
from pipeline.outputs import ReplyOutputs
from pipeline.reply import Reply, ReplyTask
from pipeline.session_policy import SessionPolicy, Stages
from pipeline.stage import Host
from pipeline.turn_context import current_turn
from pipeline.utterance import Utterance
from pipeline.voice import Voice


class Replies:
    """Begins and stops replies. Their progress goes to turn-taking through `handle`.

    `closed` is called when a reply that closes the conversation has been heard. `waited` takes how
    long work has waited for recognition and for synthesis, `heard` the transcripts of stored
    answers.
    """

    def __init__(
        self,
        stages: Stages,
        host: Host,
        policy: SessionPolicy,
        *,
        voice: Voice,
        committer: TurnCommitter,
        handle: Callable[[Event], None],
        closed: Callable[[], None],
        emit: Callable[[Output], None],
        waited: Waited,
        heard: Callable[[Transcript], None],
    ) -> None:
        self.current: Reply | None = None
        """The reply under way."""
        self._stages = stages
        self._host = host
        self._policy = policy
        self.canned = policy.canned
        self._voice = voice
        self._committer = committer
        self._handle = handle
        self._closed = closed
        self._emit = emit
        self._waited = waited
        self._heard = heard
        self._late = LateReply(
            stages.fillers if policy.fills else None,
            stages.synthesizers,
            voice,
            emit,
            lambda: self.canned,
        )
        self._work: asyncio.Task[None] | None = None

    def answer(
        self, turn: int, ended: float, utterance: Utterance | None = None, typed: str = ""
    ) -> Answer:
        """A turn's `Answer`; its budget begins at `ended` (loop time), the end of speech."""
        policy = self._policy
        budget = TurnBudget(ended, target_s=policy.target_s, hard_s=policy.hard_s)
        budget.start("endpointing", self._stages.detector.provider, ended)
        return Answer(
            turn,
            utterance,
            typed,
            budget=budget,
            outputs=ReplyOutputs(turn, self._emit, budget),
            transcribers=self._stages.transcribers,
            host=self._host,
            emit=self._emit,
            waited=self._waited,
            heard=self._heard,
        )

    def begin(self, tasks: asyncio.TaskGroup, answer: Answer, task: ReplyTask) -> Reply:
        """Begin a turn's work; it goes on past the decision once it is released."""
        reply = self.current = Reply(
            task,
            answer,
            responders=self._stages.responders,
            voice=self._voice,
            host=self._host,
            emit=self._emit,
            understood=lambda text: self._handle(Understood(answer.turn, text)),
            waited=self._waited,
            canned=self.canned,
            late=self._late,
            tools=self._policy.tools,
            fills=self._policy.fills,
        )
        self._work = tasks.create_task(self._run(tasks, reply))
        return reply

    async def _run(self, tasks: asyncio.TaskGroup, reply: Reply) -> None:
        current_turn.set(reply.turn)
        await self._committer.settled()
        heard = await reply.run(lambda: self._handle(ReplyBegan(reply.turn)))
        self.current = None
        self._settle(tasks, reply, heard)
        self._emit(AvatarState(reply.turn, "idle"))
        if reply.closes:
            await self._committer.settled()
            self._closed()
        else:
            self._handle(ReplyEnded(reply.turn, echo=reply.echoed, again=reply.asks_again))

    def quiet_at(self, now: float) -> float | None:
        """When `silence` would cut no sentence off, and lose no answer; None while not known."""
        if self.current is None:
            return now
        return self._voice.sentence_over_at(now) if self.current.answer.settled else None

    def leave(self) -> Answer | None:
        """Stop the reply whose answer is still being recognised, because the session ends; None
        if there is none. The recognition goes on: the caller owns it."""
        reply = self.current
        if reply is None or reply.answer.pending is None:
            return None
        assert self._work is not None
        self.current = None
        reply.answer.goes_on = True
        reply.stop()
        self._work.cancel()
        return reply.answer

    def discard(self) -> bool:
        """Drop a reply that was prepared; returns whether there was one."""
        reply, self.current = self.current, None
        if reply is None:
            return False
        assert self._work is not None
        reply.stop()
        self._work.cancel()
        return True

    def silence(self, tasks: asyncio.TaskGroup) -> Utterance | None:
        """Stop the reply, if there is one, and have the host remember what was heard of it.

        Returns an utterance that was not recognised yet, to be carried into the next turn.
        """
        reply, self.current = self.current, None
        if reply is None:
            return None
        assert self._work is not None
        spoke = self._voice.speaking
        heard = reply.stop()
        self._work.cancel()
        if reply.answer.pending is None:
            self._settle(tasks, reply, heard)
        elif spoke:  # a filler, or a holding line: the person heard something in this turn
            self._emit(replace(reply.budget.metrics(reply.turn), carried=True))
        return reply.answer.pending

    def _settle(self, tasks: asyncio.TaskGroup, reply: Reply, heard: str) -> None:
        self._committer.settle(tasks, reply.answer, heard, reply.outputs.calls)
