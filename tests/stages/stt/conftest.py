"""Audio of the fixtures."""

import wave
from collections.abc import Callable

import numpy as np
import pytest

from pipeline.frames import Samples
from tests.support.paths import AUDIO


@pytest.fixture
def clip() -> Callable[[str], Samples]:
    """Reads a clip of fixtures/audio by its name."""

    def read(name: str) -> Samples:
        with wave.open(str(AUDIO / f"{name}.wav")) as file:
            return np.frombuffer(file.readframes(file.getnframes()), np.int16)

    return read
