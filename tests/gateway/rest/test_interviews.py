"""Whole interviews over HTTP, against a real server: typed, uploaded, and together with voice."""

import asyncio
import base64
import io
import json
import logging
import re
import wave
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from gateway.interviews import events as rings
from gateway.interviews.answer_jobs import AnswerRecord
from gateway.interviews.sessions import SessionOwner, load
from gateway.rest import answering, watching
from gateway.store import SqliteStore
from pipeline.testing import Script
from stages.fakes import FakeSynthesizer, FakeTranscriber
from tests.support import recordings
from tests.support.interviews import ANSWER, code, made, recording, started, typed, uploaded

pytestmark = pytest.mark.slow  # spoken in real time, and recordings are recognised

HEARD = "I like to build things that last"

Scenario = Callable[[httpx.AsyncClient], Awaitable[None]]
Serve = Callable[[Scenario], None]


@pytest.fixture
def serve(gateway: Any) -> Serve:
    def serve(scenario: Scenario) -> None:
        async def story() -> None:
            base = f"http://127.0.0.1:{gateway.port}"
            async with httpx.AsyncClient(base_url=base, timeout=20) as client:
                await scenario(client)

        gateway.run(story)

    return serve


# --- whole interviews ------------------------------------------------------------------------


def test_an_interview_in_writing_from_start_to_report(serve: Serve) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        path = await made(client)
        first = (await client.post(f"{path}/start")).json()
        assert first["question"]["number"] == 1
        assert first["interview"] == {
            "currentQuestion": 1,
            "totalQuestions": 2,
            "isComplete": False,
        }
        shown = await client.get(f"{path}/next")
        assert shown.json() == first
        assert shown.headers["etag"] == f'"{first["version"]}"'
        assert (await client.post(f"{path}/next")).json() == first
        second = (await typed(client, path)).json()
        assert second["answer"] == {
            "question": 1,
            "text": ANSWER,
            "via": "typed",
            "counted": True,
            **dict.fromkeys(("language", "confidence", "duration_ms", "truncated", "lost_ms")),
            **dict.fromkeys(("recogniser", "quality")),
        }
        assert second["reply"] == second["question"]["said"]
        assert second["evaluation"] is None
        partly = (await client.post(f"{path}/evaluate")).json()
        assert (partly["answered"], partly["complete"]) == (1, False)
        last = (await typed(client, path)).json()
        assert (last["question"], last["interview"]["isComplete"]) == (None, True)
        assert (await client.get(path)).json()["finished"] is True
        whole = (await client.post(f"{path}/evaluate")).json()
        assert [item["answer"] for item in whole["items"]] == [ANSWER, ANSWER]
        assert "transcript" not in whole
        report = (await client.get(f"{path}/report")).json()
        assert (report["answered"], report["overall"]) == (2, whole["overall"])
        assert report["sessionId"] == path.rpartition("/")[2]
        assert report["summary"]["text"].startswith("You answered 2 questions of 2.")

    serve(scenario)


def test_what_was_said_so_far_is_told_at_any_time(serve: Serve) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        path = await made(client)
        none = await client.get(f"{path}/transcript")
        assert (none.status_code, none.json()["lines"]) == (200, [])
        asked = (await client.post(f"{path}/start")).json()["question"]["said"]
        replied = (await typed(client, path)).json()
        told = await client.get(f"{path}/transcript")
        assert told.json() == {
            "session_id": path.rpartition("/")[2],
            "version": replied["version"],
            "lines": [
                {"speaker": "interviewer", "text": asked, "interrupted": False},
                {"speaker": "candidate", "text": ANSWER, "interrupted": False},
                {"speaker": "interviewer", "text": replied["reply"], "interrupted": False},
            ],
        }
        assert told.headers["etag"] == f'"{replied["version"]}"'
        missing = await client.get("/api/sessions/nobody/transcript")
        assert code(missing) == (404, "no_such_session")

    serve(scenario)


