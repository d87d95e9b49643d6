import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from benchmarks.result import Metric
from benchmarks.synthesis import Spoken, levels, metrics, misheard, prompts, speech, understood
from pipeline.errors import PipelineError
from pipeline.frames import Sentence, Speech, Viseme
from stages.interview.bank import bank_for

RATE_HZ = 24_000


class Humming:
    """A voice that hums 300 ms for each sentence, after a plosive that it does not say."""

    provider = "humming"
    rate_hz = RATE_HZ

    def __init__(self, db: float = -20.0) -> None:
        self.said: list[str] = []
        self._gain = 10 ** (db / 20)

    async def speak(self, sentence: Sentence) -> AsyncIterator[Speech]:
        self.said.append(sentence.text)
        yield Speech(0, np.zeros(0, np.int16))
        times = np.arange(RATE_HZ * 150 // 1000) / RATE_HZ
        hum = np.round(self._gain * 32767 * np.sin(2 * np.pi * 997 * times)).astype(np.int16)
        yield Speech(0, hum, (Viseme(0, 150, "PP"),))
        yield Speech(0, hum)

    async def aclose(self) -> None:
        pass


class Mute(Humming):
    async def speak(self, sentence: Sentence) -> AsyncIterator[Speech]:
        yield Speech(0, np.zeros(0, np.int16))


def broken(found: list[Metric]) -> list[str]:
    return [metric.name for metric in found if not metric.holds]


def spoken(text: str, pcm: list[int] | None = None) -> Spoken:
    return Spoken(text, np.array(pcm or [0], np.int16), RATE_HZ, [12.0], [5.0], [50.0])


def test_every_prompt_of_every_role_is_spoken_once() -> None:
    texts = prompts()
    assert len(texts) == len(set(texts))
    assert set(bank_for("Data Analyst").texts.values()) < set(texts)


def test_a_prompt_is_spoken_sentence_by_sentence_as_in_a_session() -> None:
    voice = Humming()
    one = asyncio.run(speech(voice, "Sales fell last week. How do you **find** out why?"))
    assert voice.said == ["Sales fell last week.", "How do you find out why?"]
    assert len(one.pcm) == 2 * RATE_HZ * 300 // 1000
    assert len(one.first_ms) == 2


def test_a_voice_that_says_nothing_is_told() -> None:
    with pytest.raises(PipelineError, match=r"humming said nothing for 'Well\.'"):
        asyncio.run(speech(Mute(), "Well."))


def test_first_bytes_and_mouth_shapes_have_limits() -> None:
    found = metrics("humming", [spoken("a"), spoken("b")])
    assert broken(found) == ["humming: plosives, cue to sound"]


def test_what_was_never_measured_does_not_pass() -> None:
    silent = Spoken("a", np.zeros(1, np.int16), RATE_HZ)
    assert len(broken(metrics("humming", [silent]))) == 3


@pytest.mark.parametrize(
    ("db", "expected"),
    [
        (-13.0, []),
        (-19.0, ["humming: away from -16 LUFS"]),
        (-0.1, ["humming: away from -16 LUFS"]),
    ],
)
def test_a_voice_has_the_common_loudness(db: float, expected: list[str]) -> None:
    # A tone of 997 Hz at 0 dB has -3 LUFS.
    one = asyncio.run(speech(Humming(db), "One. Two. Three."))
    assert expected == broken(levels("humming", [one]))


def test_a_voice_that_clips_is_told() -> None:
    clipped = spoken("One.", [0] * 100 + [32_767] * 30 + [-32_768] * 30 + [0] * RATE_HZ)
    assert "humming: true peak" in broken(levels("humming", [clipped]))


def test_what_was_understood_is_scored_over_all_prompts() -> None:
    said = [spoken("How do you test it in 10 seconds?"), spoken("Why so?")]
    heard = ["How do you test it in ten seconds", "Why though"]
    found = understood("humming", said, heard)
    assert (found.value, found.count) == (pytest.approx(0.1), 10)
    assert list(misheard(said, heard)) == ["Why so? — so → though"]
