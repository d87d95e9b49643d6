"""Evaluations that are stored with a session: of single answers, and the report of all of them.

The report of a finished session is stored, so that every request gets the same report and no chat
model evaluates the same answers twice. It holds a digest of the interview: if the interview
changes, the report is made anew.
"""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter
from pydantic.alias_generators import to_camel

from gateway.events.outbox import session_events
from gateway.interviews.sessions import NoSuchSession, SessionRecord, add
from gateway.interviews.state import InterviewState, Submitted
from gateway.interviews.telling import report_ready
from gateway.interviews.transcripts import Known, known_of
from gateway.reports.assessor import Assessor
from gateway.store import Append, Conflict, Put, Store, StoreError
from stages.interview import AnswerEvaluation, InterviewAnswer, InvalidReport, Report, answers_of
from stages.interview.report import cut_note, lost_note

logger = logging.getLogger("parley.reports")

_EVALUATIONS: TypeAdapter[AnswerEvaluation] = TypeAdapter(AnswerEvaluation)


class KeptReports:
    """Evaluates the interviews in a store with an assessor, and stores the results."""

    def __init__(self, store: Store, assessor: Assessor) -> None:
        self._store = store
        self._assessor = assessor

    async def judge(self, submitted: Submitted) -> AnswerEvaluation | None:
        """The evaluation of the answer just submitted, None if the words were no answer.

        It is stored, and the report uses it unchanged.
        """
        if not submitted.counted:
            return None
        interview = submitted.state.begun
        record = submitted.state.record
        given = submitted.given
        at = len(interview.messages) - 2
        speech = {} if given.speech is None else {at: given.speech}
        answers = answers_of(interview, speech)
        if not answers:
            return None
        number, answer = len(answers), answers[-1]
        # Only the new answer is evaluated; the assessor does not need the answers before it.
        found = await self._assessor.evaluate(interview.config.role, (answer,))
        evaluation = replace(found.answers[0], number=number)
        item = {
            "number": number,
            "of": _digest(answer.text),
            "evaluation": _EVALUATIONS.dump_python(evaluation, mode="json"),
        }
        line = json.dumps(item).encode()
        await self._keep(record, lambda ttl_s: Append(record.keys.evaluations, line, ttl_s))
        return evaluation

    async def report(self, state: InterviewState) -> Report:
        """The report of an interview, finished or not. Raises `NotStarted`."""
        interview, record = state.begun, state.record
        digest = _digest(json.dumps(record.interview, sort_keys=True))
        name = record.keys.report
        stored = await self._store.get(name) if record.finished else None
        if stored is not None:
            kept = json.loads(stored.value)
            if kept["of"] == digest:
                try:
                    return Report.from_json(kept["report"])
                except InvalidReport:
                    pass  # an older version wrote it
        lines = await self._store.read(record.keys.transcript)
        known = known_of(interview, (item for _, item in lines))
        created = datetime.fromtimestamp(record.created_at, UTC)
        report = await self._assessor.report(
            interview,
            speech=known.speech,
            latencies_ms=known.latencies_ms,
            known=await self._known(record, known.answers(interview)),
            notes=_notes(known, interview.config.language),
            session_id=record.id,
            created=created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        if record.finished:
            before = {} if stored is None else json.loads(stored.value)
            tells = record.events is not None and before.get("of") != digest
            new = (report_ready(report.answered),) if tells else ()
            # A finished session has no other new events: those of its reports follow the record's.
            told_before = before.get("told", 0)
            kept = {"of": digest, "report": report.to_json(), "told": told_before + len(new)}
            value = json.dumps(kept).encode()
            expect = None if stored is None else stored.version
            before_it = (record.events or 0) + told_before
            told = session_events(record.id, new, before_it, record.made_by)
            await self._keep(record, lambda ttl_s: Put(name, value, expect, ttl_s), *told)
        return report

    async def _known(
        self, record: SessionRecord, answers: tuple[InterviewAnswer, ...]
    ) -> dict[int, AnswerEvaluation]:
        """The stored evaluations of answers whose text has not changed since, by number."""
        known = {}
        if record.evaluating == "evaluate":
            for _, item in await self._store.read(record.keys.evaluations):
                entry = json.loads(item)
                number = entry["number"]
                if number <= len(answers) and entry["of"] == _digest(answers[number - 1].text):
                    known[number] = _EVALUATIONS.validate_python(entry["evaluation"])
        return known

    async def _keep(
        self, record: SessionRecord, write: Callable[[float | None], Put | Append], *events: Put
    ) -> None:
        """Store something with the session; a deleted session or a failing store is no error."""
        try:
            await add(self._store, record.id, lambda ttl_s: (write(ttl_s),), *events)
        except NoSuchSession:
            return
        except Conflict:
            return  # another request has stored the same report
        except StoreError as error:  # the caller still gets its result
            logger.error("session %s: its evaluation is not kept: %s", record.id, error)


def evaluation_json(evaluation: AnswerEvaluation) -> dict[str, Any]:
    """One answer's evaluation as JSON, with the field names of a report."""
    found: dict[str, Any] = _renamed(_EVALUATIONS.dump_python(evaluation, mode="json"))
    return found


def _renamed(value: Any) -> Any:
    if isinstance(value, dict):
        return {to_camel(key): _renamed(inner) for key, inner in value.items()}
    return [_renamed(inner) for inner in value] if isinstance(value, list) else value


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def _notes(known: Known, language: str) -> list[str]:
    """Sentences about uploaded answers of which something is missing."""
    lost = [lost_note(number, ms, language) for number, ms in known.lost_ms.items()]
    return lost + [cut_note(number, language) for number in known.cut]
