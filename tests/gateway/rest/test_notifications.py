"""`GET /api/notifications`: which events each client gets, from where on, and how many streams."""

import asyncio
import json
import time
from dataclasses import replace
from functools import partial
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from gateway.events import notifications as of_process
from gateway.events.event import EventDraft
from gateway.events.notifications import MOST_OF_ONE, PAGE, Notifications
from gateway.events.outbox import gateway_event, session_events
from gateway.events.viewers import EventViewer
from gateway.rest import notification_feed
from gateway.rest.event_stream import EventResponse
from gateway.rest.notification_feed import (
    LONGEST_S,
    End,
    FeedPiece,
    NotificationFeed,
    holds,
    lasts_s,
)
from gateway.rest.notifications import NotificationsQuery, position_of, sent_events, viewer_of
from gateway.rest.problems import Problem
from gateway.security import Access, ApiKeys, Grant
from gateway.security.roles import ClientRole
from gateway.security.stored_keys import create_key, revoke_key
from gateway.security.tickets import Ticket
from gateway.store import Entry, StoreUnavailable
from pipeline.testing import run_virtual
from tests.support.gateway import Gateway
from tests.support.memory_store import MemoryStore
from tests.support.notified import PATH, bearer, held, key, made, notified, told
from tests.support.rest import refused
from tests.support.rtvi import rtvi_client


@pytest.fixture
def closed(gateway: Gateway) -> Gateway:
    """A gateway whose clients have to say who they are."""
    gateway.settings |= {"access": "required", "api_keys": "a-key-of-ours"}
    return gateway


