"""A session as the store knows it: what it is about, who runs it, how far its interview has come.

The record of session `a` is the entry `session:a`, its transcript the log `transcript:a`. Both
live for the record's `ttl_s` after their last change, or until somebody deletes them once the
session is finished. Every change is a compare-and-set: of two writers who read the same version,
the second gets the store's `Conflict`. What else is stored of a session has a name with the session
in second place, `recording:a:3`, or says so in its `Put`: `delete` erases all of it.

::

    SessionError
    ├── NoSuchSession         it never was, was deleted, or has expired
    └── SessionTaken          it is live already, here or in another worker
"""

import hashlib
import os
import re
import secrets
import socket
import time
from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from gateway.store import Append, Conflict, Keep, Put, Store, put_if_absent
from stages.interview import InterviewConfig

Mode = Literal["voice", "text"]
Evaluating = Literal["collect", "evaluate"]
"""Whether answers are judged when somebody asks for it, or each as it is submitted, too."""

SESSION_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What a session's id looks like, from beginning to end."""

DEFAULT_MODEL = "auto"
"""The model of a session whose client named none: whatever answers in the reply slot."""


DELETED_S = 24 * 3600
"""Longer than any conversation, so that none that is still live comes back after its deletion."""


class SessionError(Exception):
    """Base of what is wrong with a session."""

    def __init__(self, session_id: str) -> None:
        super().__init__(session_id)
        self.session_id = session_id


class NoSuchSession(SessionError):
    """There is no session of that id."""

    def __str__(self) -> str:
        return f"there is no session {self.session_id!r}"


class SessionTaken(SessionError):
    """Somebody is in this session already."""

    def __str__(self) -> str:
        return f"session {self.session_id!r} is live already"


class SessionOwner(BaseModel):
    """The process that runs a live session; `token` is its own where numbers come again."""

    model_config = ConfigDict(frozen=True)

    host: str
    pid: int
    token: str

    @classmethod
    def here(cls) -> "SessionOwner":
        """This process. Make one at its start and keep it."""
        return cls(host=socket.gethostname(), pid=os.getpid(), token=secrets.token_hex(8))


class Consent(BaseModel):
    """That the spoken answers of a session may be kept: who said so, and when (s since 1970).

    That it was taken back is noted in `gateway.interviews.recordings`.
    """

    model_config = ConfigDict(frozen=True)

    by: str
    at: float


class SessionRecord(BaseModel):
    """What is stored of a session.

    `created_at` is seconds since the epoch, `started_at` when the interview began, None before that
    and in what older versions stored. `worker` the owner while the session is live, and
    `interview` what `InterviewSession.to_record` gave, None until the opening question. What is
    `finished` does not expire. `uploads` counts the answers that were uploaded. Spoken answers are
    kept only where there is a consent to `recording`.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    role: str
    model: str
    total_questions: int
    mode: Mode
    created_at: float
    ttl_s: int
    worker: SessionOwner | None = None
    interview: dict[str, Any] | None = None
    finished: bool = False
    started_at: float | None = None
    evaluating: Evaluating = "collect"
    uploads: int = 0
    recording: Consent | None = None

    @property
    def lifetime_s(self) -> int | None:
        """How long what is stored now lives, None until it is deleted."""
        return None if self.finished else self.ttl_s

    def with_interview(
        self, interview: dict[str, Any], *, began: float | None = None
    ) -> "SessionRecord":
        """The record after the interview has gone on, or begun: then `began` says when.

        With its last answer it is finished.
        """
        first = self.interview is None and self.started_at is None
        started_at = began if first else self.started_at
        finished = self.finished or interview["isComplete"]
        return self.model_copy(
            update={"interview": interview, "started_at": started_at, "finished": finished}
        )

    def with_worker(self, worker: SessionOwner | None) -> "SessionRecord":
        """The record in other hands, or in nobody's."""
        return self.model_copy(update={"worker": worker})

    def put(self, version: int | None) -> Put:
        """The write that stores this record over `version`, to be committed with others."""
        value = self.model_dump_json().encode()
        return Put(f"session:{self.id}", value, version, self.lifetime_s)

    def transcript(self, item: bytes) -> Append:
        """The write that adds a line to the session's transcript."""
        return Append(transcript_log(self.id), item, self.lifetime_s)

    def keep_transcript(self) -> Keep:
        """The write that lets the transcript live as long as the record that is stored with it."""
        return Keep(transcript_log(self.id), self.lifetime_s)

    def keep_recordings(self) -> tuple[Keep, ...]:
        """The writes that let what was recorded live as long; not every name need be there."""
        if self.recording is None:
            return ()
        messages = () if self.interview is None else self.interview["messages"]
        spoken = sum(message["role"] == "user" for message in messages)  # the first asks to begin
        names = (recording_name(self.id, number) for number in range(1, spoken))
        return tuple(Keep(name, self.lifetime_s) for name in (recordings_log(self.id), *names))


def transcript_log(session_id: str) -> str:
    """The name of the log with the session's transcript."""
    return f"transcript:{session_id}"


