"""How an answer reaches the store: spoken, written or uploaded, by `commit_step` and nothing else.

One transaction holds the record after the answer, the new lines of the transcript, the renewal of
everything else that is stored of the session, and what the caller adds. It is a compare-and-set:
the caller names the version that it read. Where another version is found:

- A written answer is refused with the store's `Conflict`: it answers a question that was read with
  the old version, and the client has to read again. So is an upload, which was accepted with the
  old version, although its job holds the session until then.
- A live session is its worker's alone, and its host has the newer interview in memory. It stores
  over what it finds as long as the record still names that worker as its owner, also where the
  record has expired. Where another worker has taken the session over, or it was deleted, the host
  gets the `Conflict`, too.

The same holds for steps that are no answers: the first question, the end, taking hold of a session.
"""

from collections.abc import Sequence

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
    extra: Sequence[Write] = (),
    owner: SessionOwner | None = None,
) -> int:
    """Store a record over `version` with new `lines` of its transcript; returns the new version.

    `extra` is committed with them. `owner` is the worker in which the session is live, None for
    written answers and uploads. Raises the store's `Conflict`, as said above. Cancelled, all of it
    is stored or nothing.
    """
    try:
        stored = await store.commit(*record.writes(version, lines), *extra)
    except Conflict as conflict:
        if owner is None:
            raise
        found = await _found(store, record.id, owner, conflict)
        stored = await store.commit(*record.writes(found, lines), *extra)
    return stored[0]


async def _found(
    store: Store, session_id: str, owner: SessionOwner, conflict: Conflict
) -> int | None:
    """The version that `owner` may store over after a conflict, None where the record has expired.

    Raises `conflict` where the session is not the owner's any more, or was deleted.
    """
    try:
        record, version = await load(store, session_id)
    except NoSuchSession:
        if await was_deleted(store, session_id):
            raise conflict from None
        return None
    if record.worker != owner:
        raise conflict
    return version
