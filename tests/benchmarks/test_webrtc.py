import asyncio
import io
import json
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import uvicorn
from rich.console import Console

from benchmarks import webrtc_client
from benchmarks.progress import Progress
from benchmarks.result import Machine, Metric, Result
from benchmarks.webrtc import Job, Seen, delivered, metrics, missing, shared, webrtc
from benchmarks.webrtc_client import Counter, measure
from benchmarks.webrtc_gateway import EndlessVoice, NoDetector, Unmoved, stages
from benchmarks.webrtc_pictures import LASTING_MS, PICTURE_MS, talking, visemes
from benchmarks.webrtc_speech import CLOCK_HZ, packets, speech
from benchmarks.webrtc_stock import Server
from gateway.media.opus_packets import duration_ms
from pipeline.frames import VISEMES, Samples, Sentence, Speech
from stages.fakes import FakeDetector

PARLEY = Job("ours", "endless", peers=4, limit_ms=15.0, least={"a": 50.0}, beside="theirs")
STOCK = Job("theirs", "stock", peers=4, least={"a": 50.0})


def seen(*cost_ms: float, rate: float = 50.0, peers: int = 4, **report: Any) -> Seen:
    """Rounds of 10 s that cost so much."""
    made = Seen()
    for cost in cost_ms:
        made.add(
            peers,
            cpu_s=cost * peers / 100,
            machine_s=cost * peers / 100 + 7.0,
            report={
                "wall_s": 10.0,
                "client_cpu_share": 0.2,
                "rates": {"a": rate},
                "degraded": 0,
                "distrust": [],
                **report,
            },
        )
    return made


def result(found: list[Metric], distrust: tuple[str, ...] = ()) -> Result:
    machine = Machine("cpu", 2, None, "6.1", "3.11", {}, None)
    return Result("webrtc", {}, tuple(found), machine, distrust)


def test_the_middle_round_is_judged_and_the_dearest_shown() -> None:
    cost, dearest, ratio = metrics(PARLEY, {"ours": seen(12.0, 30.0, 14.0), "theirs": seen(28.0)})
    assert (cost.value, cost.percentile, cost.count) == (pytest.approx(14.0), "p50", 3)
    assert (dearest.value, dearest.percentile) == (pytest.approx(30.0), "max")
    assert ratio.value == pytest.approx(0.5)
    assert not result([cost, dearest, ratio]).failed


def test_what_costs_too_much_fails() -> None:
    found = metrics(PARLEY, {"ours": seen(15.1)})
    assert result(found).failed
    assert not result(found, ("the client was late",)).failed


def test_what_was_not_delivered_fails() -> None:
    jobs = (PARLEY, STOCK)
    whole = delivered(jobs, {"ours": seen(9.0), "theirs": seen(9.0, rate=20.0)})
    assert not result(whole).failed, "only the gateway is judged"
    cut = delivered(jobs, {"ours": seen(9.0, rate=25.0), "theirs": seen(9.0)})
    assert cut[0].value == pytest.approx(0.5)
    assert result(cut).failed
    degraded = delivered(jobs, {"ours": seen(9.0, degraded=1), "theirs": seen(9.0)})
    assert result(degraded).failed


def test_the_worst_round_counts_for_what_is_missing() -> None:
    both = seen(9.0, rate=49.0)
    both.rates.append({"a": 40.0})
    assert missing(PARLEY, both) == pytest.approx(0.2)
    both.rates.append({})
    assert missing(PARLEY, both) == 1.0


