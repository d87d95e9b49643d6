"""The stored record of a session: its subject, its owner and the progress of its interview.

A session lives for its record's `ttl_s` after the last change; a finished session lives until it is
deleted. Every change is a compare-and-set: of two writers that read the same version, the second
gets the store's `Conflict`. Each change renews everything else that is stored about the session
(names: `gateway.interviews.keys`), and `delete` erases all of it.

::

    SessionError
    ├── NoSuchSession         the session never existed, was deleted, or has expired
    └── SessionTaken          the session is live already, in this worker or another
"""

import re
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from gateway.events.event import EventDraft
from gateway.events.outbox import session_events
from gateway.interviews.consent import Consent
from gateway.interviews.keys import RECORD_KIND, SessionKeys, lease_key
from gateway.protocols.tool_wish import ToolWish
from gateway.store import Append, Conflict, Keep, Put, Store, StoreError, Write, put_if_absent
from stages.interview import LANGUAGES, InterviewConfig
from stages.interview.languages import interviewers

Mode = Literal["voice", "text"]
Evaluating = Literal["collect", "evaluate"]
"""Whether answers are evaluated only on request ("collect") or also each as it is submitted."""

SESSION_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""A whole session id."""

DEFAULT_MODEL = "auto"
"""The model of a session whose client named none: the provider in the reply slot."""


DELETED_S = 24 * 3600
"""How long a deletion is remembered: longer than any live conversation could still write."""


class SessionError(Exception):
    """Base of the errors about a session."""

    def __init__(self, session_id: str) -> None:
        super().__init__(session_id)
        self.session_id = session_id


class NoSuchSession(SessionError):
    """There is no session with that id."""

    def __str__(self) -> str:
        return f"there is no session {self.session_id!r}"


class SessionTaken(SessionError):
    """The session is live already."""

    def __str__(self) -> str:
        return f"session {self.session_id!r} is live already"


class SessionOwner(BaseModel):
    """The process that runs a live session, by a token that no other has.

    `gateway.interviews.leases` says whether it still runs. Neither host names nor process ids
    would: a container that replaces another has a new name and the old ids.
    """

    model_config = ConfigDict(frozen=True)

    token: str

    @classmethod
    def here(cls) -> "SessionOwner":
        """This process, with a new token: call it once, when the process starts."""
        return cls(token=secrets.token_hex(16))


class SessionRecord(BaseModel):
    """The stored record of a session.

    `created_at` and `started_at` (the interview's beginning) are seconds since the epoch;
    `started_at` is None before the beginning and in records of older versions. `worker` is the
    owner while the session is live. `interview` is the result of `InterviewSession.to_record`, None
    until the opening question. A `finished` session does not expire. `uploads` counts the uploaded
    answers. Spoken answers are kept only with a consent to `recording`. `language` is a code or
    "auto"; sessions of older versions are English. `tools` are functions that replies may call.
    `events` is the number of the session's events so far, None for a session without events.
    `made_by` is the client that made it, None in records of older versions.
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
    language: str = LANGUAGES[0]
    tools: tuple[ToolWish, ...] = ()
    events: int | None = None
    made_by: str | None = None

    @property
    def config(self) -> InterviewConfig:
        """The settings of the interview."""
        spoken = interviewers(self.language)
        return InterviewConfig(self.role, self.model, self.total_questions, spoken)

    @property
    def keys(self) -> SessionKeys:
        """The names of everything that is stored about the session."""
        return SessionKeys(self.id)

    @property
    def lifetime_s(self) -> int | None:
        """How long new entries live, in seconds; None: until the session is deleted."""
        return None if self.finished else self.ttl_s

    def with_interview(
        self, interview: dict[str, Any], *, began: float | None = None
    ) -> "SessionRecord":
        """The record with the interview's new state; `began` is the time of the first one.

        The last answer makes the session finished.
        """
        first = self.interview is None and self.started_at is None
        started_at = began if first else self.started_at
        finished = self.finished or interview["isComplete"]
        return self.model_copy(
            update={"interview": interview, "started_at": started_at, "finished": finished}
        )

    def with_worker(self, worker: SessionOwner | None) -> "SessionRecord":
        """The record with another owner, or without one."""
        return self.model_copy(update={"worker": worker})

    def telling(self, told: Sequence[EventDraft]) -> "tuple[SessionRecord, tuple[Put, ...]]":
        """The record after these events, and their writes; none for a session without events."""
        if self.events is None or not told:
            return self, ()
        counted = self.model_copy(update={"events": self.events + len(told)})
        return counted, session_events(self.id, told, self.events, self.made_by)

    def made(self) -> "tuple[SessionRecord, tuple[Put, ...]]":
        """The record of a new session, and the writes that store it and its first event."""
        told = ("role", "mode", "language", "total_questions")
        data = {name: getattr(self, name) for name in told}
        counted, events = self.telling((EventDraft("session.created", data),))
        return counted, (counted.put(None), *events)

    def put(self, version: int | None) -> Put:
        """The write that stores only this record over `version`."""
        value = self.model_dump_json().encode()
        return Put(self.keys.record, value, version, self.lifetime_s)

    def transcript(self, item: bytes) -> Append:
        """The write that adds a line to the session's transcript."""
        return Append(self.keys.transcript, item, self.lifetime_s)

    def keep(self) -> tuple[Keep, ...]:
        """The writes that renew everything of the session for `lifetime_s`, the record first."""
        recorded = None if self.recording is None else self._spoken
        return self.keys.keep(
            self.lifetime_s,
            evaluated=self.evaluating == "evaluate",
            recorded=recorded,
            uploads=self.uploads,
        )

    def writes(self, version: int | None, lines: Sequence[bytes] = ()) -> tuple[Write, ...]:
        """The writes that store this record over `version`, with new lines of the transcript.

        They also renew everything else that is stored about the session. The record comes first.
        """
        others = () if version is None else self.keep()[1:]  # a new session has no others
        return (self.put(version), *(self.transcript(line) for line in lines), *others)

    @property
    def _spoken(self) -> int:
        """How many messages the candidate has sent, without the first, which asks to begin."""
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
    language: str | None = None,
    tools: tuple[ToolWish, ...] = (),
    tells: bool = False,
    made_by: str | None = None,
) -> tuple[SessionRecord, int]:
    """Store a new session and return it with its version.

    The arguments are those of `new`. Raises the store's `Conflict` if the given id exists.
    """
    record, writes = new(
        config,
        mode=mode,
        ttl_s=ttl_s,
        session_id=session_id,
        now=now,
        language=language,
        tools=tools,
        tells=tells,
        made_by=made_by,
    ).made()
    return record, (await store.commit(*writes))[0]