def recordings_log(session_id: str) -> str:
    """The name of the log that tells which answers of the session were recorded."""
    return f"recordings:{session_id}"


def recording_name(session_id: str, number: int) -> str:
    """The name of the entry with the sound of what the candidate said as the `number`th."""
    return f"recording:{session_id}:{number}"


async def create(
    store: Store,
    config: InterviewConfig,
    *,
    mode: Mode,
    ttl_s: int,
    session_id: str | None = None,
    now: float | None = None,
) -> tuple[SessionRecord, int]:
    """Store a new session and return it with its version.

    Arguments are those of `new`. Raises the store's `Conflict` where the given id exists.
    """
    record = new(config, mode=mode, ttl_s=ttl_s, session_id=session_id, now=now)
    return record, await save(store, record, None)


def new(
    config: InterviewConfig,
    *,
    mode: Mode,
    ttl_s: int,
    session_id: str | None = None,
    now: float | None = None,
    evaluating: Evaluating = "collect",
    recording: Consent | None = None,
) -> SessionRecord:
    """A session that is not stored yet.

    Without `session_id` it gets an id that nobody can guess. `now` is seconds since the epoch.
    """
    return SessionRecord(
        id=session_id if session_id is not None else secrets.token_hex(16),
        role=config.role,
        model=config.model,
        total_questions=config.total_questions,
        mode=mode,
        created_at=time.time() if now is None else now,
        ttl_s=ttl_s,
        evaluating=evaluating,
        recording=recording,
    )


async def load(store: Store, session_id: str) -> tuple[SessionRecord, int]:
    """The session and the version to save it over. Raises `NoSuchSession`."""
    entry = await store.get(f"session:{session_id}")
    if entry is None:
        raise NoSuchSession(session_id)
    return SessionRecord.model_validate_json(entry.value), entry.version


async def save(store: Store, record: SessionRecord, version: int | None) -> int:
    """Store the record over `version` and return the new one. Raises the store's `Conflict`."""
    (stored,) = await store.commit(record.put(version))
    return stored


async def finish(store: Store, record: SessionRecord, version: int) -> tuple[SessionRecord, int]:
    """Store the record over `version` as finished: it and its transcript stay until `delete`.

    Raises the store's `Conflict`.
    """
    finished = record.model_copy(update={"finished": True})
    stored = await store.commit(
        finished.put(version), finished.keep_transcript(), *finished.keep_recordings()
    )
    return finished, stored[0]


async def page(
    store: Store, *, limit: int, before: int | None = None
) -> tuple[list[SessionRecord], int | None]:
    """Sessions, the one made last first, and where the next page begins, None at the end.

    A page may hold fewer than `limit` although others follow.
    """
    found = await store.page("session", limit=limit, before=before)
    records = [SessionRecord.model_validate_json(entry.value) for _, entry in found.entries]
    return records, found.next


async def delete(store: Store, session_id: str) -> None:
    """Erase everything about a session, in one step. Raises `NoSuchSession`.

    A worker in which it is still live stores nothing more of it: for `DELETED_S` the store knows a
    digest of the id, and nothing else.
    """
    if await store.get(f"session:{session_id}") is not None:
        await put_if_absent(store, _deleted(session_id), b"", ttl_s=DELETED_S)
    if not await store.erase(session_id):
        raise NoSuchSession(session_id)


async def was_deleted(store: Store, session_id: str) -> bool:
    """Whether a session that is not there has been deleted, as opposed to expired."""
    return await store.get(_deleted(session_id)) is not None


def _deleted(session_id: str) -> str:
    return f"deleted:{hashlib.sha256(session_id.encode()).hexdigest()}"


def alive(owner: SessionOwner, asking: SessionOwner) -> bool:
    """Whether a session's owner still runs, as far as `asking` can tell.

    The process itself and processes of other hosts count as running.
    """
    if owner == asking or owner.host != asking.host:
        return True
    if owner.pid == asking.pid:
        return False
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


async def claim(
    store: Store,
    session_id: str,
    worker: SessionOwner,
    *,
    alive: Callable[[SessionOwner, SessionOwner], bool] = alive,
) -> tuple[SessionRecord, int]:
    """Make `worker` the session's owner; a session whose owner has died is taken over.

    Of several that try at once, one succeeds. Raises `NoSuchSession` and `SessionTaken`.
    """
    while True:
        record, version = await load(store, session_id)
        if record.worker is not None and alive(record.worker, worker):
            raise SessionTaken(session_id)
        claimed = record.with_worker(worker)
        try:
            return claimed, await save(store, claimed, version)
        except Conflict:
            continue


async def release(store: Store, session_id: str, worker: SessionOwner) -> None:
    """Give the session back. Harmless where it is gone or is somebody else's by now."""
    while True:
        try:
            record, version = await load(store, session_id)
        except NoSuchSession:
            return
        if record.worker != worker:
            return
        try:
            await save(store, record.with_worker(None), version)
        except Conflict:
            continue
        return
