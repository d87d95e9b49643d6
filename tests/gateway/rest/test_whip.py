"""WHIP and WHEP over HTTP (RFC 9725 and its draft): offers that nobody stands behind."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.interviews import sessions
from gateway.live.audience import MOST_LISTENERS
from stages.interview import InterviewConfig
from tests.support.rest import refused
from tests.support.webrtc import Doorway
from tests.support.whip import FRAGMENT, SDP, SECURITY, offered, section, sound

pytestmark = pytest.mark.slow

SPOKEN = offered(sound("sendonly"))
HEARD = offered(sound("recvonly"))
VP8 = "VP8/90000"
KEY = "a-key-of-at-least-16-letters"


@pytest.fixture
def doorway(tmp_path: Path) -> Doorway:
    return Doorway(tmp_path)


def told(doorway: Doorway, story: Callable[[httpx.AsyncClient], Awaitable[None]]) -> None:
    async def main() -> None:
        client = httpx.AsyncClient(base_url=doorway.url, trust_env=False, timeout=20)
        async with client:
            await story(client)

    doorway.run(main)


def ports(answer: str) -> list[tuple[str, bool]]:
    """The kinds of the answer's sections, and whether each is rejected."""
    found = [line.split()[:2] for line in answer.splitlines() if line.startswith("m=")]
    return [(kind[2:], port == "0") for kind, port in found]


def test_an_encoder_connects_trickles_and_hangs_up(doorway: Doorway) -> None:
    doorway.settings["ice_servers"] = ""

    async def story(client: httpx.AsyncClient) -> None:
        made = await client.post("/whip/x", content=SPOKEN, headers=SDP)
        assert (made.status_code, made.headers["content-type"]) == (201, "application/sdp")
        where, etag = made.headers["location"], made.headers["etag"]
        assert re.fullmatch(r"/whip/x/[\w-]+", where)
        assert re.fullmatch(r'"[0-9a-f]{16}"', etag)
        assert made.headers["accept-patch"] == "application/trickle-ice-sdpfrag"
        assert "a=recvonly" in made.text
        assert "a=setup:passive" in made.text
        assert "typ host" in made.text
        known = FRAGMENT | {"if-match": etag}
        added = "a=ice-ufrag:abcd\r\na=candidate:1 1 udp 1 127.0.0.1 50000 typ host\r\n"
        done = await client.patch(where, content=added, headers=known)
        assert (done.status_code, done.content, "etag" in done.headers) == (204, b"", False)
        twice = FRAGMENT | {"if-match": f'"other", {etag}'}
        assert (await client.patch(where, content=added, headers=twice)).status_code == 204
        for headers, wanted in (
            (FRAGMENT, (428, "version_required")),
            (FRAGMENT | {"if-match": '"other"'}, (412, "version_passed")),
            (SDP | {"if-match": etag}, (415, "unsupported_media_type")),
        ):
            answer = await client.patch(where, content=added, headers=headers)
            assert refused(answer)[:2] == wanted
        restart = "a=ice-ufrag:other\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n"
        anew = await client.patch(where, content=restart, headers=FRAGMENT | {"if-match": "*"})
        assert refused(anew)[:2] == (422, "unusable_offer")
        odd = await client.patch(where, content="nothing", headers=known)
        assert refused(odd)[:2] == (400, "invalid_offer")
        assert (await client.get(where)).status_code == 204
        bye = await client.delete(where, headers={"if-match": '"other"'})
        assert (bye.status_code, bye.content) == (200, b"")
        for method in ("PATCH", "DELETE", "GET"):
            gone = await client.request(method, where, headers=known)
            assert refused(gone)[:2] == (404, "no_such_peer")

    told(doorway, story)


@pytest.mark.parametrize("path", ["/whip/x", "/whep/x"])
def test_what_an_endpoint_takes_is_said(doorway: Doorway, path: str) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        options = await client.options(path)
        assert (options.status_code, options.headers["accept-post"]) == (204, "application/sdp")
        asked = {"origin": "http://localhost:3000", "access-control-request-method": "PATCH"}
        asked["access-control-request-headers"] = "authorization,content-type,if-match"
        preflight = await client.options(f"{path}/peer", headers=asked)
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == asked["origin"]
        probe = await client.head(path)
        told = (probe.status_code, probe.headers.get("content-type"))
        assert told == ((200, "application/sdp") if "whep" in path else (204, None))
        put = await client.put(path, content=SPOKEN, headers=SDP)
        assert refused(put)[:2] == (405, "method_not_allowed")
        assert put.headers["allow"] == "GET, HEAD, OPTIONS, POST"

    told(doorway, story)


