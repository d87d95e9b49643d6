"""The host of a live session: runs the interview, and stores every step before the reply to it."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from gateway.events.event import EventDraft
from gateway.interviews.answers import commit_step
from gateway.interviews.recorder import Recorder
from gateway.interviews.recordings import number_added
from gateway.interviews.sessions import (
    DEFAULT_MODEL,
    NoSuchSession,
    SessionOwner,
    SessionRecord,
    claim,
    create,
    release,
)
from gateway.interviews.state import COUNTED
from gateway.interviews.telling import answer_accepted, interview_completed
from gateway.interviews.transcripts import Via, candidate_line, interviewer_line
from gateway.live.answer_times import AnswerTimes
from gateway.protocols.request import InterviewRequest, SessionRequest
from gateway.protocols.tool_wish import ToolWish
from gateway.store import Conflict, Store, StoreError
from pipeline.stage import Brief, Observer, RecognizedSpeech, ToolRequest
from stages.interview import (
    LANGUAGES,
    InterviewConfig,
    InterviewSession,
    Step,
    expire,
    heard,
    prompt,
    prompted,
    respond,
    resume,
    start,
)
from stages.interview.keypad import words_of
from stages.interview.languages import interviewers
from stages.interview.model import DEFAULT_QUESTIONS

logger = logging.getLogger("parley.interviewer")

DEFAULT_ROLE = "Software Engineer"

RENEWALS = 3
"""How many times within its lifetime a live session's record is renewed."""

Notify = Callable[[dict[str, Any]], None]
"""Takes the state of the interview when it has advanced. A plain call; must not raise."""


