import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.interviews import sessions
from gateway.interviews.leases import renew
from gateway.interviews.sessions import NoSuchSession, SessionOwner
from gateway.interviews.written import WrittenInterviews
from gateway.providers.languages import Notice
from gateway.rest.sessions import session_operations
from gateway.store import SqliteStore
from stages.interview import InterviewConfig, start
from tests.support.rest import Rest, refused

Scenario = Callable[[httpx.AsyncClient, SqliteStore], Awaitable[None]]
Run = Callable[[Scenario], None]

WANTED = {"role": "Software Engineer"}

HERE = SessionOwner.here()


@pytest.fixture
def ended() -> list[str]:
    """Sessions that the process was asked to end."""
    return []


def lacking(language: str) -> list[Notice]:
    return [Notice("no_voice", "no voice here speaks German")] if language == "de" else []


@pytest.fixture
def run(rest: Rest, ended: list[str]) -> Run:
    def run(scenario: Scenario) -> None:
        async def end(session_id: str) -> None:
            with pytest.raises(NoSuchSession):  # a connection finds nothing that it could store
                await sessions.load(rest.store, session_id)
            ended.append(session_id)

        async def story(client: httpx.AsyncClient) -> None:
            await scenario(client, rest.store)

        rest.run(
            session_operations(
                rest.store, 60, end, WrittenInterviews(rest.store, HERE).is_live, lacking
            ),
            story,
        )

    return run


async def post(client: httpx.AsyncClient, body: Any) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await client.post(
        "/api/sessions", content=content, headers={"content-type": "application/json"}
    )


def test_a_session_is_made_with_the_defaults_and_stored(run: Run) -> None:
    async def scenario(client: httpx.AsyncClient, store: SqliteStore) -> None:
        answer = await post(client, WANTED)
        assert answer.status_code == 201
        body = answer.json()
        session_id = body["session_id"]
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", session_id)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", body.pop("created"))
        assert body == {
            "session_id": session_id,
            "ws_url": f"ws://parley:8009/ws/{session_id}",
            "role": "Software Engineer",
            "model": "auto",
            "totalQuestions": 5,
            "mode": "voice",
            "language": "en",
            "expires_in": 60,
            "notices": [],
        }
        assert answer.headers["location"] == f"/api/sessions/{session_id}"
        record, _ = await sessions.load(store, session_id)
        assert (record.role, record.total_questions, record.ttl_s) == ("Software Engineer", 5, 60)

    run(scenario)


def test_a_body_with_a_byte_order_mark_is_taken(run: Run) -> None:
    async def scenario(client: httpx.AsyncClient, store: SqliteStore) -> None:
        made = await post(client, b"\xef\xbb\xbf" + json.dumps(WANTED).encode())
        assert (made.status_code, made.json()["role"]) == (201, "Software Engineer")

    run(scenario)


def test_a_session_is_made_as_wanted_and_shown(run: Run) -> None:
    async def scenario(client: httpx.AsyncClient, store: SqliteStore) -> None:
        wanted = {
            "role": "data analyst",
            "model": "llama3.2:1b",
            "totalQuestions": 15,
            "mode": "text",
        }
        made = (await post(client, wanted)).json()
        shown = await client.get(f"/api/sessions/{made['session_id']}")
        assert shown.status_code == 200
        assert shown.json() == {
            "session_id": made["session_id"],
            "role": "Data Analyst",
            "model": "llama3.2:1b",
            "totalQuestions": 15,
            "mode": "text",
            "created": made["created"],
            "language": "en",
            "live": False,
            "finished": False,
            "version": 1,
            "interview": None,
            "recording": None,
        }

    run(scenario)


@pytest.mark.parametrize(
    ("asked", "language", "missing"),
    [
        ("de-DE", "de", ["no_voice"]),
        ("EN-us", "en", []),
        ("auto", "auto", []),
        (None, "en", []),
    ],
)
def test_a_session_has_a_language_and_says_what_it_lacks(
    run: Run, asked: str | None, language: str, missing: list[str]
) -> None:
    async def scenario(client: httpx.AsyncClient, store: SqliteStore) -> None:
        made = (await post(client, {**WANTED, "language": asked})).json()
        assert made["language"] == language
        assert [notice["code"] for notice in made["notices"]] == missing
        shown = await client.get(f"/api/sessions/{made['session_id']}")
        assert shown.json()["language"] == language
        record, _ = await sessions.load(store, made["session_id"])
        assert record.config.language == ("de" if language == "de" else "en")

    run(scenario)


