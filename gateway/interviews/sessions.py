"""A session as the store knows it: what it is about, who runs it, how far its interview has come.

A session lives for its record's `ttl_s` after the last change, or until it is deleted once it is
finished. Every change is a compare-and-set: of two writers that read the same version, the second
gets the store's `Conflict`. Each change renews everything else that is stored of the session (its
names: `gateway.interviews.keys`), and `delete` erases all of it.

::

    SessionError
    ├── NoSuchSession         it never was, was deleted, or has expired
    └── SessionTaken          it is live already, here or in another worker
"""

import os
import re
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from gateway.interviews.keys import RECORD_KIND, SessionKeys
from gateway.store import Append, Conflict, Keep, Put, Store, Write, put_if_absent
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
    def keys(self) -> SessionKeys:
        """The names of everything that is stored of the session."""
        return SessionKeys(self.id)

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
        """The write that stores this record over `version`, and nothing else."""
        value = self.model_dump_json().encode()
        return Put(self.keys.record, value, version, self.lifetime_s)

    def transcript(self, item: bytes) -> Append:
        """The write that adds a line to the session's transcript."""
        return Append(self.keys.transcript, item, self.lifetime_s)

    def keep(self) -> tuple[Keep, ...]:
        """The writes that let everything of the session live for `lifetime_s`, the record first."""
        recorded = None if self.recording is None else self._spoken
        return self.keys.keep(
            self.lifetime_s,
            evaluated=self.evaluating == "evaluate",
            recorded=recorded,
            uploads=self.uploads,
        )

    def writes(self, version: int | None, lines: Sequence[bytes] = ()) -> tuple[Write, ...]:
        """The writes that store this record over `version`, with new lines of the transcript.

        They renew everything else that is stored of the session. The record's `Put` comes first.
        """
        others = () if version is None else self.keep()[1:]  # a new session has no others
        return (self.put(version), *(self.transcript(line) for line in lines), *others)

    @property
    def _spoken(self) -> int:
        """How often the candidate has said something; the first message asks to begin."""
        messages = () if self.interview is None else self.interview["messages"]
        said: int = sum(message["role"] == "user" for message in messages)
        return max(0, said - 1)


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
    entry = await store.get(SessionKeys(session_id).record)
    if entry is None:
        raise NoSuchSession(session_id)
    return SessionRecord.model_validate_json(entry.value), entry.version


async def save(store: Store, record: SessionRecord, version: int | None) -> int:
    """Store the record over `version` and return the new one. Raises the store's `Conflict`."""
    stored = await store.commit(*record.writes(version))
    return stored[0]


async def add(
    store: Store, session_id: str, writes: Callable[[float | None], Sequence[Put | Append]]
) -> SessionRecord:
    """Store something more of a session, without a change of its record; returns the record.

    `writes` gets the lifetime that it is to have, in seconds. Where the session is finished or
    deleted meanwhile, what was written stays or goes with it. Raises `NoSuchSession`, and
    `Conflict` where one of the writes meets it.
    """
    record, _ = await load(store, session_id)
    lifetime_s = record.lifetime_s
    written = writes(lifetime_s)
    await store.commit(*written)
    # A change of the session in between did not know of what was written.
    try:
        record, _ = await load(store, session_id)
    except NoSuchSession:
        await store.erase(session_id)
        raise
    if record.lifetime_s != lifetime_s:
        names = (write.key if isinstance(write, Put) else write.log for write in written)
        await store.commit(*(Keep(name, record.lifetime_s) for name in names))
    return record


async def page(
    store: Store, *, limit: int, before: int | None = None
) -> tuple[list[SessionRecord], int | None]:
    """Sessions, the one made last first, and where the next page begins, None at the end.

    A page may hold fewer than `limit` although others follow.
    """
    found = await store.page(RECORD_KIND, limit=limit, before=before)
    records = [SessionRecord.model_validate_json(entry.value) for _, entry in found.entries]
    return records, found.next


async def delete(store: Store, session_id: str) -> None:
    """Erase everything about a session, in one step. Raises `NoSuchSession`.

    A worker in which it is still live stores nothing more of it: for `DELETED_S` the store knows a
    digest of the id, and nothing else.
    """
    keys = SessionKeys(session_id)
    if await store.get(keys.record) is not None:
        await put_if_absent(store, keys.deleted, b"", ttl_s=DELETED_S)
    if not await store.erase(session_id):
        raise NoSuchSession(session_id)


async def was_deleted(store: Store, session_id: str) -> bool:
    """Whether a session that is not there has been deleted, as opposed to expired."""
    return await store.get(SessionKeys(session_id).deleted) is not None


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