def test_every_run_of_every_round_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    report: dict[str, Any] = {"wall_s": 10.0, "client_cpu_share": 0.2, "rates": {"a": 50.0}}
    window = (0.4, 7.4, report | {"degraded": 0, "distrust": []})
    monkeypatch.setattr("benchmarks.webrtc.Server", lambda *_, **__: nullcontext())
    monkeypatch.setattr("benchmarks.webrtc.run_client", lambda *_: window)
    told = io.StringIO()
    progress = Progress("webrtc", 60, Console(file=told), clock=lambda: 0.0)
    assert not webrtc(progress, jobs=(PARLEY, STOCK)).failed
    assert [line.split(": ")[:2] for line in told.getvalue().splitlines()[1:]] == [
        [f"webrtc {2 * round + place} of 6", f"{name}, 4 peers, round {round + 1} of 3"]
        for round in range(3)
        for place, name in ((1, "ours"), (2, "theirs"))
    ]


def test_what_others_used_is_what_server_and_client_did_not() -> None:
    client, usual, most = shared([seen(10.0), seen(20.0, client_cpu_share=0.5)])
    assert client.value == pytest.approx(0.5)
    assert usual.value == pytest.approx(0.2)
    assert most.value == pytest.approx(0.5)


def test_pictures_are_counted_by_their_last_packets() -> None:
    counter = Counter()
    for marker in (0, 0, 1, 0, 1):
        packet: Any = SimpleNamespace(marker=marker, payload=bytes(100))
        assert counter.add(packet) == (False, None)
    assert (counter.packets, counter.pictures, counter.bytes) == (5, 2, 500)


def test_the_client_sends_what_a_browser_would() -> None:
    said = packets(speech(CLOCK_HZ)[:CLOCK_HZ])
    assert len(said) == 50
    assert {duration_ms(packet) for packet in said} == {20.0}
    assert 20_000 < 8 * sum(map(len, said)) < 48_000


def test_a_voice_that_does_not_end_goes_on_where_it_was() -> None:
    async def main() -> list[Speech]:
        said = []
        async for piece in EndlessVoice().speak(Sentence(0, "Hello.")):
            said.append(piece)
            if len(said) == 3:
                break
        return said

    said = asyncio.run(main())
    cues = [cue for piece in said for cue in piece.cues]
    assert len({len(piece.pcm) for piece in said}) == 1
    assert [cue.at_ms for cue in cues] == list(range(0, 3 * 1020, 85))
    assert {cue.shape for cue in cues} <= set(VISEMES)
    assert min(np.abs(piece.pcm.astype(np.int32)).max() for piece in said) > 1000


def test_a_quiet_gateway_says_one_word() -> None:
    async def main() -> list[Speech]:
        voice = stages(NoDetector(), quiet=True).synthesizers.candidates[0].stage
        return [piece async for piece in voice.speak(Sentence(0, "Hello."))]

    (piece,) = asyncio.run(main())
    assert len(piece.pcm) == 22_050 * 3 // 10


def test_nobody_interrupts_it() -> None:
    heard: list[tuple[int, float]] = []
    loud: Samples = np.full(1024, 9000, np.int16)
    Unmoved(FakeDetector()).open(lambda at, share: heard.append((at, share))).feed(loud)
    assert heard == [(512, 0.0), (1024, 0.0)]


def test_the_stock_server_gets_pictures_that_move() -> None:
    drawn = talking()
    assert len(drawn) == LASTING_MS // PICTURE_MS
    assert drawn[0].shape == (320, 320, 3)
    assert len({picture.tobytes() for picture in drawn}) > 20
    assert visemes(0, LASTING_MS)[-1].at_ms + 85 == LASTING_MS


def test_the_client_measures_what_a_server_sends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda **_: ["127.0.0.1"])
    monkeypatch.setattr(webrtc_client, "WARM_UP_S", 0.1)

    async def main() -> dict[str, Any]:
        config = uvicorn.Config(Server(video=False).app, port=0, log_config=None)
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            return await measure(f"http://127.0.0.1:{port}", peers=2, seconds=0.5, codec=None)
        finally:
            server.should_exit = True
            await serving

    report = asyncio.run(main())
    told = [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]
    assert told == ["steady", "over"]
    assert report["rates"]["audio packets"] > 10
    assert report["sent"] > 10
    assert report["degraded"] == 0
