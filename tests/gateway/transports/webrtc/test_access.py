"""WebRTC where keys are set: with a ticket, a pass or WebRTC's own token."""

import asyncio

import httpx
import pytest

from tests.support.webrtc import Browser, Doorway, emptied

KEY = "a-key-of-ours"
TOKEN = "a-token-for-webrtc"
CALLS = "/v1/realtime/calls?model=interview"
SDP = {"content-type": "application/sdp"}


@pytest.fixture
def locked(doorway: Doorway) -> Doorway:
    doorway.settings |= {"api_keys": KEY, "webrtc_token": TOKEN}
    return doorway


def bearer(value: str) -> dict[str, str]:
    return {"authorization": f"Bearer {value}"}


async def ticket_for(doorway: Doorway, session_id: str | None = None) -> str:
    access = doorway.app.state.runtime.access
    return (await access.ticket(session_id, 60)).value  # type: ignore[no-any-return]


def test_a_ticket_makes_one_connection_and_holds_for_it(locked: Doorway) -> None:
    async def story() -> None:
        browser = Browser(locked)
        offer = await browser.offer()
        ticket = await ticket_for(locked)
        async with httpx.AsyncClient(base_url=locked.url, trust_env=False, timeout=30) as client:
            made = await client.post("/webrtc/a", content=offer, headers=SDP | bearer(ticket))
            assert made.status_code == 201
            where = made.headers["location"]
            again = await client.post("/webrtc/b", content=offer, headers=SDP | bearer(ticket))
            assert (again.status_code, again.json()["code"]) == (401, "access_required")
            for other in ({}, bearer(await ticket_for(locked, "b")), bearer("wrong-key")):
                gone = await client.delete(where, headers=other)
                assert gone.status_code in (401, 404)
            assert (await client.get(where, headers=bearer(ticket))).status_code == 204
            assert (await client.delete(where, headers=bearer(ticket))).status_code == 200
        await browser.close()

    locked.run(story)


def test_the_json_form_takes_a_ticket_for_the_session_that_it_names(locked: Doorway) -> None:
    locked.settings["limit_key"] = "50/h"

    async def story() -> None:
        browser = Browser(locked)
        body = {"sdp": await browser.offer(), "type": "offer", "session_id": "a"}
        async with httpx.AsyncClient(base_url=locked.url, trust_env=False, timeout=30) as client:
            for_another = bearer(await ticket_for(locked, "b"))
            wrong = await client.post("/api/offer", json=body, headers=for_another)
            assert (wrong.status_code, wrong.json()["code"]) == (404, "no_such_session")
            right = bearer(await ticket_for(locked, "a"))
            made = await client.post("/api/offer", json=body, headers=right)
            assert (made.status_code, made.json()["session_id"]) == (200, "a")
            held = bearer((await locked.app.state.runtime.access.session_pass("a")).value)
            where = f"/webrtc/a/{made.json()['pc_id']}"
            # What a ticket has made counts as its session's passes do, also when it is used.
            asked = [await client.get(where, headers=one) for one in (right, held)]
            left = [one.headers["ratelimit"].partition(";t=")[0] for one in (made, *asked)]
            assert left == ['"key";r=49', '"key";r=48', '"key";r=47']
            assert (await client.delete(where, headers=held)).status_code == 200
        await browser.close()

    locked.run(story)


def test_an_offer_that_is_refused_uses_no_ticket(locked: Doorway) -> None:
    async def story() -> None:
        browser = Browser(locked)
        offer = await browser.offer()
        named = {"type": "offer", "session_id": "a"}
        async with httpx.AsyncClient(base_url=locked.url, trust_env=False, timeout=30) as client:
            ticket = bearer(await ticket_for(locked, "a"))
            bad = await client.post("/webrtc/a", content="v=0", headers=SDP | ticket)
            assert (bad.status_code, bad.json()["code"]) == (400, "invalid_offer")
            bad = await client.post("/api/offer", json={"sdp": "v=0", **named}, headers=ticket)
            assert (bad.status_code, bad.json()["code"]) == (400, "invalid_offer")
            wrong = await client.post("/webrtc/b", content="v=0", headers=SDP | ticket)
            assert (wrong.status_code, wrong.json()["code"]) == (404, "no_such_session")
            made = await client.post("/webrtc/a", content=offer, headers=SDP | ticket)
            assert made.status_code == 201
            assert locked.app.state.runtime.live.connections == 1
            assert (await client.delete(made.headers["location"], headers=ticket)).is_success
        await browser.close()

    locked.run(story)


@pytest.mark.slow
def test_of_two_offers_with_one_ticket_one_is_answered(locked: Doorway) -> None:
    async def story() -> None:
        browser = Browser(locked)
        offer = await browser.offer()
        async with httpx.AsyncClient(base_url=locked.url, trust_env=False, timeout=30) as client:
            ticket = SDP | bearer(await ticket_for(locked, "a"))
            posts = [client.post("/webrtc/a", content=offer, headers=ticket) for _ in range(2)]
            answers = await asyncio.gather(*posts)
            assert sorted(each.status_code for each in answers) == [201, 401]
            async with asyncio.timeout(10):
                while locked.app.state.runtime.live.connections > 1:
                    await asyncio.sleep(0.01)
        await browser.close()

    locked.run(story)


@pytest.mark.slow
def test_a_call_ends_when_its_ticket_says(locked: Doorway) -> None:
    async def story() -> None:
        browser = Browser(locked)
        ticket = (await locked.app.state.runtime.access.ticket("a", 60, 2)).value
        browser.credential = bearer(ticket)
        await browser.connect("a")
        error = await browser.until("error", fatal=True)
        assert error["code"] == "session_expired"
        await emptied(locked)
        await browser.close()

    locked.run(story)


def test_webrtcs_token_opens_webrtc_and_nothing_else(locked: Doorway) -> None:
    async def story() -> None:
        async with httpx.AsyncClient(base_url=locked.url, trust_env=False, timeout=30) as client:
            offered = await client.post("/webrtc/a", content="v=0", headers=SDP | bearer(TOKEN))
            assert (offered.status_code, offered.json()["code"]) == (400, "invalid_offer")
            listed = await client.get("/api/sessions", headers=bearer(TOKEN))
            assert listed.status_code == 401

    locked.run(story)


@pytest.mark.parametrize("path", [CALLS, "/webrtc/b"])
def test_the_places_of_an_address_count_for_every_kind_of_call(doorway: Doorway, path: str) -> None:
    doorway.settings |= {"per_address": 1}

    async def story() -> None:
        browser = Browser(doorway)
        offer = await browser.offer()
        async with httpx.AsyncClient(base_url=doorway.url, trust_env=False, timeout=30) as client:
            made = await client.post(CALLS, content=offer, headers=SDP)
            assert made.status_code == 201
            again = await client.post(path, content=offer, headers=SDP)
            assert again.status_code == 503
            assert "this address has all of its 1 places" in again.text
            call = made.headers["location"]
            assert (await client.post(f"{call}/hangup")).status_code == 200
        await browser.close()

    doorway.run(story)
