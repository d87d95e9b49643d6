"""The keys of all that the store has about a session, and the renewal of the entries. Pure.

=======================  ======  ================================================================
``session:ID``           entry   the record: `gateway.interviews.sessions`
``transcript:ID``        log     the transcript: `gateway.interviews.transcripts`
``answer:ID:N``          entry   the Nth upload: `gateway.interviews.answer_jobs`
``recordings:ID``        log     which answers were recorded: `gateway.interviews.recordings`
``recording:ID:N``       entry   the recording of the candidate's Nth message
``evaluations:ID``       log     evaluations of single answers: `gateway.interviews.kept_reports`
``report:ID``            entry   the report of a finished session
``resume:ID:DIGEST``     entry   that a client has this token: `gateway.live.resumption`
``once:DIGEST``          entry   the response to a request with a key: `gateway.rest.once`
``deleted:DIGEST``       entry   that a session was deleted
``lease:TOKEN``          entry   that a process still runs: `gateway.interviews.leases`
=======================  ======  ================================================================

No other module makes such a key. The keys of tickets, passes and client secrets are made where they
are read (`gateway.security.tickets`, `gateway.live.client_secrets`), those of events in
`gateway.events`. All but the last three contain the session's id as their subject, so the store
erases them with the session. A response names its session in its `Put`, as a ticket, a pass and an
event do, and has its own lifetime. The marker of a deletion
outlives the session and does not contain its id.
"""

import hashlib
from dataclasses import dataclass

from gateway.store.protocol import Keep

RECORD_KIND = "session"
LEASE_KIND = "lease"
"""The kinds by which the store lists the records of sessions, and the leases of processes."""

MOST_UPLOADS_RENEWED = 150
"""How many of the newest uploads are renewed: more than an interview has answers. Failed uploads
have no other bound, so older ones are left to expire."""


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """The names of everything that is stored about one session."""

    session_id: str

    @property
    def record(self) -> str:
        return f"{RECORD_KIND}:{self.session_id}"

    @property
    def transcript(self) -> str:
        return f"transcript:{self.session_id}"

    @property
    def recordings(self) -> str:
        return f"recordings:{self.session_id}"

    @property
    def evaluations(self) -> str:
        return f"evaluations:{self.session_id}"

    @property
    def report(self) -> str:
        return f"report:{self.session_id}"

    @property
    def deleted(self) -> str:
        return f"deleted:{_digest(self.session_id)}"

    def resume(self, digest: str) -> str:
        """The name of a token with which the session's client comes back."""
        return f"resume:{self.session_id}:{digest}"

    def recording(self, number: int) -> str:
        """The recording of the candidate's `number`th message, counting from 1."""
        return f"recording:{self.session_id}:{number}"

    def answer(self, number: int) -> str:
        """The `number`th upload, counting from 1."""
        return f"answer:{self.session_id}:{number}"

    def keep(
        self, lifetime_s: float | None, *, evaluated: bool, recorded: int | None, uploads: int
    ) -> tuple[Keep, ...]:
        """The writes that renew everything for `lifetime_s` (None: until it is deleted).

        The record comes first. `evaluated` says whether answers are evaluated as they come,
        `recorded` how many may have been recorded (None without consent), `uploads` how many were
        uploaded. Not every name need exist. The report is not renewed: only a finished session,
        which does not expire, has one.
        """
        names = [self.record, self.transcript]
        names += [self.answer(number) for number in _newest(uploads)]
        if recorded is not None:
            names.append(self.recordings)
            names += [self.recording(number) for number in range(1, recorded + 1)]
        if evaluated:
            names.append(self.evaluations)
        return tuple(Keep(name, lifetime_s) for name in names)


def once_key(method: str, path: str, key: str) -> str:
    """The name of the response to a request with the client's idempotency key."""
    return f"once:{_digest(f'{method} {path} {key}')}"


def lease_key(token: str) -> str:
    """The name of the lease of the process with this token."""
    return f"{LEASE_KIND}:{token}"


def _newest(uploads: int) -> range:
    return range(max(1, uploads - MOST_UPLOADS_RENEWED + 1), uploads + 1)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
