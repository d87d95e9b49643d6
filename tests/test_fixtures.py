"""The audio fixtures are what their JSON files and READMEs say."""

import json
import runpy
import wave
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.paths import AUDIO

MALFORMED = AUDIO / "malformed"
CLIPS = sorted(AUDIO.glob("*.wav"))


def facts(clip: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(clip.with_suffix(".json").read_text(encoding="utf-8"))
    return loaded


def samples(clip: Path) -> np.ndarray:
    with wave.open(str(clip), "rb") as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)


def loudness(audio: np.ndarray) -> float:
    return float(np.sqrt(np.mean(audio**2)))


def test_each_role_has_three_answers():
    expected = {"Software Engineer": 3, "Product Manager": 3, "Data Analyst": 3}
    assert expected == Counter(facts(clip)["role"] for clip in CLIPS)


def test_every_clip_has_a_json_file_and_none_is_left_over():
    assert [c.stem for c in CLIPS] == sorted(j.stem for j in AUDIO.glob("*.json"))


def test_one_clip_has_a_pause_one_has_noise_and_one_a_cough():
    features = [feature for clip in CLIPS for feature in facts(clip)["features"]]
    assert sorted(features) == ["cough", "noise", "pause"]


def test_the_clips_stay_small():
    assert sum(file.stat().st_size for file in AUDIO.iterdir() if file.is_file()) < 5_000_000


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip.stem)
class TestClip:
    def test_json_tells_its_length(self, clip: Path) -> None:
        duration_ms = len(samples(clip)) / 16
        assert 3_000 <= duration_ms <= 15_000
        assert facts(clip)["duration_ms"] == pytest.approx(duration_ms, abs=50)

    def test_answer_has_ten_to_forty_words(self, clip: Path) -> None:
        assert 10 <= len(facts(clip)["text"].split()) <= 40

    def test_speech_lies_in_the_segments_and_nowhere_else(self, clip: Path) -> None:
        audio = samples(clip)
        spoken = np.zeros(len(audio), bool)
        for segment in facts(clip)["segments"]:
            spoken[segment["start_ms"] * 16 : segment["end_ms"] * 16] = True
        outside = ~spoken
        for event in facts(clip).get("events", []):
            assert not spoken[event["start_ms"] * 16 : event["end_ms"] * 16].any()
            outside[event["start_ms"] * 16 : event["end_ms"] * 16] = False
        assert loudness(audio[spoken]) > 5 * loudness(audio[outside])


def test_the_thinking_pause_is_two_seconds_or_more():
    (clip,) = (clip for clip in CLIPS if "pause" in facts(clip)["features"])
    before, after = facts(clip)["segments"]
    assert after["start_ms"] - before["end_ms"] >= 2_000


def test_the_noise_is_15_to_20_db_below_the_speech():
    (clip,) = (clip for clip in CLIPS if "noise" in facts(clip)["features"])
    (segment,) = facts(clip)["segments"]
    audio = samples(clip)
    speech = audio[segment["start_ms"] * 16 : segment["end_ms"] * 16]
    noise = audio[: 250 * 16]
    assert 15 <= 20 * np.log10(loudness(speech) / loudness(noise)) <= 20.5


def test_the_readme_lists_the_malformed_files():
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (MALFORMED / "README.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| ") and not line.startswith("| file ")
    ]
    sounds = {".wav", ".flac", ".webm"}
    on_disk = {file.name for file in MALFORMED.iterdir() if file.suffix in sounds}
    assert on_disk == {name for name, _, _ in rows}
    assert {"error", "plays"} == {outcome for _, _, outcome in rows}


def test_the_malformed_files_are_what_their_script_makes():
    made = runpy.run_path(str(MALFORMED / "make.py"))["FILES"]
    # The FLAC file's compressed bytes depend on the library's version; its claim must not.
    flac = (MALFORMED / "flac-2e36-frames.flac").read_bytes()
    assert int.from_bytes(flac[8 + 13 : 8 + 18]) & (2**36 - 1) == 2**36 - 1
    for name, build in made.items():
        data = (MALFORMED / name).read_bytes()
        assert len(data) < 20_000
        if not name.endswith(".flac"):
            assert build() == data