def test_what_happens_is_told_as_it_does_and_from_the_last_id_on(gateway: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        async with notified(client) as first:
            session_id, _ = await made(client)
            kinds = ["session.created", *await held(client, session_id)]
            events = [await first.next() for _ in kinds]
        assert [one["type"] for one in events] == kinds
        assert [one["number"] for one in events] == [*range(1, len(kinds) + 1)]
        assert {one["session_id"] for one in events} == {session_id}
        assert {*events[0]} == {
            *("position", "id", "type", "timestamp", "session_id", "number", "data")
        }
        last, rest = str(events[1]["position"]), [(session_id, kind) for kind in kinds[2:]]
        async with notified(client, **{"Last-Event-ID": last}) as again:
            assert await again.kinds(len(rest)) == rest
        async with notified(client, path=f"{PATH}?after={last}&session_id={session_id}") as again:
            assert await again.kinds(len(rest)) == rest
        # A browser that comes back by itself has the old URL, and the newer header.
        async with notified(client, path=f"{PATH}?after=0", **{"Last-Event-ID": last}) as again:
            assert await again.kinds(len(rest)) == rest
        async with notified(client, path=f"{PATH}?after=0") as again:
            assert await again.kinds(len(kinds)) == [(session_id, kind) for kind in kinds]
        assert (await client.delete(f"/api/sessions/{session_id}")).status_code == 204
        other, _ = await made(client)
        async with notified(client, path=f"{PATH}?after=0") as again:
            assert await again.kinds(1) == [(other, "session.created")]

    told(gateway, story)


@pytest.mark.slow
def test_each_client_is_told_of_the_sessions_that_it_may_see(
    closed: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notification_feed, "HEARTBEAT_S", 0.2)
    monkeypatch.setattr(of_process, "POLL_S", 0.02)

    async def story(client: httpx.AsyncClient) -> None:
        store = closed.app.state.runtime.store
        anna, bert = [await key(closed, "candidate") for _ in range(2)]
        carl, dora, root = [await key(closed, role) for role in ("interviewer", "service", "admin")]
        await store.commit(*session_events("old", [EventDraft("session.created")]))
        await store.commit(gateway_event(EventDraft("degraded"), time.time()))
        annas, _ = await made(client, anna)
        berts, its_pass = await made(client, bert)
        carls, _ = await made(client, carl)
        ours, _ = await made(client, "a-key-of-ours")
        everything = [annas, berts, carls, ours]
        for credential, query, expected in (
            (anna, "", [annas]),
            (anna, f"&session_id={annas}", [annas]),
            (bert, "", [berts]),
            (its_pass, "", [berts]),
            (carl, "", ["old", *everything]),
            (carl, "&mine=true", [carls]),
            (carl, f"&session_id={berts}", [berts]),
            ("a-key-of-ours", "", ["old", *everything]),
            ("a-key-of-ours", "&mine=true", [ours]),
            (dora, "&mine=true", []),
            (root, "", ["old", None, *everything]),
            (root, "&mine=true", []),
        ):
            async with notified(client, credential, f"{PATH}?after=0{query}") as stream:
                assert await stream.silent() == expected, query

    told(closed, story)


@pytest.mark.slow
def test_another_key_sees_nothing(closed: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notification_feed, "HEARTBEAT_S", 0.2)

    async def story(client: httpx.AsyncClient) -> None:
        anna, bert = [await key(closed, "candidate") for _ in range(2)]
        annas, _ = await made(client, anna)
        await held(client, annas, anna)
        async with notified(client, bert, f"{PATH}?after=0") as stream:
            lines = []
            async with asyncio.timeout(20):
                async for line in stream.lines:
                    lines.append(line)
                    if lines.count(": still here") == 3:
                        break
            assert {line.partition(":")[0] for line in lines} == {"", "id"}
        for asked in (annas, "nowhere"):
            answer = await client.get(f"{PATH}?session_id={asked}", headers=bearer(bert))
            assert refused(answer)[:2] == (404, "no_such_session")

    told(closed, story)


@pytest.mark.slow
def test_who_shows_nothing_that_holds_is_told_nothing(closed: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        interviewer = await key(closed, "interviewer")
        session_id, its_pass = await made(client, interviewer)
        wanted = {"session_id": session_id}
        answer = await client.post("/api/tickets", json=wanted, headers=bearer(interviewer))
        ticket = answer.json()["value"]
        answer = await client.post(
            f"/api/sessions/{session_id}/observers", json={}, headers=bearer(interviewer)
        )
        observer = answer.json()["access"]["value"]
        for credential in ("", "wrong", ticket, observer):
            answer = await client.get(PATH, headers=bearer(credential))
            assert refused(answer)[:2] == (401, "access_required"), credential
        other, _ = await made(client, interviewer)
        answer = await client.get(f"{PATH}?session_id={other}", headers=bearer(its_pass))
        assert refused(answer)[:2] == (404, "no_such_session")

    told(closed, story)


@pytest.mark.slow
def test_a_session_is_its_clients_however_it_begins(closed: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        anna, carl = await key(closed, "candidate"), await key(closed, "interviewer")
        ws = closed.url.replace("http", "ws")
        by_rest, _ = await made(client, anna)
        started = await client.post("/start", json={"transport": "websocket"}, headers=bearer(anna))
        by_start = started.json()["wsUrl"].rpartition("/")[2]
        for path in ("/ws/in-header", "/ws/in-hello"):
            shown = bearer(anna) if path.endswith("header") else {}
            hello = json.dumps({"type": "hello", "version": 1, "ticket": anna})
            async with connect(
                f"{ws}{path}", additional_headers=shown, close_timeout=0.1
            ) as socket:
                await socket.send(hello)
                assert '"ready"' in str(await socket.recv())
        async with rtvi_client(
            closed.port,
            "/ws-client/over-rtvi",
            additional_headers=bearer(anna),
            close_timeout=0.1,
        ) as talk:
            await talk.ready()
        annas = [by_rest, by_start, "in-header", "in-hello", "over-rtvi"]
        async with notified(client, anna, f"{PATH}?after=0") as stream:
            assert [session for session, _ in await stream.kinds(len(annas))] == annas
        body = {"session": {"type": "realtime", "model": "interview"}}
        path = "/v1/realtime/client_secrets"
        secret = (await client.post(path, json=body, headers=bearer(carl))).json()["value"]
        for number, credential in enumerate((carl, secret)):
            url = (
                f"{ws}/v1/realtime?model=interview&role=Data%20Analyst&session_id=realtime-{number}"
            )
            async with (
                connect(url, additional_headers=bearer(credential), close_timeout=0.1),
                notified(client, carl, f"{PATH}?after=0&mine=true") as stream,
            ):
                found = [session for session, _ in await stream.kinds(number + 1)]
                assert found == ["realtime-0", "realtime-1"][: number + 1]

    told(closed, story)


TICKET = Ticket("ticket:x", 1, "a", 2**40)

WRONG: list[tuple[str, str | None, tuple[int, str]]] = [
    ("", "3b0213d2-8", (400, "invalid_event_id")),  # of a session's own events
    ("", "-1", (400, "invalid_event_id")),
    ("", "9" * 400, (400, "invalid_event_id")),
    ("?after=0", "", (400, "invalid_event_id")),
    ("?after=-1", None, (400, "invalid_parameter")),
    ("?after=9007199254740993", None, (400, "invalid_parameter")),
    ("?after=x", None, (400, "invalid_parameter")),
    ("?after=1&after=2", None, (400, "invalid_parameter")),
    ("?mine=perhaps", None, (400, "invalid_parameter")),
    ("?session_id=a%20b", None, (400, "invalid_parameter")),
    ("?user=anna", None, (400, "invalid_parameter")),
    ("?session_id=nowhere", None, (404, "no_such_session")),
]


@pytest.mark.slow
def test_what_cannot_be_asked_for_is_refused(gateway: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        for query, header, expected in WRONG:
            headers = {} if header is None else {"last-event-id": header}
            answer = await client.get(f"{PATH}{query}", headers=headers)
            assert refused(answer)[:2] == expected, (query, header)

    told(gateway, story)


@pytest.mark.parametrize("given", ["٣", "1 ", "1.0", "0x1", "", "9007199254740993"])
def test_an_id_is_a_whole_number_in_plain_digits(given: str) -> None:
    with pytest.raises(Problem, match="id of the last event"):
        position_of(given)
    assert (position_of("0"), position_of("007"), position_of("9007199254740992")) == (0, 7, 2**53)


@pytest.mark.slow
def test_it_is_off_unless_the_operator_wants_it(gateway: Gateway) -> None:
    async def story() -> None:
        async with httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=20) as client:
            await made(client)
            assert refused(await client.get(PATH))[:2] == (404, "notifications_off")
            assert (await gateway.app.state.runtime.store.page("event", limit=1)).entries == ()

    gateway.run(story)


@pytest.mark.slow
def test_no_more_streams_are_open_than_may_be(
    closed: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_process, "MOST_STREAMS", MOST_OF_ONE + 1)

    async def story(client: httpx.AsyncClient) -> None:
        anna, bert = [await key(closed, "candidate") for _ in range(2)]

        async def asked(credential: str) -> httpx.Response:
            return await client.get(PATH, headers=bearer(credential))

        open_now = [notified(client, anna) for _ in range(MOST_OF_ONE)]
        for one in open_now:
            await one.__aenter__()
        answer = await asked(anna)
        assert refused(answer)[:2] == (429, "too_many_streams")
        assert answer.headers["retry-after"] == "10"
        async with notified(client, bert):
            answer = await asked(bert)
            assert refused(answer)[:2] == (503, "streams_full")
            assert answer.headers["retry-after"] == "10"
        for one in open_now:
            await one.__aexit__(None, None, None)
        assert (await client.head(PATH, headers=bearer(anna))).status_code == 200
        hub: Any = closed.app.state.runtime.notifications
        async with asyncio.timeout(20):
            while hub._streams or hub._of_one:
                await asyncio.sleep(0.01)

    told(closed, story)


@pytest.mark.slow
def test_a_stream_ends_in_an_orderly_way_with_the_process(gateway: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        async with notified(client) as stream:
            session_id, _ = await made(client)
            assert await stream.kinds(1) == [(session_id, "session.created")]
            gateway.app.state.runtime.drain()
            async with asyncio.timeout(20):
                assert [line async for line in stream.lines if line] == []
        answer = await client.get(PATH)
        assert refused(answer)[:2] == (503, "gateway_ends")
        assert answer.headers["retry-after"] == "10"

    told(gateway, story)


async def always() -> bool:
    return True


def test_a_silent_stream_tells_from_where_to_go_on_and_ends_with_its_time() -> None:
    async def main() -> None:
        now = asyncio.get_running_loop().time
        store = MemoryStore(now)
        await store.commit(*session_events("a", [EventDraft("session.created")], 0, "anna"))
        notifications = Notifications(store)
        async with notifications.running():
            stream = await notifications.open(EventViewer("bert"), "bert")
            began = now()
            feed = NotificationFeed(stream, always, 40.0)
            pieces = [piece async for piece in sent_events(feed)]
            assert now() - began == pytest.approx(40.0)
            here = b": still here\nid: 1\n\n"
            ready = b'id: 1\nevent: ready\ndata: {"type": "ready", "position": 1}\n\n'
            assert pieces == [b"retry: 3000\n\n" + ready, here, here, here]
            assert feed.end is End.TIME

    run_virtual(main())


def test_a_stream_lasts_an_hour_or_as_long_as_its_credential() -> None:
    store = MemoryStore(lambda: 0.0)

    async def exists(session_id: str) -> bool:
        return False

    access = Access(ApiKeys("a-key-of-ours"), store, exists, pass_s=60)
    assert lasts_s(access, None) == LONGEST_S
    assert lasts_s(access, Grant("d")) == LONGEST_S
    soon, past = int(time.time()) + 100, int(time.time()) - 100
    assert 90 < lasts_s(access, Grant("d", "a", expires_at=soon)) <= 100
    assert lasts_s(access, Grant("d", "a", expires_at=past)) == 0.0


def test_for_a_client_that_does_not_read_nothing_is_read_ahead() -> None:
    async def main() -> None:
        store = MemoryStore(asyncio.get_running_loop().time)
        many = [EventDraft("answer.accepted")] * (5 * PAGE)
        await store.commit(*session_events("a", many, 0, "anna"))
        notifications, reads, left = Notifications(store), asyncio.Event(), asyncio.Event()
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)
            if len(sent) > 2:  # beyond the head and the first piece
                await reads.wait()

        async def receive() -> Any:
            await left.wait()
            return {"type": "http.disconnect"}

        async with notifications.running():
            stream = await notifications.open(EventViewer("anna"), "anna", after=0)
            feed = NotificationFeed(stream, always, LONGEST_S)
            response = EventResponse(stream.close, sent_events(feed))
            serving = asyncio.create_task(response({"type": "http"}, receive, send))
            await asyncio.sleep(60)
            assert stream.position == PAGE
            left.set()  # its connection is aborted, as `gateway.transports.http` does
            await asyncio.wait([serving])
            assert notifications._streams == set()

    run_virtual(main())


def access_of(store: MemoryStore) -> Access:
    async def exists(session_id: str) -> bool:
        return False

    return Access(ApiKeys(), store, exists, pass_s=60, required=True)


def test_a_pass_sees_its_session_alone_and_others_what_their_role_lets_them() -> None:
    async def main() -> None:
        store = MemoryStore(asyncio.get_running_loop().time)
        access, query = access_of(store), NotificationsQuery()

        async def seen(grant: Grant | None, query: NotificationsQuery = query) -> EventViewer:
            return await viewer_of(store, access, grant, query)

        assert await seen(Grant("d", "a")) == EventViewer(
            "passes-of:a", everything=True, session_id="a", bound=True
        )
        assert await seen(Grant("d", owner="anna")) == EventViewer("anna")
        mine = NotificationsQuery(mine=True)
        carl = Grant("d", owner="carl", role=ClientRole.INTERVIEWER)
        assert await seen(carl, mine) == EventViewer("carl", everything=True, mine=True)
        assert await seen(None) == EventViewer("local", everything=True)

    run_virtual(main())


def test_a_stream_ends_soon_after_its_key_was_revoked_or_its_role_changed() -> None:
    async def main() -> None:
        now = asyncio.get_running_loop().time
        store = MemoryStore(now)
        access, notifications = access_of(store), Notifications(store)
        credential, stored = await create_key(store, "x", ClientRole.CANDIDATE, now=time.time())
        grant = await access.look(credential)
        assert grant is not None
        async with notifications.running():
            stream = await notifications.open(EventViewer(grant.identity), "x")
            still = partial(holds, access, store, grant, credential)
            feed = NotificationFeed(stream, still, LONGEST_S)
            assert await feed.next() == FeedPiece()
            began = now()
            await revoke_key(store, stored.id)
            # Something happens all the time: a stream that is never silent is looked at, too.
            busy = asyncio.create_task(happen(store, grant.identity))
            while (piece := await feed.next()) is not None:
                assert piece.events
            assert (feed.end, now() - began <= notification_feed.HEARTBEAT_S) == (
                End.CREDENTIAL,
                True,
            )
            busy.cancel()
            await asyncio.wait([busy])
            promoted = replace(grant, role=ClientRole.ADMIN)
            assert not await holds(access, store, promoted, credential)

    async def happen(store: MemoryStore, owner: str) -> None:
        for number in range(100):
            await store.commit(*session_events("a", [EventDraft("degraded")], number, owner))
            await asyncio.sleep(0.3)

    run_virtual(main())


def test_a_stream_goes_on_while_nobody_can_look_its_credential_up() -> None:
    class Failing(MemoryStore):
        async def get(self, key: str) -> Entry | None:
            raise StoreUnavailable("away")

    async def main() -> None:
        plain = MemoryStore(asyncio.get_running_loop().time)
        store = Failing(plain._clock, plain._tables)
        credential, stored = await create_key(plain, "x", ClientRole.CANDIDATE, now=time.time())
        of_ticket = Grant("d", "a", ticket=TICKET)
        away, back = access_of(store), access_of(plain)
        grant = await back.look(credential)
        assert await holds(away, store, grant, credential)
        assert await holds(away, store, of_ticket, "used")
        assert await holds(back, plain, grant, credential)
        await revoke_key(plain, stored.id)
        assert not await holds(back, plain, grant, credential)
        assert not await holds(back, plain, of_ticket, "used")  # its session does not exist
        assert await holds(back, plain, None, "")

    run_virtual(main())


def test_a_client_is_told_that_events_are_left_out() -> None:
    async def main() -> None:
        store = MemoryStore(asyncio.get_running_loop().time)
        notifications = Notifications(store)
        async with notifications.running():
            stream = await notifications.open(EventViewer("anna"), "anna", after=7)
            pieces = [piece async for piece in sent_events(NotificationFeed(stream, always, 10.0))]
        assert pieces[1] == b'id: 0\nevent: missed\ndata: {"type": "missed", "position": 0}\n\n'
        assert pieces[2] == b": still here\nid: 0\n\n"

    run_virtual(main())
