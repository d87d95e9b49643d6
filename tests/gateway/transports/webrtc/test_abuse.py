"""Peers that never come, vanish or talk nonsense: answers stay honest, and nothing is left."""

import asyncio
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.transports.webrtc import link
from stages.fakes import FakeSynthesizer
from tests.support.crowd import crowd, each
from tests.support.in_use import in_use
from tests.support.webrtc import Browser, Doorway, emptied

SDP = {"content-type": "application/sdp"}
FRAGMENT = {"content-type": "application/trickle-ice-sdpfrag"}
CHROMIUM = (Path(__file__).parent / "chromium_offer.sdp").read_text().splitlines()
"""Chromium 150's offer with a microphone, a picture to receive and a data channel."""


async def leaves_nothing(
    what: str, visit: Callable[[], Awaitable[None]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Assert that after a visit as much is in use as before.

    There are up to three visits: the avatar's layers may be drawn during one of them, at any time,
    and stay. A leak grows in each.
    """
    for _ in range(3):
        before = in_use()
        await visit()
        for _ in range(30):
            after = in_use()
            if after.within(before):
                break
            await asyncio.sleep(0.2)
        with capsys.disabled():
            sys.stdout.write(f"\n{what}: {before} -> {after}\n")
        if after.within(before):
            return
    pytest.fail(f"{what}: {before} before, {after} after")


# --- who never comes, and who vanishes ----------------------------------------------------------


@pytest.mark.realtime
def test_a_hundred_offers_that_never_connect_leave_nothing_behind(
    doorway: Doorway,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(link, "CONNECT_S", 0.2)
    doorway.settings["admission"] = "places"  # so many at once would be refused before

    async def story() -> None:
        browser = Browser(doorway, video="video/VP8")
        offer = await browser.offer()
        await browser.close()
        async with httpx.AsyncClient(base_url=doorway.url, timeout=30) as client:

            async def never(number: int) -> None:
                made = await client.post(f"/webrtc/n{number}", content=offer, headers=SDP)
                assert made.status_code == 201, made.text

            async def visit() -> None:
                await each(100, never)
                await emptied(doorway)

            await visit()  # what is made once, and what malloc keeps, is made now
            await leaves_nothing("100 offers that never connect", visit, capsys)

    doorway.run(story)
    assert [r.getMessage() for r in caplog.records if r.levelname == "ERROR"] == []


@pytest.mark.realtime
def test_a_hundred_abrupt_disconnects_leave_nothing_behind(
    doorway: Doorway,
    patience: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A third each: before ICE has found a way, before DTLS is through, and while it speaks."""
    monkeypatch.setattr(link, "LOOK_EVERY_S", 0.1)
    monkeypatch.setattr(link, "GONE_S", 4.0)  # longer than a busy machine lets a client wait
    doorway.synthesizer = FakeSynthesizer(ms_per_word=400)
    doorway.settings["admission"] = "places"

    async def story() -> None:
        await crowd(doorway, 21)  # what is made once is made now
        await asyncio.sleep(0.5)

        async def visit() -> None:
            assert await crowd(doorway, 100) == {"checking": 34, "completed": 33, "speaking": 33}

        await leaves_nothing("100 abrupt disconnects", visit, capsys)
        studio = doorway.app.state.runtime.studio
        assert (studio._sessions, studio.ladder._faces) == (set(), [])

    doorway.run(story)
    assert [r.getMessage() for r in caplog.records if r.levelname == "ERROR"] == []


# --- who talks nonsense -------------------------------------------------------------------------

MUTATIONS = st.lists(
    st.tuples(
        st.sampled_from(["drop", "twice", "swap", "cut", "digit", "text", "empty", "word"]),
        st.integers(0, 400),
        st.integers(0, 400),
        st.text(st.characters(codec="utf-8"), max_size=12),
    ),
    min_size=1,
    max_size=4,
)
WORDS = ("-1", "4294967296", "sha-1", "inactive", "0", "::", "udp", "actpass", "a=mid:", "VP8/0")


def mutated(lines: list[str], mutations: list[tuple[str, int, int, str]]) -> str:
    lines = [*lines]
    for how, first, second, text in mutations:
        at, other = first % len(lines), second % len(lines)
        line = lines[at]
        place = second % (len(line) + 1)
        match how:
            case "drop" if len(lines) > 1:
                del lines[at]
            case "twice":
                lines.insert(other, line)
            case "swap":
                lines[at], lines[other] = lines[other], line
            case "cut":
                lines[at] = line[:place]
            case "digit":
                lines[at] = line[:place] + str(first * 977) + line[place + 1 :]
            case "text":
                lines[at] = line[:place] + text + line[place:]
            case "empty":
                lines[at] = line.partition(":")[0]
            case "word":
                words = line.split(" ")
                words[second % len(words)] = WORDS[first % len(WORDS)]
                lines[at] = " ".join(words)
    return "\r\n".join([*lines, ""])


@pytest.mark.realtime
@pytest.mark.parametrize("shape", ["aiortc", "chromium"])
def test_no_offer_whatever_is_in_it_is_a_fault_of_ours(
    shape: str,
    doorway: Doorway,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Hypothesis writes offers and, for those that are answered, candidates that trickle in."""
    monkeypatch.setattr(link, "CONNECT_S", 0.1)
    answers: Counter[str] = Counter()

    async def story() -> None:
        browser = Browser(doorway, video="video/VP8")
        lines = CHROMIUM if shape == "chromium" else (await browser.offer()).splitlines()
        await browser.close()
        loop = asyncio.get_running_loop()
        limits = httpx.Limits(max_connections=1)
        async with httpx.AsyncClient(base_url=doorway.url, limits=limits, timeout=30) as client:

            async def post(text: str) -> None:
                body = text.encode(errors="replace")
                made = await client.post("/webrtc/h", content=body, headers=SDP)
                answers[f"POST {made.status_code}"] += 1
                assert made.status_code in (201, 400, 413, 422, 503), (text, made.text)
                if made.status_code == 503:
                    assert made.json()["code"] == "no_place", made.text
                if made.status_code == 201:
                    where = made.headers["location"]
                    told = await client.patch(where, content=body[-2000:], headers=FRAGMENT)
                    answers[f"PATCH {told.status_code}"] += 1
                    assert told.status_code in (204, 400, 404, 422), (text, told.text)

            @settings(
                max_examples=150,
                deadline=None,
                database=None,
                derandomize=True,
                suppress_health_check=[HealthCheck.too_slow],
            )
            @given(mutations=MUTATIONS)
            def offers(mutations: list[tuple[str, int, int, str]]) -> None:
                text = mutated(lines, mutations)
                asyncio.run_coroutine_threadsafe(post(text), loop).result(20)

            async with asyncio.timeout(5):
                await post("\r\n".join([*lines, ""]))
            await emptied(doorway)
            await asyncio.sleep(0.2)

            async def visit() -> None:
                await asyncio.to_thread(offers)
                await emptied(doorway)

            await leaves_nothing(f"mutated offers ({shape})", visit, capsys)

    doorway.run(story)
    assert answers["POST 201"] > 10
    assert answers["POST 400"] > 10
    assert [r.getMessage() for r in caplog.records if r.levelname == "ERROR"] == []
