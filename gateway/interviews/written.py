"""Written interviews: the same questions, state and store as live voice, one request at a time.

Every step reads the session, computes the next state and commits it over the version that was
read: of two writers one succeeds and the other gets the store's `Conflict`, so that no client
answers a question that it has not seen. While a session is live in a connection, or its upload is
being recognised, written steps are refused (`SessionTaken`). A session whose worker has died is
free once its lease has ended.

A written answer answers the question as it is written: if the last reply in a call broke off before
the question, the interviewer asks it again first.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from gateway.events.event import EventDraft
from gateway.interviews.answers import commit_step
from gateway.interviews.sessions import SessionOwner, SessionRecord, SessionTaken, alive, load
from gateway.interviews.state import (
    MOST_MESSAGES,
    Completed,
    Given,
    InterviewState,
    Submitted,
    TooManyTurns,
)
from gateway.interviews.telling import answer_accepted, interview_completed
from gateway.interviews.transcripts import candidate_line, interviewer_line
from gateway.store import Conflict, Store, Write
from stages.interview import (
    InterviewSession,
    Step,
    respond,
    resume,
    start,
)

Writes = Callable[[Submitted], Sequence[Write]]
"""Further writes to commit with an answer, for its outcome; the outcome has the old version."""


def no_writes(submitted: Submitted) -> Sequence[Write]:
    """No further writes."""
    return ()


class WrittenInterviews:
    """The written interviews in a store, for the process `worker`."""

    def __init__(self, store: Store, worker: SessionOwner) -> None:
        self._store = store
        self._worker = worker

    async def state(self, session_id: str) -> InterviewState:
        """The stored state of the session. Raises `NoSuchSession`."""
        return _state(*await load(self._store, session_id))

    async def start(self, session_id: str) -> InterviewState:
        """Ask the first question; does nothing if it was asked before.

        Raises `NoSuchSession`, `SessionTaken`, `Completed`.
        """
        while True:
            state = await self.state(session_id)
            if state.interview is not None:
                if state.interview.is_complete:
                    raise Completed
                return state
            await self.check_free(state)
            try:
                return await self._begin(state)
            except Conflict:
                continue  # another writer has changed the session: read it again

    async def _begin(self, state: InterviewState) -> InterviewState:
        record, now = state.record, time.time()
        interview = start(record.config).session
        line = interviewer_line(0, interview.messages[-1].content, now)
        begun = InterviewState(_with(record, interview, now), state.version, interview)
        return await self._commit(begun, (line,))

    def answered(self, state: InterviewState, given: Given) -> Step:
        """The interviewer's next step after an answer. Stores nothing.

        Raises `NotStarted`, `Completed`, `TooManyTurns`.
        """
        interview = state.begun
        if interview.is_complete:
            raise Completed
        if len(interview.messages) >= MOST_MESSAGES:
            raise TooManyTurns
        step = respond(interview, given.text)
        if step.intent == "repeat":
            again = respond(resume(interview).session, given.text)
            if again.intent != "repeat":  # the question was not heard in the call, but read here
                return again
        return step

    async def submit(
        self,
        state: InterviewState,
        given: Given,
        *,
        held: bool = False,
        writes: Writes = no_writes,
    ) -> Submitted:
        """Store an answer to the question that waits in `state`, and the interviewer's reply.

        `held` says that the caller owns the session; storing the answer ends the ownership. Raises
        what `answered` raises, `SessionTaken`, and the store's `Conflict` if the session has
        another version.
        """
        if not held:
            await self.check_free(state)
        before = state.begun
        step = self.answered(state, given)
        now = time.time()
        turn = len(before.messages) // 2
        number = before.current_question
        line = candidate_line(
            turn,
            given.text,
            now,
            given.via,
            given.speech,
            cut=number if given.truncated else None,
            lost=(number, given.lost_ms) if given.lost_ms else None,
        )
        lines = [line]
        put_again = len(step.session.messages) - len(before.messages) > 2
        if put_again:
            question = step.session.messages[len(before.messages)].content
            lines.insert(0, interviewer_line(turn, question, now))
        reply = step.session.messages[-1].content
        lines.append(interviewer_line(turn, reply, now, given.latency_ms))
        after = InterviewState(_with(state.record, step.session, now), state.version, step.session)
        submitted = Submitted(after, given, number, step.intent, reply)
        told: list[EventDraft] = []
        if submitted.counted:
            told.append(answer_accepted(submitted.number, given.via, step.session))
        if after.record.finished and not state.record.finished:
            told.append(interview_completed(step.session))
        stored = await self._commit(after, lines, writes(submitted), told)
        return replace(submitted, state=stored)

    async def end(self, state: InterviewState) -> InterviewState:
        """Complete the interview, also before its last answer. Does nothing if it is over.

        Raises `NotStarted`, `SessionTaken` and `Conflict`.
        """
        interview = state.begun
        if interview.is_complete and state.record.finished:
            return state
        await self.check_free(state)
        ended = replace(interview, is_complete=True)
        record = _with(state.record, ended, time.time())
        told = () if state.record.finished else (interview_completed(ended),)
        return await self._commit(InterviewState(record, state.version, ended), (), told=told)

    async def hold(
        self, state: InterviewState, worker: SessionOwner | None, *extra: Write
    ) -> InterviewState:
        """Make `worker` the session's owner, as a connection does, or end the ownership with None.

        Raises `SessionTaken` if the session has another owner, and `Conflict`.
        """
        if worker is not None:
            await self.check_free(state)
        record = state.record.with_worker(worker)
        return await self._commit(replace(state, record=record), (), extra)

    async def is_live(self, record: SessionRecord) -> bool:
        """Whether the session has an owner that still runs."""
        owner = record.worker
        return owner is not None and await alive(self._store, owner, self._worker)

    async def check_free(self, state: InterviewState) -> None:
        """Raise `SessionTaken` if the session has an owner that still runs."""
        if await self.is_live(state.record):
            raise SessionTaken(state.record.id)

    async def _commit(
        self,
        state: InterviewState,
        lines: Sequence[bytes],
        extra: Sequence[Write] = (),
        told: Sequence[EventDraft] = (),
    ) -> InterviewState:
        """Store a state over its version, with new lines of the transcript, and tell of it."""
        record, version = await commit_step(
            self._store, state.record, state.version, lines, told=told, extra=extra
        )
        return replace(state, record=record, version=version)


def _with(record: SessionRecord, interview: InterviewSession, now: float) -> SessionRecord:
    """The record after a step, without an owner."""
    return record.with_interview(interview.to_record(), began=now).with_worker(None)


def _state(record: SessionRecord, version: int) -> InterviewState:
    stored = record.interview
    interview = None if stored is None else InterviewSession.from_record(stored)
    return InterviewState(record, version, interview)