def test_a_report_comes_in_the_form_that_is_wanted(serve: Serve) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        path = await started(client, total=1)
        await typed(client, path)
        for form, kind, begins in (
            ("markdown", "text/markdown", "# Interview report"),
            ("html", "text/html", "<!doctype html>"),
        ):
            asked = await client.get(f"{path}/report", params={"format": form})
            accepted = await client.get(f"{path}/report", headers={"accept": kind})
            assert asked.text == accepted.text
            assert asked.text.startswith(begins)
            assert asked.headers["content-type"] == f"{kind}; charset=utf-8"
            framing = "frame-ancestors 'none'" if form == "html" else None
            assert asked.headers.get("content-security-policy") == framing
        refused = await client.get(f"{path}/report", headers={"accept": "image/png"})
        assert code(refused) == (406, "not_acceptable")
        assert code(await client.get(f"{path}/report?format=pdf")) == (400, "invalid_parameter")

    serve(scenario)


def test_an_upload_that_was_cut_is_marked_in_the_answer_and_in_the_report(
    gateway: Any, serve: Serve
) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        path = await started(client)
        await typed(client, path)
        half = recording(4)[: 44 + 2 * 16_000 * 2]
        headers = {"content-type": "audio/wav"}
        taken = (await client.post(f"{path}/submit-answer", content=half, headers=headers)).json()
        assert (taken["answer"]["duration_ms"], taken["answer"]["truncated"]) == (2000, True)
        assert (await client.get(f"{path}/answers/1")).json()["truncated"] is True
        report = (await client.get(f"{path}/report")).json()
        note = "The recording that was uploaded for question 2 is incomplete: its end is missing,"
        assert [said for said in report["notes"] if said.startswith(note)]
        shown = await client.get(f"{path}/report", params={"format": "html"})
        assert "question 2 is incomplete" in shown.text
        assert "question 1 is incomplete" not in shown.text

    serve(scenario)


