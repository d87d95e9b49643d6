"""The host of a live session: it runs the interview and stores every step before it is answered."""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable
from typing import Any

from gateway.protocols.native import InterviewRequest
from gateway.sessions import (
    DEFAULT_MODEL,
    NoSuchSession,
    SessionRecord,
    Worker,
    claim,
    create,
    load,
    release,
)
from gateway.store import Append, Conflict, Store, StoreError
from pipeline.stage import Brief
from stages.interview import (
    InterviewConfig,
    InterviewSession,
    Step,
    heard,
    respond,
    resume,
    start,
)
from stages.interview.model import DEFAULT_QUESTIONS

logger = logging.getLogger("parley.interviewer")

DEFAULT_ROLE = "Software Engineer"

RENEWALS = 3
"""So many times within its lifetime a live session's record is stored again."""

Notify = Callable[[str, dict[str, Any]], None]
"""Sends a message of the given type to the client. Plain, must not raise."""


class Interviewer:
    """One interview, as `pipeline.stage.Host`. Get one with `claim`, give it back with `release`.

    `accept` stores what the person said and where that takes the interview, in one transaction;
    `commit` stores what was really heard of the answer.
    """

    def __init__(
        self, store: Store, record: SessionRecord, version: int, worker: Worker, notify: Notify
    ) -> None:
        self._store = store
        self._record = record
        self._version = version
        self._worker = worker
        self._notify = notify
        self._saving = asyncio.Lock()
        self._interview: InterviewSession | None = None
        if record.interview is not None:
            self._interview = InterviewSession.from_record(record.interview)
        self._config = InterviewConfig(record.role, record.model, record.total_questions)

    @classmethod
    async def claim(
        cls,
        store: Store,
        session_id: str,
        wanted: InterviewRequest | None,
        *,
        worker: Worker,
        ttl_s: int,
        notify: Notify,
    ) -> "Interviewer":
        """Take over a session; an unknown id makes one, about what `wanted` asks for.

        Raises `SessionTaken`, and `InterviewError` for a role or a count that cannot be.
        """
        while True:
            try:
                record, version = await claim(store, session_id, worker)
            except NoSuchSession:
                config = _config(wanted)
                # A conflict means that somebody else made it in this instant: claim that one.
                with contextlib.suppress(Conflict):
                    await create(store, config, mode="voice", ttl_s=ttl_s, session_id=session_id)
                continue
            return cls(store, record, version, worker, notify)

    @property
    def session_id(self) -> str:
        return self._record.id

    async def release(self) -> None:
        """Let the session go."""
        await release(self._store, self._record.id, self._worker)

    async def keep(self) -> None:
        """Keep the record from expiring in a long silence, until cancelled.

        Ends by itself once the session is somebody else's; other failures are tried again.
        """
        while True:
            await asyncio.sleep(self._record.ttl_s / RENEWALS)
            try:
                async with self._saving:
                    await self._put(self._record)
            except Conflict:
                logger.warning("session %s is in other hands", self.session_id)
                return
            except StoreError as error:
                logger.warning("session %s was not renewed: %s", self.session_id, error)

    def state(self) -> dict[str, Any]:
        """What clients see of the interview."""
        if self._interview is not None:
            return self._interview.state()
        total = self._config.total_questions
        return {"currentQuestion": 1, "totalQuestions": total, "isComplete": False}

    def describe(self) -> dict[str, Any]:
        """The interview for the `ready` message."""
        return {"role": self._config.role, "model": self._config.model, **self.state()}

    # --- pipeline.stage.Host -----------------------------------------------------------------

    def brief(self, turn: int, text: str) -> Brief:
        step = self._step(text)
        return Brief(
            step.say,
            step.instructions,
            history=step.session.messages[:-1],
            closes=step.intent in ("close", "closed"),
        )

    async def accept(self, turn: int, text: str) -> None:
        line = {"turn": turn, "role": "user", "text": text, "at": round(time.time(), 3)}
        await self._save(self._step(text).session, line)

    async def commit(self, turn: int, user_text: str, heard_text: str) -> None:
        if turn and not user_text:
            return  # nobody was understood: the canned line is no part of the interview
        interview = heard(self._step(user_text).session, heard_text)
        line = {"turn": turn, "role": "assistant", "text": heard_text, "at": round(time.time(), 3)}
        await self._save(interview, line)
        self._interview = interview
        self._notify("interview", self.state())

    # --- one step ----------------------------------------------------------------------------

    def _step(self, text: str) -> Step:
        if self._interview is None:
            return start(self._config)
        if not text:
            return resume(self._interview)
        return respond(self._interview, text)

    async def _save(self, interview: InterviewSession, line: dict[str, Any]) -> None:
        record = self._record.with_interview(interview.to_record())
        async with self._saving:
            await self._put(record, record.transcript(json.dumps(line).encode()))

    async def _put(self, record: SessionRecord, *lines: Append) -> None:
        try:
            stored = await self._store.commit(record.put(self._version), *lines)
        except Conflict as conflict:
            version = await self._found(conflict)
            stored = await self._store.commit(record.put(version), *lines)
        self._version = stored[0]
        self._record = record

    async def _found(self, conflict: Conflict) -> int | None:
        """The version to store over after a conflict: None where the record has expired.

        Raises `conflict` where the session is not this worker's any more.
        """
        try:
            record, version = await load(self._store, self.session_id)
        except NoSuchSession:
            return None
        if record.worker != self._worker:
            raise conflict
        return version


def _config(wanted: InterviewRequest | None) -> InterviewConfig:
    if wanted is None:
        return InterviewConfig(DEFAULT_ROLE, DEFAULT_MODEL, DEFAULT_QUESTIONS)
    total = wanted.total_questions
    return InterviewConfig(
        wanted.role, wanted.model or DEFAULT_MODEL, DEFAULT_QUESTIONS if total is None else total
    )