def test_a_session_of_an_older_version_is_english(run: Run) -> None:
    async def scenario(client: httpx.AsyncClient, store: SqliteStore) -> None:
        config = InterviewConfig("Product Manager", "auto", 3)
        record, version = await sessions.create(
            store, config, mode="voice", ttl_s=60, session_id="a"
        )
        old = json.loads(record.model_dump_json())
        del old["language"]
        value = json.dumps(old).encode()
        await store.commit(replace(record.put(version), value=value))
        assert (await client.get("/api/sessions/a")).json()["language"] == "en"

    run(scenario)


def test_a_live_session_shows_how_far_its_interview_has_come(run: Run) -> None:
    async def scenario(client: httpx.AsyncClient, store: SqliteStore) -> None:
        config = InterviewConfig("Product Manager", "auto", 3)
        await sessions.create(store, config, mode="voice", ttl_s=60, session_id="a")
        record, version = await sessions.claim(store, "a", HERE)
        begun = record.with_interview(start(config).session.to_record())
        await sessions.save(store, begun, version)
        shown = (await client.get("/api/sessions/a")).json()
        assert shown["live"] is True
        assert shown["interview"] == {
            "currentQuestion": 1,
            "totalQuestions": 3,
            "isComplete": False,
        }

    run(scenario)


@pytest.mark.parametrize(
    ("worker", "leased", "live"),
    [
        (HERE, False, True),
        (SessionOwner(token="another"), True, True),
        (SessionOwner(token="killed"), False, False),
    ],
)
def test_a_session_is_live_as_long_as_its_worker_has_a_lease(
    run: Run, worker: SessionOwner, leased: bool, live: bool
) -> None:
    async def scenario(client: httpx.AsyncClient, store: SqliteStore) -> None:
        config = InterviewConfig("Product Manager", "auto", 3)
        await sessions.create(store, config, mode="voice", ttl_s=60, session_id="a")
        if leased:
            await renew(store, worker)
        await sessions.claim(store, "a", worker)
        assert (await client.get("/api/sessions/a")).json()["live"] is live

    run(scenario)


@pytest.mark.parametrize("session_id", ["missing", "a%00b", "x" * 65, "a.b"])
def test_an_id_without_a_session_is_not_found(run: Run, session_id: str) -> None:
    async def scenario(client: httpx.AsyncClient, store: SqliteStore) -> None:
        assert refused(await client.get(f"/api/sessions/{session_id}")) == (
            404,
            "no_such_session",
            "There is no session with this id",
        )
        assert refused(await client.delete(f"/api/sessions/{session_id}"))[0] == 404

    run(scenario)


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        ({"role": "Pirate"}, 400, "unknown_role", "Software Engineer, Product Manager"),
        ({**WANTED, "language": "xx"}, 400, "unknown_language", "'xx'; available: en, de, auto"),
        ({**WANTED, "language": "fr"}, 400, "unknown_language", "'fr'; available: en, de, auto"),
        ({**WANTED, "language": ""}, 400, "unknown_language", "available: en, de, auto"),
        ({**WANTED, "language": "en; DROP"}, 400, "unknown_language", "available: en, de, auto"),
        ({**WANTED, "language": "de" * 9_000}, 400, "unknown_language", "available: en, de, auto"),
        ({**WANTED, "language": 5}, 400, "invalid_field", "'language' is wrong"),
        ({**WANTED, "totalQuestions": 0}, 400, "invalid_count", "from 1 to 15, not 0"),
        ({**WANTED, "totalQuestions": 16}, 400, "invalid_count", "from 1 to 15, not 16"),
        ({**WANTED, "totalQuestions": "five"}, 400, "invalid_count", "not 'five'"),
        ({**WANTED, "totalQuestions": True}, 400, "invalid_count", "not True"),
        ({**WANTED, "totalQuestions": None}, 400, "invalid_count", "not None"),
        ({**WANTED, "voice": "slt"}, 400, "invalid_field", "Unknown field 'voice'; known are role"),
        ({}, 400, "invalid_field", "'role' is missing"),
        ({"role": 7}, 400, "invalid_field", "'role' is wrong: Input should be a valid string"),
        ({**WANTED, "mode": "mime"}, 400, "invalid_field", "'mode' is wrong"),
        ({**WANTED, "model": "a b\n"}, 400, "invalid_field", "'model' is wrong"),
        ({**WANTED, "role": "\ud800"}, 400, "invalid_json", "surrogate"),
        ({**WANTED, "\ud800": 1}, 400, "invalid_json", "half of a surrogate pair"),
        ([], 400, "invalid_json", "must be a JSON object"),
        (b'{"totalQuestions": 1e999}', 400, "invalid_json", "a number is too large"),
        ('{"role": "a"}'.encode("utf-16"), 400, "invalid_json", "not UTF-8"),
        (b'{"role": [' + b"1," * 5000 + b"1]}", 400, "invalid_json", "more than 5000 values"),
        (b"", 400, "invalid_json", "Expecting value at line 1, column 1"),
        (b'{"role": ', 400, "invalid_json", "Expecting value at line 1, column 10"),
        (b'{"role": "\xff"}', 400, "invalid_json", "not UTF-8"),
        (b'{"role": "a", "role": "b"}', 400, "invalid_json", "a key comes twice"),
        (b'{"totalQuestions": NaN}', 400, "invalid_json", "NaN is no JSON number"),
        (b'{"totalQuestions": ' + b"1" * 5000 + b"}", 400, "invalid_json", "not valid JSON"),
        (b'{"role":' + b"[" * 500 + b"]" * 500 + b"}", 400, "invalid_json", "nested deeper"),
        (b'{"role":' * 30_000, 413, "body_too_large", "65536 bytes"),
        (b"[" * 60_000, 400, "invalid_json", "nested deeper"),
        (b" " * 65_537, 413, "body_too_large", "65536 bytes"),
    ],
)
def test_what_cannot_be_taken_is_answered_with_a_code_and_the_reason(
    run: Run, body: Any, status: int, code: str, words: str
) -> None:
    async def scenario(client: httpx.AsyncClient, store: SqliteStore) -> None:
        found_status, found_code, message = refused(await post(client, body))
        assert (found_status, found_code) == (status, code)
        assert words in message

    run(scenario)