@pytest.mark.parametrize(
    ("offer", "headers", "wanted"),
    [
        (SPOKEN, {"content-type": "text/plain"}, (415, "unsupported_media_type")),
        (SPOKEN, SDP | {"accept": "text/html"}, (406, "not_acceptable")),
        ("v=0\r\n", SDP, (400, "invalid_offer")),
        (b"\xff\xfe", SDP, (400, "invalid_offer")),
        (SPOKEN.replace("a=ice-pwd", "a=x-pwd"), SDP, (400, "invalid_offer")),
        ("v" * 20_000, SDP, (413, "body_too_large")),
        (HEARD, SDP, (422, "unusable_offer")),
        (offered(sound("inactive")), SDP, (422, "unusable_offer")),
        (SPOKEN.replace("opus", "G722"), SDP, (422, "unusable_offer")),
        (offered(section("video", "0", "sendonly", "VP8/90000")), SDP, (422, "unusable_offer")),
        (offered(sound("sendonly"), sound("sendonly", "1")), SDP, (422, "unusable_offer")),
        (
            offered(*(sound("sendonly", str(number)) for number in range(30))),
            SDP,
            (422, "unusable_offer"),
        ),
    ],
    ids=[
        *("type", "accept", "short", "binary", "password", "long", "receives", "inactive"),
        *("codec", "no audio", "two voices", "30 sections"),
    ],
)
def test_an_offer_to_speak_that_cannot_be_answered(
    doorway: Doorway, offer: Any, headers: dict[str, str], wanted: tuple[int, str]
) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        answer = await client.post("/whip/x", content=offer, headers=headers)
        assert refused(answer)[:2] == wanted
        assert doorway.app.state.runtime.live.connections == 0
        assert len(doorway.peers()) == 0

    told(doorway, story)


HIDDEN = (404, "no_such_session")


@pytest.mark.parametrize(
    ("way", "offer", "wanted"),
    [
        ("whip", SPOKEN, [HIDDEN, HIDDEN, (400, "invalid_offer")]),
        ("whep", HEARD, [HIDDEN, (401, "access_required"), (409, "not_live")]),
    ],
    ids=["whip", "whep"],
)
def test_who_has_another_session_neither_speaks_nor_listens(
    doorway: Doorway, way: str, offer: str, wanted: list[tuple[int, str]]
) -> None:
    """The last of the credentials is of this session: it opens it, but the rest is missing."""
    doorway.settings["api_keys"] = KEY

    async def story(client: httpx.AsyncClient) -> None:
        key = {"authorization": f"Bearer {KEY}"}
        new = {"role": "Data Analyst", "totalQuestions": 3}
        mine, others = [
            (await client.post("/api/sessions", json=new, headers=key)).json() for _ in range(2)
        ]
        client.cookies.clear()
        asked = {"session_id": others["session_id"]}
        ticket = (await client.post("/api/tickets", json=asked, headers=key)).json()["value"]
        found = []
        for held, sdp in (
            (others["access"]["value"], offer),
            (ticket, offer),
            (mine["access"]["value"], "v=0"),
        ):
            headers = {**SDP, "authorization": f"Bearer {held}"}
            path = f"/{way}/{mine['session_id']}"
            answer = await client.post(path, content=sdp, headers=headers)
            found.append(refused(answer)[:2])
        assert found == wanted
        assert len(doorway.peers()) == 0

    told(doorway, story)


@pytest.mark.parametrize("direction", ["sendonly", "sendrecv"])
@pytest.mark.parametrize("codec", ["H264/90000", "VP8/90000", "AV1/90000", ""])
def test_the_picture_of_an_encoder_is_rejected_alone(
    doorway: Doorway, direction: str, codec: str
) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        video = section("video", "v", direction, *filter(None, [codec]))
        offer = offered(sound(direction), video)
        made = await client.post("/whip/x", content=offer, headers=SDP)
        assert made.status_code == 201, made.text
        assert ports(made.text) == [("audio", False), ("video", True)]
        assert "a=group:BUNDLE 0\r\n" in made.text
        assert made.text.count("a=recvonly") == 1
        await client.delete(made.headers["location"])

    told(doorway, story)


