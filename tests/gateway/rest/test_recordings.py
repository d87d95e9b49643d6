"""Recording with consent over HTTP, against a real server: kept, listed, played, taken back."""

import asyncio
import base64
import io
import re
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile

from gateway.rest import recordings
from stages.fakes import FakeTranscriber
from tests.support.interviews import code, made, recording, started, typed, uploaded

pytestmark = pytest.mark.slow  # recordings are made and recognised

Scenario = Callable[[httpx.AsyncClient], Awaitable[None]]
Serve = Callable[[Scenario], None]

CONSENT = {"consent": True, "by": "Ada <Lovelace>"}
MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


@pytest.fixture
def serve(gateway: Any) -> Serve:
    gateway.settings["recording"] = "allowed"

    def serve(scenario: Scenario) -> None:
        async def story() -> None:
            base = f"http://127.0.0.1:{gateway.port}"
            async with httpx.AsyncClient(base_url=base, timeout=20) as client:
                await scenario(client)

        gateway.run(story)

    return serve


async def recorded(client: httpx.AsyncClient, path: str, count: int = 1) -> list[dict[str, Any]]:
    """The session's recordings, once there are so many."""
    while True:
        found: list[dict[str, Any]] = (await client.get(f"{path}/recordings")).json()["recordings"]
        if len(found) == count:
            return found
        await asyncio.sleep(0.01)


async def with_one(client: httpx.AsyncClient, **wanted: Any) -> tuple[str, str]:
    """A session with a recorded answer: its path, and the recording's."""
    path = await started(client, recording=CONSENT, **wanted)
    await uploaded(client, path, 2.0)
    (shown,) = await recorded(client, path)
    return path, shown["url"]


def samples(file: bytes) -> tuple[Any, int]:
    pcm, rate_hz = soundfile.read(io.BytesIO(file), dtype="int16")
    return pcm, rate_hz


# --- consent -----------------------------------------------------------------------------------


def test_consent_is_refused_where_the_operator_allows_no_recording(
    gateway: Any, serve: Serve
) -> None:
    gateway.settings["recording"] = "off"

    async def scenario(client: httpx.AsyncClient) -> None:
        wanted = {"role": "Software Engineer", "recording": CONSENT}
        answer = await client.post("/api/sessions", json=wanted)
        assert code(answer) == (409, "recording_not_allowed")
        wanted["recording"] = {"consent": False, "by": "Ada"}
        assert (await client.post("/api/sessions", json=wanted)).status_code == 201

    serve(scenario)


@pytest.mark.parametrize(
    "wrong",
    [{"consent": True}, {"consent": True, "by": "  "}, {"consent": "perhaps", "by": "Ada"}, True],
)
def test_consent_without_a_name_is_no_consent(serve: Serve, wrong: Any) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        wanted = {"role": "Software Engineer", "recording": wrong}
        answer = await client.post("/api/sessions", json=wanted)
        assert code(answer) == (400, "invalid_field")

    serve(scenario)


def test_without_consent_nothing_is_recorded(serve: Serve) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        path = await started(client)
        await uploaded(client, path)
        assert (await client.get(path)).json()["recording"] is None
        assert (await client.get(f"{path}/recordings")).json() == {
            "consent": None,
            "recordings": [],
        }
        assert code(await client.get(f"{path}/recordings/1")) == (404, "no_such_recording")
        assert (await client.get(f"{path}/report")).json()["recording"] is None
        assert "media-src" not in (await client.get(f"{path}/report?format=html")).text
        assert (await client.delete(f"{path}/recordings")).status_code == 204
        assert (await client.get(path)).json()["recording"] is None

    serve(scenario)


# --- recordings --------------------------------------------------------------------------------