def test_a_body_at_the_limit_is_read(run: Run) -> None:
    async def scenario(client: httpx.AsyncClient, store: SqliteStore) -> None:
        body = json.dumps(WANTED).encode()
        assert (await post(client, body.ljust(65_536))).status_code == 201

    run(scenario)


def test_a_body_is_refused_before_all_of_it_has_come(run: Run) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b" " * 1024

    async def scenario(client: httpx.AsyncClient, store: SqliteStore) -> None:
        answer = await client.post(
            "/api/sessions", content=endless(), headers={"content-type": "application/json"}
        )
        assert refused(answer)[:2] == (413, "body_too_large")
        assert answer.headers["connection"] == "close"
        assert sent == 65

    run(scenario)


def test_a_body_that_another_sites_form_could_send_is_refused(run: Run) -> None:
    async def scenario(client: httpx.AsyncClient, store: SqliteStore) -> None:
        answer = await client.post(
            "/api/sessions", content=json.dumps(WANTED), headers={"content-type": "text/plain"}
        )
        assert refused(answer)[:2] == (415, "unsupported_media_type")

    run(scenario)


@pytest.mark.parametrize(
    ("scheme", "host", "expected"),
    [
        ("http", "localhost:8009", "ws://localhost:8009/ws/"),
        ("http", "[::1]:8000", "ws://[::1]:8000/ws/"),
        ("https", "interviews.example", "wss://interviews.example/ws/"),
    ],
)
def test_the_websocket_is_where_the_client_reached_the_server(
    run: Run, scheme: str, host: str, expected: str
) -> None:
    async def scenario(client: httpx.AsyncClient, store: SqliteStore) -> None:
        answer = await client.post(
            f"{scheme}://parley/api/sessions",
            json=WANTED,
            headers={
                "host": host,
                "x-forwarded-host": "evil.example",
                "x-forwarded-proto": "ftp",
                "forwarded": "host=evil.example",
            },
        )
        assert answer.json()["ws_url"] == expected + answer.json()["session_id"]

    run(scenario)


@pytest.mark.parametrize("host", ["", "a/b", "a@b", "a b", "x:y", '"'])
def test_a_host_header_that_is_no_host_is_refused(run: Run, host: str) -> None:
    async def scenario(client: httpx.AsyncClient, store: SqliteStore) -> None:
        answer = await client.post("/api/sessions", json=WANTED, headers={"host": host})
        assert refused(answer)[:2] == (400, "invalid_host")

    run(scenario)


def test_paths_and_methods_that_do_not_exist_are_answered_in_the_same_form(run: Run) -> None:
    async def scenario(client: httpx.AsyncClient, store: SqliteStore) -> None:
        assert refused(await client.get("/nowhere"))[:2] == (404, "not_found")
        answer = await client.put("/api/sessions")
        assert refused(answer)[:2] == (405, "method_not_allowed")
        assert answer.headers["allow"] == "GET, HEAD, POST"

    run(scenario)


def test_a_failing_store_is_reported_without_its_path(run: Run, tmp_path: Path) -> None:
    (tmp_path / "parley.sqlite3").write_bytes(b"not a database " * 300)

    async def scenario(client: httpx.AsyncClient, store: SqliteStore) -> None:
        answer = await post(client, WANTED)
        assert refused(answer)[:2] == (503, "store_unavailable")
        assert "sqlite" not in answer.text

    run(scenario)