@pytest.mark.parametrize(("codec", "rejected"), [("VP8/90000", False), ("AV1/90000", True)])
def test_a_picture_that_comes_first_stays_for_the_sake_of_its_transport(
    doorway: Doorway, codec: str, rejected: bool
) -> None:
    """GStreamer's encoder has the bundle's transport there, and takes no other."""

    async def story(client: httpx.AsyncClient) -> None:
        offer = offered(section("video", "v", "sendonly", codec), sound("sendonly"))
        made = await client.post("/whip/x", content=offer, headers=SDP)
        assert made.status_code == 201, made.text
        assert ports(made.text) == [("video", rejected), ("audio", False)]
        picture, _, voice = made.text.partition("m=audio")
        assert "a=inactive" in picture
        assert "a=recvonly" in voice
        await client.delete(made.headers["location"])

    told(doorway, story)


# --- listening -------------------------------------------------------------------------------


def test_a_listener_who_comes_too_early_or_too_late_is_told_so(doorway: Doorway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        unknown = await client.post("/whep/x", content=HEARD, headers=SDP)
        assert refused(unknown)[:2] == (404, "no_such_session")
        store = doorway.app.state.runtime.store
        config = InterviewConfig("Data Analyst", "auto", 1)
        record, version = await sessions.create(
            store, config, mode="voice", ttl_s=60, session_id="x"
        )
        early = await client.post("/whep/x", content=HEARD, headers=SDP)
        assert refused(early)[:2] == (409, "not_live")
        assert early.headers["retry-after"] == "5"
        await sessions.save(store, record.model_copy(update={"finished": True}), version)
        late = await client.post("/whep/x", content=HEARD, headers=SDP)
        assert refused(late)[:2] == (409, "session_over")
        assert "retry-after" not in late.headers

    told(doorway, story)


def test_so_many_may_listen_and_none_of_them_is_the_client(doorway: Doorway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        async with doorway.call("x") as caller:
            await caller.until("ready")
            where = []
            for _ in range(MOST_LISTENERS):
                made = await client.post("/whep/x", content=HEARD, headers=SDP)
                assert made.status_code == 201, made.text
                assert "a=sendonly" in made.text
                where.append(made.headers["location"])
            full = await client.post("/whep/x", content=HEARD, headers=SDP)
            assert refused(full)[:2] == (503, "no_place")
            assert full.headers["retry-after"] == "5"
            assert doorway.app.state.runtime.live.connections == 1
            peer = where[0].rpartition("/")[2]
            for shape in ("webrtc", "whip"):
                other = await client.delete(f"/{shape}/x/{peer}")
                assert refused(other)[:2] == (404, "no_such_peer")
            assert (await client.delete(where[0])).status_code == 200
            for one in where[1:]:
                assert (await client.get(one)).status_code == 204
            await caller.until("reply.done", turn=0)
            await caller.speak()
            await caller.until("reply.done", turn=1)

    told(doorway, story)


def test_the_person_who_listens_takes_no_observers_place_and_is_not_refused_for_the_load(
    doorway: Doorway,
) -> None:
    doorway.settings["api_keys"] = KEY

    async def story(client: httpx.AsyncClient) -> None:
        live = doorway.app.state.runtime.live
        key = {"authorization": f"Bearer {KEY}"}
        async with doorway.call("x", additional_headers=key) as caller:
            await caller.until("ready")

            async def credential(kind: str) -> dict[str, str]:
                made = await client.post(f"/api/sessions/x/{kind}", json={}, headers=key)
                return SDP | {"authorization": f"Bearer {made.json()['access']['value']}"}

            observer, person = await credential("observers"), await credential("pass")
            for _ in range(MOST_LISTENERS):
                made = await client.post("/whep/x", content=HEARD, headers=observer)
                assert made.status_code == 201, made.text
            live.pressed = lambda kind: "the load is too high"
            mine = await client.post("/whep/x", content=HEARD, headers=person)
            assert mine.status_code == 201, mine.text
            again = await client.post("/whep/x", content=HEARD, headers=person)
            assert again.status_code == 201, again.text
            for who in (observer, SDP | key):
                refused_ = await client.post("/whep/x", content=HEARD, headers=who)
                assert refused(refused_)[:2] == (503, "no_place")
            async with asyncio.timeout(10):
                while (await client.get(mine.headers["location"], headers=person)).is_success:
                    await asyncio.sleep(0.02)
            kept = await client.get(again.headers["location"], headers=person)
            assert kept.status_code == 204
            assert len(live.audience("x")) == MOST_LISTENERS + 1

    told(doorway, story)


def test_without_keys_the_first_who_listens_to_an_encoder_is_its_person(doorway: Doorway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        async with doorway.call("x") as caller:
            await caller.until("ready")
            spoken = await client.post("/whip/x", content=SPOKEN, headers=SDP)
            assert spoken.status_code == 201
            for _ in range(1 + MOST_LISTENERS):
                made = await client.post("/whep/x", content=HEARD, headers=SDP)
                assert made.status_code == 201, made.text
            full = await client.post("/whep/x", content=HEARD, headers=SDP)
            assert refused(full)[:2] == (503, "no_place")

    told(doorway, story)


def test_a_listener_names_the_voices_that_it_wants(doorway: Doorway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        async with doorway.call("x") as caller:
            await caller.until("ready")
            for voices, status in (("both", 201), ("interviewer", 201), ("candidate", 400)):
                asked = f"/whep/x?voices={voices}"
                made = await client.post(asked, content=HEARD, headers=SDP)
                assert made.status_code == status, made.text
            assert refused(made)[:2] == (400, "invalid_parameter")

    told(doorway, story)


def test_those_who_come_at_once_do_not_pass_the_limit_of_the_process(doorway: Doorway) -> None:
    doorway.settings["max_sessions"] = 2

    async def story(client: httpx.AsyncClient) -> None:
        async with doorway.call("x") as caller:
            await caller.until("ready")
            asked = (client.post("/whep/x", content=HEARD, headers=SDP) for _ in range(4))
            answers = await asyncio.gather(*asked)
            assert sorted(answer.status_code for answer in answers) == [201, 201, 503, 503]
            made = next(answer for answer in answers if answer.is_success)
            assert (await client.delete(made.headers["location"])).status_code == 200
            async with asyncio.timeout(10):
                while len(doorway.peers()) > 1:
                    await asyncio.sleep(0.02)
            again = await client.post("/whep/x", content=HEARD, headers=SDP)
            assert again.status_code == 201, again.text

    told(doorway, story)


@pytest.mark.parametrize(
    ("offer", "wanted"),
    [
        (SPOKEN, (422, "unusable_offer")),
        (offered(sound("inactive")), (422, "unusable_offer")),
        (HEARD.replace("opus", "PCMU"), (422, "unusable_offer")),
        ("v=0", (400, "invalid_offer")),
        (
            offered(*(sound("recvonly", str(number)) for number in range(30))),
            (422, "unusable_offer"),
        ),
    ],
    ids=["speaks", "inactive", "codec", "short", "30 sections"],
)
def test_an_offer_to_listen_that_cannot_be_answered_takes_no_place(
    doorway: Doorway, offer: str, wanted: tuple[int, str]
) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        async with doorway.call("x") as caller:
            await caller.until("ready")
            for _ in range(MOST_LISTENERS + 1):
                answer = await client.post("/whep/x", content=offer, headers=SDP)
                assert refused(answer)[:2] == wanted
            assert len(doorway.app.state.runtime.live.audience("x")) == 0

    told(doorway, story)


def test_what_a_listener_offers_beside_sound_is_answered_or_rejected_alone(
    doorway: Doorway,
) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        async with doorway.call("x") as caller:
            await caller.until("ready")
            channel = [
                "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
                "a=mid:d",
                "a=sctp-port:5000",
                *SECURITY,
            ]
            odd = section("video", "v", "recvonly", "VP9/90000")
            for codec, rejected in ((odd, True), (section("video", "v", "recvonly", VP8), False)):
                offer = offered(sound("sendrecv"), codec, channel)
                made = await client.post("/whep/x", content=offer, headers=SDP)
                assert made.status_code == 201, made.text
                assert ports(made.text) == [
                    ("audio", False),
                    ("video", rejected),
                    ("application", True),
                ]
                assert "a=recvonly" not in made.text
                assert "a=sendrecv" not in made.text

    told(doorway, story)
