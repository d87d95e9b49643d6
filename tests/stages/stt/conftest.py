"""Audio of the fixtures, and the scripted Whisper model."""

import importlib.util
import wave
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from pipeline.frames import Samples

HERE = Path(__file__).parent
FIXTURES = HERE.parents[2] / "fixtures" / "audio"


@pytest.fixture
def clip() -> Callable[[str], Samples]:
    """Reads a clip of fixtures/audio by its name."""

    def read(name: str) -> Samples:
        with wave.open(str(FIXTURES / f"{name}.wav")) as file:
            return np.frombuffer(file.readframes(file.getnframes()), np.int16)

    return read


@pytest.fixture(scope="session")
def scripted_whisper() -> ModuleType:
    """The module that builds Whisper models which say what they are told."""
    spec = importlib.util.spec_from_file_location("scripted_whisper", HERE / "scripted_whisper.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