def new(
    config: InterviewConfig,
    *,
    mode: Mode,
    ttl_s: int,
    session_id: str | None = None,
    now: float | None = None,
    evaluating: Evaluating = "collect",
    recording: Consent | None = None,
    language: str | None = None,
    tools: tuple[ToolWish, ...] = (),
    tells: bool = False,
    made_by: str | None = None,
) -> SessionRecord:
    """A session that is not stored yet.

    Without `session_id` it gets a random id that cannot be guessed. `now` is seconds since the
    epoch. `language` is that of the session, if not the interviewer's; `tells`: it has events,
    which are those of the client that it is `made_by`.
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
        language=language or config.language,
        tools=tools,
        events=0 if tells else None,
        made_by=made_by,
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
    store: Store,
    session_id: str,
    writes: Callable[[float | None], Sequence[Put | Append]],
    *events: Put,
) -> SessionRecord:
    """Store further data of a session without changing its record; returns the record.

    `writes` is called with the lifetime of the new data in seconds; `events` have their own. If the
    session is finished or deleted meanwhile, the new data are kept or erased with it. Raises
    `NoSuchSession`, and `Conflict` from the writes.
    """
    record, _ = await load(store, session_id)
    lifetime_s = record.lifetime_s
    written = writes(lifetime_s)
    await store.commit(*written, *events)
    # A change of the session in between did not renew or erase the new data.
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
    """Sessions, newest first, and the start of the next page, None at the end.

    A page may hold fewer than `limit` sessions although others follow.
    """
    found = await store.page(RECORD_KIND, limit=limit, before=before)
    records = [SessionRecord.model_validate_json(entry.value) for _, entry in found.entries]
    return records, found.next


async def delete(store: Store, session_id: str) -> None:
    """Erase everything about a session in one step. Raises `NoSuchSession`.

    For `DELETED_S` the store keeps a digest of the id, so that a worker in which the session is
    still live stores nothing more about it.
    """
    keys = SessionKeys(session_id)
    if await store.get(keys.record) is not None:
        await put_if_absent(store, keys.deleted, b"", ttl_s=DELETED_S)
    if not await store.erase(session_id):
        raise NoSuchSession(session_id)


async def was_deleted(store: Store, session_id: str) -> bool:
    """Whether a missing session was deleted rather than expired."""
    return await store.get(SessionKeys(session_id).deleted) is not None


async def owns(store: Store, session_id: str, worker: SessionOwner) -> bool:
    """Whether no other process has taken the session from `worker`, as far as the store says."""
    try:
        record, _ = await load(store, session_id)
    except (NoSuchSession, StoreError):
        return True
    return record.worker == worker


async def alive(store: Store, owner: SessionOwner, asking: SessionOwner) -> bool:
    """Whether a session's owner still runs: it is `asking` itself, or its lease has not ended."""
    return owner == asking or await store.get(lease_key(owner.token)) is not None


async def claim(
    store: Store,
    session_id: str,
    worker: SessionOwner,
    *,
    takes_over: bool = False,
) -> tuple[SessionRecord, int]:
    """Make `worker` the session's owner, also in place of an owner whose lease has ended.

    With `takes_over`, for a client that has shown the session's own token, also in place of one
    that still runs: what that stores afterwards is refused. Of several concurrent calls one
    succeeds. Raises `NoSuchSession` and `SessionTaken`.
    """
    while True:
        record, version = await load(store, session_id)
        if (
            record.worker is not None
            and not takes_over
            and await alive(store, record.worker, worker)
        ):
            raise SessionTaken(session_id)
        claimed = record.with_worker(worker)
        try:
            return claimed, await save(store, claimed, version)
        except Conflict:
            continue


async def release(store: Store, session_id: str, worker: SessionOwner) -> bool:
    """End the ownership. Does nothing if the session is gone or has another owner; False where it
    has."""
    while True:
        try:
            record, version = await load(store, session_id)
        except NoSuchSession:
            return True
        if record.worker != worker:
            return record.worker is None
        try:
            await save(store, record.with_worker(None), version)
        except Conflict:
            continue
        return True