class InterviewHost:
    """One interview, as `pipeline.stage.Host`. Get one with `claim`; end it with `release`.

    `accept` stores the answer and the interview's next state in one transaction. `commit` stores
    the part of the reply that was heard, and `correct` shortens that where the client reports
    afterwards that less was heard.
    """

    def __init__(
        self,
        store: Store,
        record: SessionRecord,
        version: int,
        worker: SessionOwner,
        notify: Notify,
        recorder: Recorder | None = None,
        lost: Callable[[], None] = lambda: None,
    ) -> None:
        self._lost = lost
        self._store = store
        self._record = record
        self._version = version
        self._worker = worker
        self._notify = notify
        self._recorder = recorder
        self._saving = asyncio.Lock()
        self._interview: InterviewSession | None = None
        if record.interview is not None:
            self._interview = InterviewSession.from_record(record.interview)
        self._config = record.config
        self._prompt: tuple[int, str] | None = None  # its turn and line, until it is answered
        self._correctable = -1  # the turn whose reply is the interview's last message
        self._time_is_up = False
        self._judged: tuple[int, bool] = (0, False)  # turn, and whether its time was up
        # The last step, and what it was taken from: brief, accept and commit take the same one.
        self._taken: tuple[tuple[Any, ...], Step] | None = None
        self._farewell_said = False
        self._timed = AnswerTimes()

    @classmethod
    async def claim(
        cls,
        store: Store,
        session_id: str,
        wanted: InterviewRequest | None,
        *,
        worker: SessionOwner,
        ttl_s: int,
        notify: Notify,
        recorder: Recorder | None = None,
        language: str | None = None,
        takes_over: bool = False,
        tells: bool = False,
        made_by: str | None = None,
        lost: Callable[[], None] = lambda: None,
    ) -> "InterviewHost":
        """Claim a session for this process; an unknown id creates one as `wanted`, in a `language`.

        Spoken answers go to `recorder`, which keeps them where there is consent. With `takes_over`
        the session is claimed from a process that still runs, too. `lost` is called where the
        store shows that it belongs to this process no longer; a plain call that must not raise.

        Raises `SessionTaken` where another process has claimed the session, and `InterviewError`
        for an invalid role, count or language. A new session that `tells` has events,
        and is `made_by` that client.
        """
        while True:
            try:
                record, version = await claim(store, session_id, worker, takes_over=takes_over)
            except NoSuchSession:
                config = _config(wanted, language)
                # A conflict means that another process has just created it: claim that one.
                with contextlib.suppress(Conflict):
                    await create(
                        store,
                        config,
                        mode="voice",
                        ttl_s=ttl_s,
                        session_id=session_id,
                        language=language,
                        tells=tells,
                        made_by=made_by,
                    )
                continue
            return cls(store, record, version, worker, notify, recorder, lost)

    @property
    def session_id(self) -> str:
        return self._record.id

    @property
    def language(self) -> str:
        """The person's language: a code, or "auto"."""
        return self._record.language

    @property
    def tools(self) -> tuple[ToolWish, ...]:
        """The functions that the session was made with."""
        return self._record.tools

    @property
    def spoken(self) -> str:
        """The code of the interviewer's language."""
        return self._config.language

    async def release(self) -> None:
        """Give up the claim on the session."""
        if not await release(self._store, self._record.id, self._worker):
            self._lost()

    async def keep(self) -> None:
        """Renew the record until cancelled, so that it does not expire in a long silence.

        Returns once the session belongs to another process; retries after other failures.
        """
        while True:
            await asyncio.sleep(self._record.ttl_s / RENEWALS)
            try:
                async with self._saving:
                    await self._put(self._record)
            except Conflict:
                logger.warning("session %s no longer belongs to this process", self.session_id)
                return
            except StoreError as error:
                logger.warning("session %s was not renewed: %s", self.session_id, error)

    def state(self) -> dict[str, Any]:
        """The interview's state for clients."""
        if self._interview is not None:
            return self._interview.state()
        total = self._config.total_questions
        return {"currentQuestion": 1, "totalQuestions": total, "isComplete": False}

    def describe(self) -> dict[str, Any]:
        """The interview for the `ready` message."""
        return {"role": self._config.role, "model": self._config.model, **self.state()}

    def seconds_left(self, longest_s: float, now: float) -> float:
        """The rest of `longest_s` since the interview began, breaks included; 0 or more.

        `now` is seconds since the epoch.
        """
        record = self._record
        began = record.started_at
        if began is None:  # not yet, or an older version began it
            began = now if record.interview is None else record.created_at
        return max(0.0, min(longest_s, longest_s - (now - began)))

    def request(self, request: SessionRequest) -> None:
        """Ignored: an interview does not change while it lasts."""

    def words_of(self, key: str) -> str:
        """The answer that a key of a telephone stands for; "" for none."""
        return words_of(key, self._config.language)

    def observers(self) -> tuple[Observer, ...]:
        """The observer that times answers and replies from the session's outputs."""
        return (self._timed,)

    # --- pipeline.stage.Host -----------------------------------------------------------------

    @property
    def hints(self) -> tuple[str, ...]:
        messages = () if self._interview is None else self._interview.messages
        asked = messages[-1].content if messages else ""
        return self._config.bank.likely_terms(asked)

    def prompt(self, turn: int, times: int) -> str:
        if self._interview is None or self._time_is_up:
            return ""
        line = prompt(self._interview, times)
        if line:
            self._prompt = (turn, line)
        return line

    def time_is_up(self) -> None:
        self._time_is_up = True

    def farewell(self) -> str:
        if self._interview is None:
            return ""
        self._farewell_said = True
        return " ".join(expire(self._interview).say)

    def brief(self, turn: int, text: str) -> Brief:
        # `accept` and `commit` use this result, even if the time is up in between.
        self._judged = (turn, self._time_is_up)
        step = self._step(turn, text)
        return Brief(
            step.say,
            step.instructions,
            history=step.session.messages[:-1],
            closes=step.intent in ("close", "closed"),
            due=step.say[-1],
            language=self._config.language,
        )

    async def accept(self, turn: int, text: str, heard: RecognizedSpeech | None = None) -> None:
        self._correctable = -1
        self._timed.answered()
        speech = None if heard is None else self._timed.speech(turn, heard)
        via: Via = "typed" if heard is None else "voice"
        line = candidate_line(turn, text, time.time(), via, speech)
        before = self._interview
        step = self._step(turn, text)
        told: tuple[EventDraft, ...] = ()
        if before is not None and not self._record.finished and step.intent in COUNTED:
            told = (answer_accepted(before.current_question, via, step.session),)
        await self._save(step.session, line, *told)
        if self._recorder is None or heard is None or heard.audio is None or before is None:
            return
        # Words after the end are no part of the interview.
        if (number := number_added(before, step.session)) is not None:
            self._recorder.keep(self._record, number, heard.audio)

    async def commit(
        self, turn: int, user_text: str, heard_text: str, calls: tuple[ToolRequest, ...] = ()
    ) -> None:
        if turn and not user_text:
            # A prompt, or a turn without recognised words, is no part of the interview.
            await self._expire(turn)
            return
        interview = heard(self._step(turn, user_text).session, heard_text)
        latency_ms = self._timed.latency_ms(turn)
        line = interviewer_line(turn, heard_text, time.time(), latency_ms)
        await self._save(interview, line)
        self._interview = interview
        self._correctable = turn
        if self._prompt is not None and self._prompt[0] < turn:
            self._prompt = None
        self._notify(self.state())

    async def correct(self, turn: int, heard_text: str) -> None:
        """Store that no more than `heard_text` was heard, unless the person has answered since."""
        if turn != self._correctable or self._interview is None:
            return
        interview = heard(self._interview, heard_text)
        # A later transcript line of a turn's reply replaces the one before.
        line = interviewer_line(turn, heard_text, time.time(), self._timed.latency_ms(turn))
        await self._save(interview, line)
        self._interview = interview

    # --- one step ----------------------------------------------------------------------------

    def _step(self, turn: int, text: str) -> Step:
        if self._judged[0] != turn:
            self._judged = (turn, self._time_is_up)
        asked = None
        if self._prompt is not None and self._prompt[0] < turn:
            asked = self._prompt[1]
        cause = (self._interview, text, self._judged[1], asked)
        if self._taken is None or self._taken[0] != cause:
            self._taken = (cause, self._next_step(text, asked))
        return self._taken[1]

    def _next_step(self, text: str, asked: str | None) -> Step:
        """The interview's step after `text`; `asked` is a prompt that the person answers."""
        late = self._judged[1]
        interview = self._interview
        if interview is None:
            return start(self._config)
        if not text:
            return resume(interview, time_is_up=late)
        if asked is not None:
            interview = prompted(interview, asked)
        return respond(interview, text, time_is_up=late)

    async def _expire(self, turn: int) -> None:
        """Store the interview as closed, once, after the farewell.

        The interview in memory stays open: speech into the farewell is still an answer.
        """
        if not self._farewell_said or self._interview is None or self._interview.is_complete:
            return
        self._farewell_said = False
        step = expire(self._interview)
        line = interviewer_line(turn, " ".join(step.say), time.time())
        await self._save(step.session, line)
        self._notify(step.session.state())

    async def _save(self, interview: InterviewSession, line: bytes, *told: EventDraft) -> None:
        async with self._saving:
            record = self._record.with_interview(interview.to_record(), began=time.time())
            if record.finished and not self._record.finished:
                told = (*told, interview_completed(interview))
            await self._put(record, line, told=told)

    async def _put(
        self, record: SessionRecord, *lines: bytes, told: Sequence[EventDraft] = ()
    ) -> None:
        try:
            self._record, self._version = await commit_step(
                self._store, record, self._version, lines, told=told, owner=self._worker
            )
        except Conflict:
            self._lost()
            raise


def _config(wanted: InterviewRequest | None, language: str | None) -> InterviewConfig:
    spoken = interviewers(language or LANGUAGES[0])
    wanted = wanted or InterviewRequest(DEFAULT_ROLE)
    total = DEFAULT_QUESTIONS if wanted.total_questions is None else wanted.total_questions
    return InterviewConfig(wanted.role, wanted.model or DEFAULT_MODEL, total, spoken)
