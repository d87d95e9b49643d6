"""`commit_step`: the only way in which a spoken, written or uploaded answer reaches the store.

One transaction holds the record after the answer, the new lines of the transcript, the events that
tell of it, the renewal of everything else that is stored about the session, and the caller's
`extra` writes. It is a compare-and-set: the caller names the version that it read. If the store has
another version:

- A written answer is refused with the store's `Conflict`: the client answered a question that it
  read with the old version, and has to read again. An upload is refused likewise, although its job
  owns the session from its acceptance on.
- A live session belongs to its worker alone, and its host has the newer interview in memory. The
  host stores over the version found as long as the record names that worker as its owner, also if
  the record has expired. If another worker has taken the session over, or the session was deleted,
  the host gets the `Conflict`, too.

The same holds for the other steps: the first question, the end, a change of the owner.
"""

from collections.abc import Sequence

from gateway.events.event import EventDraft
from gateway.interviews.sessions import (
    NoSuchSession,
    SessionOwner,
    SessionRecord,
    load,
    was_deleted,
)
from gateway.store import Conflict, Store, Write


async def commit_step(
    store: Store,
    record: SessionRecord,
    version: int | None,
    lines: Sequence[bytes] = (),
    *,
    told: Sequence[EventDraft] = (),
    extra: Sequence[Write] = (),
    owner: SessionOwner | None = None,
) -> tuple[SessionRecord, int]:
    """Store a record over `version` with new `lines` of its transcript, and the events `told`.

    Returns the record as it is stored, with its version. `extra` is committed with them. `owner` is
    the worker in which the session is live, None for written answers and uploads. Raises the
    store's `Conflict` as described above. If it is cancelled, either all writes are stored or none.
    """
    try:
        stored, events = record.telling(told)
        versions = await store.commit(*stored.writes(version, lines), *extra, *events)
    except Conflict as conflict:
        if owner is None:
            raise
        found, version = await _found(store, record, owner, conflict)
        # A commit of which nobody knew that it had happened may have told of something.
        if found.finished:
            told = [draft for draft in told if draft.type != "interview.completed"]
        stored, events = record.model_copy(update={"events": found.events}).telling(told)
        versions = await store.commit(*stored.writes(version, lines), *extra, *events)
    return stored, versions[0]


async def _found(
    store: Store, own: SessionRecord, owner: SessionOwner, conflict: Conflict
) -> tuple[SessionRecord, int | None]:
    """The stored record and its version, over which `owner` may store after a conflict; `own` and
    None if the record has expired.

    Raises `conflict` if the session has another owner or was deleted.
    """
    try:
        record, version = await load(store, own.id)
    except NoSuchSession:
        if await was_deleted(store, own.id):
            raise conflict from None
        return own, None
    if record.worker != owner:
        raise conflict
    return record, version