def test_what_goes_wrong_inside_is_not_told(run: Run) -> None:
    async def scenario(client: httpx.AsyncClient, store: SqliteStore) -> None:
        await store.put("session:a", b"canary: not a record", expect=None)
        answer = await client.get("/api/sessions/a")
        assert refused(answer)[:2] == (500, "internal")
        assert "canary" not in answer.text

    run(scenario)


def test_a_deleted_session_is_gone_with_all_that_was_stored_of_it(
    run: Run, ended: list[str]
) -> None:
    async def scenario(client: httpx.AsyncClient, store: SqliteStore) -> None:
        keyed = {"idempotency-key": "k"}
        made = (await client.post("/api/sessions", json=WANTED, headers=keyed)).json()
        session_id = made["session_id"]
        await store.append(f"transcript:{session_id}", b"canary")
        answer = await client.delete(f"/api/sessions/{session_id}")
        assert (answer.status_code, answer.content) == (204, b"")
        assert ended == [session_id]
        assert await store.read(f"transcript:{session_id}") == []
        assert refused(await client.get(f"/api/sessions/{session_id}"))[0] == 404
        assert refused(await client.delete(f"/api/sessions/{session_id}"))[0] == 404
        again = await client.post("/api/sessions", json=WANTED, headers=keyed)
        assert again.json()["session_id"] != session_id  # the key was about it, too

    run(scenario)


def test_a_session_that_is_live_elsewhere_is_deleted_all_the_same(run: Run) -> None:
    async def scenario(client: httpx.AsyncClient, store: SqliteStore) -> None:
        config = InterviewConfig("Product Manager", "auto", 3)
        await sessions.create(store, config, mode="voice", ttl_s=60, session_id="a")
        await sessions.claim(store, "a", SessionOwner(token="t"))
        assert (await client.delete("/api/sessions/a")).status_code == 204
        assert await sessions.was_deleted(store, "a")

    run(scenario)


def test_sessions_are_listed_the_last_one_first_page_by_page(run: Run) -> None:
    async def scenario(client: httpx.AsyncClient, store: SqliteStore) -> None:
        assert (await client.get("/api/sessions")).json() == {"sessions": [], "next": None}
        made = [(await post(client, WANTED)).json() for _ in range(5)]
        expected = [one["session_id"] for one in reversed(made)]
        found, cursor, sizes = [], None, []
        while True:
            query = {"limit": "2"} | ({} if cursor is None else {"cursor": cursor})
            page = (await client.get("/api/sessions", params=query)).json()
            found += [one["session_id"] for one in page["sessions"]]
            sizes.append(len(page["sessions"]))
            if (cursor := page["next"]) is None:
                break
        assert (expected, [2, 2, 1]) == (found, sizes)
        everything = (await client.get("/api/sessions")).json()
        assert everything["next"] is None
        assert {
            key: made[4][key]
            for key in (
                "session_id",
                "role",
                "model",
                "totalQuestions",
                "mode",
                "created",
                "language",
            )
        } == everything["sessions"][0]

    run(scenario)


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "cursor=x", "cursor=-1", "page=2"])
def test_a_page_that_cannot_be_is_refused(run: Run, query: str) -> None:
    async def scenario(client: httpx.AsyncClient, store: SqliteStore) -> None:
        assert refused(await client.get(f"/api/sessions?{query}"))[:2] == (400, "invalid_parameter")

    run(scenario)


def test_a_session_is_made_once_for_one_key(run: Run) -> None:
    async def scenario(client: httpx.AsyncClient, store: SqliteStore) -> None:
        headers = {"idempotency-key": "6f1c"}
        answers = [
            await client.post("/api/sessions", json=WANTED, headers=headers) for _ in range(2)
        ]
        assert [answer.status_code for answer in answers] == [201, 201]
        assert answers[0].json() == answers[1].json()
        assert len((await client.get("/api/sessions")).json()["sessions"]) == 1

    run(scenario)


def test_a_body_that_breaks_off_is_no_failure_of_the_server(run: Run) -> None:
    async def scenario(client: httpx.AsyncClient, store: SqliteStore) -> None:
        messages = [
            {"type": "http.request", "body": b'{"role":', "more_body": True},
            {"type": "http.disconnect"},
        ]
        answers: list[Any] = []

        async def receive() -> Any:
            return messages.pop(0)

        async def send(message: Any) -> None:
            answers.append(message)

        transport = client._transport
        assert isinstance(transport, httpx.ASGITransport)
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/api/sessions",
            "headers": [(b"host", b"parley"), (b"content-type", b"application/json")],
            "query_string": b"",
            "scheme": "http",
        }
        await transport.app(scope, receive, send)
        assert answers[0]["status"] == 400
        assert json.loads(answers[1]["body"])["code"] == "incomplete_body"

    run(scenario)
