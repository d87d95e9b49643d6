"""Texts as sound files: synthesised through the guard, by any candidate."""

import io
import wave

import pytest

from gateway.interviews import speech_files as spoken
from gateway.interviews.speech_files import SoundFile, SpeechFiles
from pipeline.breaker import Breaker
from pipeline.errors import PipelineError
from pipeline.guard import Candidate, Guard
from pipeline.testing import Script, run_virtual
from stages.fakes import FakeSynthesizer


def speaker(*synthesizers: FakeSynthesizer) -> SpeechFiles:
    return SpeechFiles(Guard("tts", [Candidate(s.provider, s, Breaker()) for s in synthesizers]))


def frames(file: SoundFile) -> int:
    with wave.open(io.BytesIO(file.wav)) as read:
        assert (read.getnchannels(), read.getsampwidth()) == (1, 2)
        assert read.getframerate() == file.rate_hz
        return read.getnframes()


def test_every_sentence_is_in_the_file() -> None:
    async def story() -> None:
        file = await speaker(FakeSynthesizer(rate_hz=8000)).speak("One two three. Four five.", "en")
        assert (file.rate_hz, file.provider, file.duration_ms) == (8000, "fake-tts", 1000)
        assert frames(file) == 8000

    run_virtual(story())


def test_a_second_voice_takes_over_at_the_rate_of_the_first() -> None:
    async def story() -> None:
        first = FakeSynthesizer(Script(), Script(error=OSError("gone")), rate_hz=16_000)
        second = FakeSynthesizer(rate_hz=8000, provider="second")
        file = await speaker(first, second).speak("One two. Three four five.", "en")
        assert (file.rate_hz, file.provider) == (16_000, "second")
        assert file.duration_ms == pytest.approx(1000, abs=5)

    run_virtual(story())


def test_the_same_words_are_spoken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        size = len((await speaker(FakeSynthesizer()).speak("One two.", "en")).wav)
        monkeypatch.setattr(spoken, "KEPT_BYTES", size)
        voice = speaker(FakeSynthesizer())
        first = await voice.speak("One two.", "en")
        assert await voice.speak("One two.", "en") is first
        await voice.speak("Three four.", "en")
        assert await voice.speak("One two.", "en") is not first

    run_virtual(story())


def test_a_file_larger_than_all_that_is_kept_is_spoken_but_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        monkeypatch.setattr(spoken, "KEPT_BYTES", 100)
        voice = speaker(FakeSynthesizer(rate_hz=8000))
        first = await voice.speak("One two.", "en")
        assert frames(first) == 3200
        assert await voice.speak("One two.", "en") is not first

    run_virtual(story())


def test_a_long_text_is_cut() -> None:
    async def story() -> None:
        file = await speaker(FakeSynthesizer(ms_per_word=10)).speak("word " * 5000, "en")
        assert file.duration_ms == 10 * (spoken.LONGEST_TEXT // 5)

    run_virtual(story())


def test_without_a_working_synthesizer_it_fails() -> None:
    async def story() -> None:
        with pytest.raises(PipelineError):
            await speaker(FakeSynthesizer(Script(error=OSError("gone")))).speak("One.", "en")

    run_virtual(story())


def test_a_text_is_kept_by_its_language_and_a_voice_without_it_is_not_asked() -> None:
    class English(FakeSynthesizer):
        languages = ("en",)

    async def scene() -> None:
        voice = speaker(English(provider="english"), FakeSynthesizer(provider="any"))
        english, german = await voice.speak("Test.", "en"), await voice.speak("Test.", "de")
        assert (english.provider, german.provider) == ("english", "any")
        assert await voice.speak("Test.", "en") is english

    run_virtual(scene())