def test_an_upload_that_was_damaged_says_how_much_could_not_be_read(
    gateway: Any, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        path = await started(client)
        await typed(client, path)
        pcm = np.frombuffer(recording(4)[44:], np.int16)
        data = bytearray(recordings.encoded(pcm, "ogg-opus"))
        page = [found.start() for found in re.finditer(b"OggS", data)][3]  # of a second
        data[page + 300 : page + 310] = bytes(10)
        headers = {"content-type": "audio/ogg"}
        taken = await client.post(f"{path}/submit-answer", content=bytes(data), headers=headers)
        answer = taken.json()["answer"]
        lost_ms = answer["lost_ms"]
        assert (answer["truncated"], 900 < lost_ms < 1100) == (False, True)
        assert answer["duration_ms"] + lost_ms == pytest.approx(4000, abs=50)
        assert (await client.get(f"{path}/answers/1")).json()["lost_ms"] == lost_ms
        report = (await client.get(f"{path}/report")).json()
        note = f"question 2 is damaged: about {-(-lost_ms // 1000)} s of it could not be read"
        assert [note in said for said in report["notes"]].count(True) == 1
        told = [said for said in caplog.messages if f"{lost_ms} ms could not be read" in said]
        assert len(told) == 1

    caplog.set_level(logging.INFO, "parley.uploads")
    serve(scenario)


def test_the_notes_of_a_report_have_the_language_of_the_interview(
    gateway: Any, serve: Serve
) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        path = await made(client, total=2, language="de")
        await client.post(f"{path}/start")
        half = recording(4)[: 44 + 2 * 16_000 * 2]
        headers = {"content-type": "audio/wav"}
        await client.post(f"{path}/submit-answer", content=half, headers=headers)
        notes = (await client.get(f"{path}/report")).json()["notes"]
        assert notes == [
            "Die Aufnahme, die zu Frage 1 hochgeladen wurde, ist unvollständig: Ihr Ende fehlt, "
            "und damit vielleicht das Ende der Antwort.",
            "Gesprochene Antworten hat fake-stt in Text umgewandelt.",
        ]

    serve(scenario)


def test_an_interview_by_uploads(gateway: Any, serve: Serve) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        path = await started(client)
        taken = (await uploaded(client, path)).json()
        assert taken["answer"] == {
            "question": 1,
            "text": HEARD,
            "via": "upload",
            "counted": True,
            "language": "en",
            "confidence": 0.9,
            "duration_ms": 2000,
            "truncated": False,
            "lost_ms": 0,
            "recogniser": "fake-stt",
            "quality": "full",
        }
        form = {"file": ("answer.wav", recording(1), "audio/wav")}
        last = await client.post(f"{path}/submit-answer", files=form)
        assert last.json()["interview"]["isComplete"] is True
        report = (await client.get(f"{path}/report")).json()
        assert [item["recognition"]["provider"] for item in report["items"]] == ["fake-stt"] * 2
        assert report["items"][0]["evaluation"]["delivery"]["durationMs"] == 2000

    serve(scenario)


def test_begun_in_writing_gone_on_by_voice_reported_in_writing(gateway: Any, serve: Serve) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        path = await started(client)
        asked = (await typed(client, path)).json()["question"]
        async with gateway.call(path.rpartition("/")[2]) as caller:
            opening = await caller.until("reply.done", turn=0)
            assert opening["heard"].endswith(asked["text"])
            assert code(await typed(client, path)) == (409, "session_live")
            assert code(await uploaded(client, path)) == (409, "session_live")
            assert code(await client.post(f"{path}/end")) == (409, "session_live")
            assert (await client.get(f"{path}/next")).json()["question"]["number"] == 2
            await caller.speak()
            await caller.until("interview", isComplete=True)
        report = (await client.get(f"{path}/report")).json()
        written, spoken = report["items"]
        assert (written["answer"], written["recognition"]) == (ANSWER, None)
        assert spoken["answer"] == HEARD
        assert spoken["recognition"]["provider"] == "fake-stt"
        assert spoken["recognition"]["confidence"] == 0.9
        assert spoken["evaluation"]["delivery"]["durationMs"] > 300
        assert spoken["latencyMs"] is not None
        assert (await client.get(path)).json()["finished"] is True

    serve(scenario)


def test_begun_by_voice_gone_on_in_writing(gateway: Any, serve: Serve) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        path = await made(client, mode="voice")
        async with gateway.call(path.rpartition("/")[2]) as caller:
            await caller.until("reply.done", turn=0)
            await caller.speak()
            await caller.until("reply.done", turn=1)
            await caller.say(type="bye")
            await caller.closed()
        question = (await client.get(f"{path}/next")).json()["question"]
        assert question["number"] == 2
        last = (await typed(client, path)).json()
        assert (last["answer"]["question"], last["interview"]["isComplete"]) == (2, True)
        report = (await client.get(f"{path}/report")).json()
        assert [item["answer"] for item in report["items"]] == [HEARD, ANSWER]
        assert report["items"][1]["question"] == question["text"]

    serve(scenario)


# --- order, versions, keys -------------------------------------------------------------------


def test_requests_out_of_order_are_refused_with_a_code(serve: Serve) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        path = await made(client, total=1)
        for refused in (
            await typed(client, path),
            await uploaded(client, path),
            await client.get(f"{path}/next"),
            await client.post(f"{path}/evaluate"),
            await client.post(f"{path}/end"),
            await client.get(f"{path}/report"),
        ):
            assert code(refused) == (409, "not_started")
        await client.post(f"{path}/start")
        assert code(await client.post(f"{path}/evaluate")) == (409, "nothing_answered")
        await typed(client, path)
        assert code(await typed(client, path)) == (409, "interview_complete")
        assert code(await client.post(f"{path}/start")) == (409, "interview_complete")
        assert (await client.get(f"{path}/next")).json()["question"] is None
        for action in ("start", "evaluate", "end"):
            unknown = await client.post(f"/api/sessions/nobody/{action}")
            assert code(unknown) == (404, "no_such_session")

    serve(scenario)


def test_a_request_for_another_version_gets_the_current_one(serve: Serve) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        path = await started(client)
        now = (await client.get(path)).json()["version"]
        stale = {"if-match": f'"{now - 1}"'}
        for refused in (
            await client.post(f"{path}/submit-answer", json={"text": ANSWER, "version": now - 1}),
            await client.post(f"{path}/submit-answer", json={"text": ANSWER}, headers=stale),
            await uploaded(client, path, **stale),
            await client.post(f"{path}/end", headers=stale),
            await client.post(f"{path}/start", headers=stale),
        ):
            assert code(refused) == (409, "conflict")
            assert refused.json()["version"] == now
        odd = await client.post(f"{path}/end", headers={"if-match": "seven"})
        assert code(odd) == (400, "invalid_parameter")
        right = {"text": ANSWER, "version": now}
        assert (await client.post(f"{path}/submit-answer", json=right)).status_code == 200

    serve(scenario)


def test_of_two_answers_at_once_one_is_taken(serve: Serve) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        path = await started(client, total=15)
        now = (await client.get(path)).json()["version"]
        body = {"text": ANSWER, "version": now}
        answers = await asyncio.gather(
            *(client.post(f"{path}/submit-answer", json=body) for _ in range(8))
        )
        assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
        assert (await client.get(path)).json()["interview"]["currentQuestion"] == 2

    serve(scenario)


@pytest.mark.parametrize("send", [typed, uploaded])
def test_an_answer_that_is_sent_again_is_taken_once(serve: Serve, send: Any) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        path = await started(client, total=3)
        client.headers["idempotency-key"] = "one"
        first = await send(client, path)
        again = await send(client, path)
        assert again.headers["idempotency-replayed"] == "true"
        told = first.json()
        assert again.json() == {**told, "version": None}
        assert (await client.get(path)).json()["version"] == told["version"]
        assert (await client.get(path)).json()["interview"]["currentQuestion"] == 2

    serve(scenario)


# --- modes and sound -------------------------------------------------------------------------


def test_evaluate_mode_tells_with_every_answer_what_it_was_worth(serve: Serve) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        path = await started(client, evaluation="evaluate")
        repeated = (await typed(client, path, "could you repeat that please")).json()
        assert (repeated["answer"]["counted"], repeated["evaluation"]) == (False, None)
        taken = (await typed(client, path)).json()
        assert taken["evaluation"]["number"] == 1
        last = (await uploaded(client, path)).json()
        assert last["evaluation"]["number"] == 2
        report = (await client.get(f"{path}/report")).json()
        assert [item["evaluation"] for item in report["items"]] == [
            taken["evaluation"],
            last["evaluation"],
        ]

    serve(scenario)


def test_questions_and_the_summary_come_as_sound_where_that_is_wanted(serve: Serve) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        path = await made(client, total=1)
        start = (await client.post(f"{path}/start?audio=true")).json()
        asked = (await client.get(f"{path}/next?audio=true")).json()
        assert asked["audio"] == start["audio"]
        ended = (await client.post(f"{path}/end?audio=true")).json()
        report = (await client.get(f"{path}/report?audio=true")).json()
        assert report["summary"] == ended["summary"]
        for audio in (start["audio"], ended["summary"]["audio"]):
            with wave.open(io.BytesIO(base64.b64decode(audio["base64"]))) as file:
                duration_ms = file.getnframes() * 1000 // file.getframerate()
                assert (file.getnchannels(), duration_ms) == (1, audio["duration_ms"])
                assert duration_ms > 100

    serve(scenario)


def test_a_question_that_cannot_be_spoken_is_asked_all_the_same(gateway: Any, serve: Serve) -> None:
    gateway.synthesizer = FakeSynthesizer(Script(error=OSError("gone")))

    async def scenario(client: httpx.AsyncClient) -> None:
        path = await made(client)
        start = (await client.post(f"{path}/start?audio=true")).json()
        assert start["question"]["number"] == 1
        assert start["audio"] is None
        assert start["audio_problem"] == "No synthesizer could speak it"

    serve(scenario)


# --- long uploads ----------------------------------------------------------------------------


async def settled(client: httpx.AsyncClient, location: str) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while True:
            found: dict[str, Any] = (await client.get(location)).json()
            if found["status"] != "recognising":
                return found
            await asyncio.sleep(0.05)


def test_a_long_recording_is_answered_at_once_and_taken_later(gateway: Any, serve: Serve) -> None:
    gateway.transcriber = FakeTranscriber(Script(first_s=0.5), texts=(HEARD,))

    async def scenario(client: httpx.AsyncClient) -> None:
        path = await started(client)
        taken = await uploaded(client, path, 31)
        assert taken.status_code == 202
        location = taken.headers["location"]
        assert location == f"{path}/answers/1"
        assert taken.json()["status"] == "recognising"
        assert code(await typed(client, path)) == (409, "session_live")
        found = await settled(client, location)
        assert (found["status"], found["question"], found["counted"]) == ("accepted", 1, True)
        assert (found["recogniser"], found["duration_ms"]) == ("fake-stt", 31_000)
        assert found["text"].startswith(HEARD)
        assert (await client.get(f"{path}/next")).json()["question"]["number"] == 2
        assert (await typed(client, path)).json()["interview"]["isComplete"] is True
        for number in ("2", "x", "9" * 30):
            assert code(await client.get(f"{path}/answers/{number}")) == (404, "no_such_answer")

    serve(scenario)


def test_a_recording_that_could_not_be_recognised_leaves_its_question_waiting(
    gateway: Any, serve: Serve
) -> None:
    gateway.transcriber = FakeTranscriber(Script(error=OSError("gone")), Script(error=OSError("x")))

    async def scenario(client: httpx.AsyncClient) -> None:
        path = await started(client)
        assert code(await uploaded(client, path)) == (503, "no_recogniser")
        later = await uploaded(client, path, 31)
        found = await settled(client, later.headers["location"])
        assert (found["status"], found["code"]) == ("failed", "no_recogniser")
        assert (await typed(client, path)).json()["answer"]["question"] == 1

    serve(scenario)


def test_what_is_no_recording_is_refused_before_anything_is_held(serve: Serve) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        path = await started(client)
        headers = {"content-type": "audio/wav"}
        odd = await client.post(f"{path}/submit-answer", content=b"just text", headers=headers)
        assert code(odd) == (415, "not_audio")
        html = await client.post(
            f"{path}/submit-answer", content=b"x", headers={"content-type": "text/html"}
        )
        assert code(html) == (415, "unsupported_media_type")
        assert (await typed(client, path)).json()["answer"]["question"] == 1

    serve(scenario)


def test_an_upload_of_a_process_that_died_has_failed(
    gateway: Any, serve: Serve, tmp_path: Path
) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        path = await started(client)
        session_id = path.rpartition("/")[2]
        dead = SessionOwner(token="gone")
        upload = AnswerRecord(
            number=1, question=1, status="recognising", duration_ms=40_000, worker=dead
        )
        store = SqliteStore(tmp_path / "parley.sqlite3")
        record, version = await load(store, session_id)
        held = record.with_worker(dead).model_copy(update={"uploads": 1})
        await store.commit(held.put(version), upload.put(session_id, None, 60))
        await store.aclose()
        found = (await client.get(f"{path}/answers/1")).json()
        assert (found["status"], found["code"]) == ("failed", "interrupted")
        assert (await uploaded(client, path)).json()["answer"]["question"] == 1

    serve(scenario)


def test_a_gateway_that_is_stopped_says_so_of_an_upload_under_way(
    gateway: Any, tmp_path: Path
) -> None:
    gateway.transcriber = FakeTranscriber(Script(stall=True))
    paths = []

    async def story() -> None:
        base = f"http://127.0.0.1:{gateway.port}"
        async with httpx.AsyncClient(base_url=base, timeout=20) as client:
            path = await started(client)
            paths.append((await uploaded(client, path, 31)).headers["location"])

    gateway.run(story)

    async def afterwards() -> tuple[AnswerRecord, SessionOwner | None]:
        store = SqliteStore(tmp_path / "parley.sqlite3")
        session_id = paths[0].split("/")[3]
        entry = await store.get(f"answer:{session_id}:1")
        assert entry is not None
        record, _ = await load(store, session_id)
        await store.aclose()
        return AnswerRecord.model_validate_json(entry.value), record.worker

    upload, worker = asyncio.run(afterwards())
    assert (upload.status, upload.code, worker) == ("failed", "interrupted", None)


def test_an_upload_that_waits_for_live_voice_is_answered_like_a_long_recording(
    gateway: Any, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "WAIT_S", 0.2)
    gateway.transcriber = FakeTranscriber(Script(first_s=1.0), texts=(HEARD,))

    async def scenario(client: httpx.AsyncClient) -> None:
        path = await started(client)
        client.headers["idempotency-key"] = "one"
        taken = await uploaded(client, path)
        assert taken.status_code == 202
        again = await uploaded(client, path)
        assert (again.status_code, again.headers["location"]) == (202, taken.headers["location"])
        found = await settled(client, taken.headers["location"])
        assert (found["status"], found["text"]) == ("accepted", HEARD)

    serve(scenario)


# --- events ----------------------------------------------------------------------------------


class Events:
    """The events that a watching client has received."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines

    async def next(self) -> tuple[str, str, dict[str, Any]]:
        """The next event: its id, its name and its data."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(20):
            async for line in self._lines:
                if not line and "event" in fields:
                    return fields.get("id", ""), fields["event"], json.loads(fields["data"])
                name, _, value = line.partition(": ")
                fields[name] = value
        raise EOFError

    async def until_the_end(self) -> list[str]:
        names = []
        while True:
            try:
                names.append((await self.next())[1])
            except EOFError:
                return names


@asynccontextmanager
async def watched(client: httpx.AsyncClient, path: str, after: str = "") -> AsyncIterator[Events]:
    headers = {"last-event-id": after} if after else {}
    async with client.stream("GET", f"{path}/events", headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Events(answer.aiter_lines())


def test_a_watcher_sees_the_interview_to_its_end(serve: Serve) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        path = await started(client, evaluation="evaluate")
        async with watched(client, path) as events:
            await uploaded(client, path, 31)
            seen = [await events.next() for _ in range(3)]
            assert {name for _, name, _ in seen} == {"upload"}
            progress = [data["progress"] for _, _, data in seen]
            assert progress == sorted(progress)
            while (event := await events.next())[1] == "upload":
                pass
            event_id, name, data = event
            assert (name, data["via"], data["counted"]) == ("answer", "upload", True)
            assert (await events.next())[1] == "evaluation"
            await typed(client, path)
            assert await events.until_the_end() == [
                "answer",
                "evaluation",
                "completed",
            ]
        async with watched(client, path, after=event_id) as events:
            assert await events.until_the_end() == [
                "evaluation",
                "answer",
                "evaluation",
                "completed",
            ]
        async with watched(client, path) as events:
            assert await events.until_the_end() == ["completed"]

    serve(scenario)


def test_live_voice_and_deletion_are_seen_too(gateway: Any, serve: Serve) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        path = await made(client)
        async with watched(client, path) as events:
            async with gateway.call(path.rpartition("/")[2]):
                assert (await events.next())[1] == "interview"
            assert (await client.delete(path)).status_code == 204
            assert await events.until_the_end() == ["deleted"]
        assert code(await client.get(f"{path}/events")) == (404, "no_such_session")

    serve(scenario)


def test_a_silent_stream_shows_that_it_stands_and_learns_of_an_end_elsewhere(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(watching, "HEARTBEAT_S", 0.1)

    async def scenario(client: httpx.AsyncClient) -> None:
        path = await started(client)
        async with client.stream("GET", f"{path}/events") as answer:
            lines = answer.aiter_lines()
            async with asyncio.timeout(20):
                while await anext(lines) != ": still here":
                    pass
                store = SqliteStore(tmp_path / "parley.sqlite3")
                await store.erase(path.rpartition("/")[2])
                await store.aclose()
                assert "event: deleted" in [line async for line in lines]

    serve(scenario)


def test_a_watcher_does_not_delay_the_end_of_the_process(gateway: Any, serve: Serve) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        path = await started(client)
        async with watched(client, path) as events:
            await typed(client, path)
            assert (await events.next())[1] == "answer"
            gateway.app.state.runtime.drain()
            assert await events.until_the_end() == []

    serve(scenario)


def test_asking_for_sessions_that_are_not_there_drops_no_events(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rings, "MAX_RINGS", 40)

    async def scenario(client: httpx.AsyncClient) -> None:
        path = await started(client)
        async with watched(client, path) as events:
            await typed(client, path)
            (first, *_) = await events.next()
            await typed(client, path)
            (second, *_) = await events.next()
        for number in range(rings.MAX_RINGS):
            answer = await client.get(f"/api/sessions/none-{number}/events")
            assert code(answer) == (404, "no_such_session")
        async with watched(client, path, first) as events:
            assert (await events.next())[0] == second

    serve(scenario)


def test_a_head_request_for_a_stream_leaves_no_watcher(serve: Serve) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        path = await started(client)
        for _ in range(9):
            answer = await client.head(f"{path}/events")
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/event-stream")

    serve(scenario)


def test_only_so_many_watch_one_session(serve: Serve) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        path = await started(client)
        streams = [client.stream("GET", f"{path}/events") for _ in range(8)]
        for stream in streams:
            await stream.__aenter__()
        refused = await client.get(f"{path}/events")
        assert code(refused) == (503, "too_many_watchers")
        for stream in streams:
            await stream.__aexit__(None, None, None)
        async with asyncio.timeout(20):
            while True:  # the server notices in its own time
                async with client.stream("GET", f"{path}/events") as answer:
                    if answer.status_code == 200:
                        break
                await asyncio.sleep(0.05)

    serve(scenario)