def test_with_consent_uploads_and_spoken_answers_are_recorded(gateway: Any, serve: Serve) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        path = await started(client, recording=CONSENT)
        await uploaded(client, path, 2.0)
        async with gateway.call(path.rpartition("/")[2]) as caller:
            await caller.until("reply.done", turn=0)
            await caller.speak(ms=600)
            await caller.until("interview", isComplete=True)
        sent, spoken = await recorded(client, path, 2)
        assert (sent["number"], sent["answer"], sent["duration_ms"]) == (1, 1, 2000)
        assert (spoken["number"], spoken["answer"], spoken["problem"]) == (2, 2, None)
        assert 600 <= spoken["duration_ms"] <= 2000
        pcm, rate_hz = samples((await client.get(spoken["url"])).content)
        assert (len(pcm) * 1000 // rate_hz, rate_hz) == (spoken["duration_ms"], 16_000)
        assert np.abs(pcm).max() == 6000  # the tone of `Caller.speak`
        consent = (await client.get(path)).json()["recording"]
        assert (consent["by"], consent["withdrawn"]) == ("Ada <Lovelace>", None)
        assert re.fullmatch(MOMENT, consent["at"])
        report = (await client.get(f"{path}/report")).json()
        assert report["recording"] == {"consent": consent, "recordings": [sent, spoken]}
        ended = (await client.post(f"{path}/end")).json()
        assert ended["report"]["recording"] == report["recording"]

    serve(scenario)


def test_typed_answers_have_no_recording(serve: Serve) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        path = await started(client, recording=CONSENT)
        await typed(client, path)
        await uploaded(client, path)
        assert [(r["number"], r["answer"]) for r in await recorded(client, path)] == [(2, 2)]
        assert code(await client.get(f"{path}/recordings/1")) == (404, "no_such_recording")

    serve(scenario)


def test_a_recording_comes_as_flac_or_wav(serve: Serve) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        _, url = await with_one(client)
        flac = await client.get(url)
        assert flac.headers["content-type"] == "audio/flac"
        wav = await client.get(url, headers={"accept": "audio/wav"})
        assert (wav.headers["content-type"], wav.content[:4]) == ("audio/wav", b"RIFF")
        expected, _ = samples(recording(2.0))
        for file in (flac, wav):
            assert np.array_equal(samples(file.content)[0], expected)
        assert flac.headers["etag"] != wav.headers["etag"]
        refused = await client.get(url, headers={"accept": "audio/mpeg"})
        assert code(refused) == (406, "not_acceptable")
        head = await client.head(url)
        assert (head.headers["content-length"], head.content) == (str(len(flac.content)), b"")

    serve(scenario)


@pytest.mark.parametrize("number", ["2", "0", "x", "9" * 30, "²"])
def test_what_is_no_recording_is_not_found(serve: Serve, number: str) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        path, _ = await with_one(client)
        assert code(await client.get(f"{path}/recordings/{number}")) == (404, "no_such_recording")

    serve(scenario)


def test_players_get_the_part_that_they_ask_for(serve: Serve) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        _, url = await with_one(client)
        whole = (await client.get(url)).content
        size = len(whole)

        async def part(wanted: str, **headers: str) -> tuple[int, bytes, str | None]:
            answer = await client.get(url, headers={"range": wanted, **headers})
            return answer.status_code, answer.content, answer.headers.get("content-range")

        assert await part("bytes=0-9") == (206, whole[:10], f"bytes 0-9/{size}")
        last = f"bytes {size - 5}-{size - 1}/{size}"
        for wanted in (f"bytes={size - 5}-", "bytes=-5", f"bytes={size - 5}-99999999"):
            assert await part(wanted) == (206, whole[-5:], last)
        assert (await part("bytes=-99999999"))[2] == f"bytes 0-{size - 1}/{size}"
        for ignored in ("bytes=0-1,4-5", "bytes=9-3", "bytes=-", "seconds=1-2", "bytes=a-b"):
            assert await part(ignored) == (200, whole, None)
        assert (await part("bytes=0-9", **{"if-range": '"another"'}))[0] == 200
        for beyond in (f"bytes={size}-", "bytes=-0"):
            answer = await client.get(url, headers={"range": beyond})
            assert code(answer) == (416, "invalid_range")
            assert answer.headers["content-range"] == f"bytes */{size}"

    serve(scenario)


# --- the report's page -------------------------------------------------------------------------


def test_the_page_plays_the_answers(serve: Serve) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        path, url = await with_one(client)
        flac = (await client.get(url)).content
        html = (await client.get(f"{path}/report?format=html")).text
        assert "media-src data:;" in html
        (source,) = re.findall(r'<audio [^>]*src="data:audio/flac;base64,([^"]+)"', html)
        assert base64.b64decode(source) == flac
        assert re.search(rf"noted {MOMENT}: Ada &lt;Lovelace&gt;\.", html)

    serve(scenario)


def test_beyond_its_bound_the_page_links_to_recordings(
    gateway: Any, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordings, "MOST_EMBEDDED_BYTES", 100)

    async def scenario(client: httpx.AsyncClient) -> None:
        path, url = await with_one(client)
        html = (await client.get(f"{path}/report?format=html")).text
        assert "<audio" not in html
        assert f'href="http://127.0.0.1:{gateway.port}{url}"' in html
        odd = await client.get(f"{path}/report?format=html", headers={"host": "a&b"})
        assert f'href="{url}"' in odd.text

    serve(scenario)


# --- erasure -----------------------------------------------------------------------------------


def test_consent_that_is_taken_back_erases_the_recordings_alone(serve: Serve) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        path, url = await with_one(client)
        version = (await client.get(path)).json()["version"]
        for _ in range(2):
            assert (await client.delete(f"{path}/recordings")).status_code == 204
        assert code(await client.get(url)) == (404, "no_such_recording")
        shown = (await client.get(f"{path}/recordings")).json()
        assert shown["recordings"] == []
        assert re.fullmatch(MOMENT, shown["consent"]["withdrawn"])
        session = (await client.get(path)).json()
        # who is about to answer is not disturbed
        assert (session["version"], session["recording"]) == (version, shown["consent"])
        await uploaded(client, path)
        report = (await client.get(f"{path}/report")).json()
        assert report["answered"] == 2
        assert report["recording"] == shown
        html = (await client.get(f"{path}/report?format=html")).text
        assert "the recordings were erased" in html
        assert "<audio" not in html

    serve(scenario)


def test_a_deleted_session_leaves_no_recording(gateway: Any, serve: Serve) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        path, url = await with_one(client)
        assert (await client.delete(path)).status_code == 204
        assert code(await client.get(url)) == (404, "no_such_session")
        assert code(await client.get(f"{path}/recordings")) == (404, "no_such_session")
        store = gateway.app.state.runtime.store
        session_id = path.rpartition("/")[2]
        assert await store.get(f"recording:{session_id}:1") is None
        assert await store.read(f"recordings:{session_id}") == []

    serve(scenario)


def test_there_is_nothing_to_list_before_the_interview(serve: Serve) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        path = await made(client, recording=CONSENT)
        assert (await client.get(f"{path}/recordings")).json()["recordings"] == []

    serve(scenario)


def test_what_was_no_answer_is_listed_and_not_played(gateway: Any, serve: Serve) -> None:
    gateway.transcriber = FakeTranscriber(texts=("Could you repeat the question, please?",))

    async def scenario(client: httpx.AsyncClient) -> None:
        path, url = await with_one(client)
        (shown,) = await recorded(client, path)
        assert (shown["answer"], shown["problem"]) == (None, None)
        assert (await client.get(url)).status_code == 200
        assert "<audio" not in (await client.get(f"{path}/report?format=html")).text

    serve(scenario)


def test_a_file_that_is_gone_in_this_moment_is_not_played(gateway: Any, serve: Serve) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        path, url = await with_one(client)
        session_id = path.rpartition("/")[2]
        await gateway.app.state.runtime.store.delete(f"recording:{session_id}:1")
        assert code(await client.get(url)) == (404, "no_such_recording")
        assert "<audio" not in (await client.get(f"{path}/report?format=html")).text

    serve(scenario)
