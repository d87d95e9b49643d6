"""The real package and its voice, in a real worker process: time is real here."""

import asyncio
import contextlib
import itertools
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import pytest

from pipeline.breaker import Breaker, BreakerPolicy
from pipeline.errors import CallerError, StageBusy, StageFailed
from pipeline.frames import Samples, Sentence, Speech, SpokenWord, Viseme
from pipeline.guard import Candidate, Guard
from pipeline.stage import Synthesizer
from stages._worker import Header, WorkerPacket
from stages.interview.bank import bank_for
from stages.tts import _hibari_package, hibari
from stages.tts.espeak import EspeakSynthesizer
from stages.tts.hibari import MAX_CHARACTERS, HibariSynthesizer
from stages.tts.loudness import TARGET_LUFS, loudness_lufs, true_peak_dbfs
from tests.support.scripts import MIXED

T = TypeVar("T")

QUESTION = "Which attempt failed first, and what did it teach you?"

needs_package = pytest.mark.skipif(
    find_spec("hibari") is None, reason="hibari-tts is not installed"
)


def run(coro: Coroutine[Any, Any, T]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(120):
            return await coro

    return asyncio.run(bounded())


def with_voice(use: Callable[[HibariSynthesizer], Awaitable[T]], **options: Any) -> T:
    """What `use` returns of a voice with a process of its own."""

    async def main() -> T:
        tts = HibariSynthesizer(**options)
        try:
            return await use(tts)
        finally:
            await tts.aclose()

    return run(main())


async def say(tts: Any, text: str, language: str | None = None) -> list[Speech]:
    return [piece async for piece in tts.speak(Sentence(3, text, language=language))]


def pcm_of(pieces: list[Speech]) -> Samples:
    return np.concatenate([piece.pcm for piece in pieces])


def words_of(pieces: list[Speech], text: str) -> list[str]:
    return [text[word.offset :][: word.length] for piece in pieces for word in piece.words]


def speaking(tts: HibariSynthesizer, text: str) -> AsyncGenerator[Speech, None]:
    return cast("AsyncGenerator[Speech, None]", tts.speak(Sentence(3, text)))


# --- speech --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def question() -> list[Speech]:
    return with_voice(lambda tts: say(tts, QUESTION))


@pytest.mark.slow
@needs_package
class TestSpeech:
    def test_a_sentence_becomes_audible_speech_of_its_turn(self, question: list[Speech]) -> None:
        assert {piece.turn for piece in question} == {3}
        assert {piece.pcm.dtype for piece in question} == {np.dtype(np.int16)}
        assert 2.0 < len(pcm_of(question)) / 24_000 < 4.5

    def test_the_first_200_ms_come_first(self, question: list[Speech]) -> None:
        assert [len(piece.pcm) for piece in question[:2]] == [4_800, 19_200]

    def test_cues_cover_the_audio_without_gap_and_end_closed(self, question: list[Speech]) -> None:
        cues = [cue for piece in question for cue in piece.cues]
        assert cues[0].at_ms == 0
        assert [a.at_ms + a.duration_ms for a in cues[:-1]] == [b.at_ms for b in cues[1:]]
        assert all(a.shape != b.shape for a, b in itertools.pairwise(cues))
        assert cues[-1].shape == "sil"
        assert cues[-1].at_ms + cues[-1].duration_ms == len(pcm_of(question)) * 1000 // 24_000
        assert len(cues) > 25

    def test_cues_and_words_come_with_the_audio_in_which_they_begin(
        self, question: list[Speech]
    ) -> None:
        since_ms = 0.0
        for number, piece in enumerate(question, 1):
            until_ms = since_ms + len(piece.pcm) / 24
            timed: list[Viseme | SpokenWord] = [*piece.cues, *piece.words]
            assert all(since_ms <= entry.at_ms for entry in timed)
            assert all(entry.at_ms < until_ms for entry in timed) or number == len(question)
            since_ms = until_ms

    def test_the_mouth_is_closed_exactly_where_the_audio_is_silent(
        self, question: list[Speech]
    ) -> None:
        pcm = np.abs(pcm_of(question).astype(int))
        cues = [cue for piece in question for cue in piece.cues]
        pauses = [cue for cue in cues if cue.shape == "sil" and cue.duration_ms >= 100]
        assert len(pauses) == 2
        for cue in pauses:
            start, end = (ms * 24 for ms in (cue.at_ms + 40, cue.at_ms + cue.duration_ms - 40))
            assert int(pcm[start:end].max()) < 500
        for cue in pauses[:-1]:
            after = (cue.at_ms + cue.duration_ms) * 24
            assert int(pcm[after : after + 40 * 24].max()) > 500

    def test_the_words_are_those_of_the_sentence(self, question: list[Speech]) -> None:
        assert words_of(question, QUESTION) == QUESTION.replace(",", "").rstrip("?").split()
        times = [word.at_ms for piece in question for word in piece.words]
        assert times == sorted(times)

    def test_speech_starts_within_100_ms_of_the_sentence(self, question: list[Speech]) -> None:
        assert int(np.abs(pcm_of(question)[: 24 * 100].astype(int)).max()) > 1_000


@pytest.mark.slow
@needs_package
def test_what_is_read_otherwise_keeps_its_place() -> None:
    text = "In 2024, p99 of nginx fell by 50 %. It's CI/CD (again)!"
    pieces = with_voice(lambda tts: say(tts, text))
    assert words_of(pieces, text) == [
        "In", "2024", "p99", "of", "nginx", "fell", "by", "50 %", "It's", "CI/CD", "again",
    ]  # fmt: skip


@pytest.mark.slow
@needs_package
def test_a_lexicon_changes_what_is_said() -> None:
    async def use(tts: HibariSynthesizer) -> int:
        return len(pcm_of(await say(tts, "Zyx.")))

    assert with_voice(use, lexicon={"Zyx": "a much longer name than that"}) > 2 * with_voice(use)


@pytest.mark.slow
@needs_package
def test_local_voices_are_equally_loud_and_not_clipped() -> None:
    texts = list(bank_for("Software Engineer").texts.values())[:5]

    async def use(tts: HibariSynthesizer) -> list[tuple[str, float, float]]:
        espeak = EspeakSynthesizer()
        found = []
        for voice in (tts, espeak):
            for text in texts:
                pcm = pcm_of(await say(voice, text)) / 32768
                found.append(
                    (voice.provider, loudness_lufs(pcm, voice.rate_hz), true_peak_dbfs(pcm))
                )
        await espeak.aclose()
        return found

    for provider, lufs, peak in with_voice(use):
        assert lufs == pytest.approx(TARGET_LUFS, abs=1.5), provider
        assert peak < -1, provider


# --- what it cannot say --------------------------------------------------------------------------

UNSAYABLE = [
    ("Guten Tag.", "de", "it speaks English, not de"),
    ("Расскажите мне о проекте.", None, "it speaks English, not this script"),
    ("?!…", None, "nothing to say"),
    ("\0\0", None, "nothing to say"),
    ("", None, "nothing to say"),
]


@needs_package
@pytest.mark.parametrize(("text", "language", "reason"), UNSAYABLE)
def test_what_it_cannot_say_is_refused_without_a_process(
    text: str, language: str | None, reason: str
) -> None:
    async def use(tts: HibariSynthesizer) -> CallerError:
        with pytest.raises(CallerError) as caught:
            await say(tts, text, language)
        assert tts.stats().starts == 0
        return caught.value

    assert with_voice(use).detail == reason


@needs_package
def test_what_the_phonemiser_fails_on_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unreadable:
        def send(self, kind: str, header: Header) -> None:
            assert kind == "speak"

        def cancel(self) -> None:
            pass

        async def __aiter__(self) -> AsyncIterator[WorkerPacket]:
            yield WorkerPacket(1, "unreadable", {"text": "ValueError: no number"}, b"", True)

    async def use(tts: HibariSynthesizer) -> CallerError:
        monkeypatch.setattr(tts._worker, "open_job", Unreadable)
        with pytest.raises(CallerError) as caught:
            await say(tts, "Well?")
        return caught.value

    assert with_voice(use).detail == "it cannot read it: ValueError: no number"


@pytest.mark.slow
@needs_package
def test_the_next_voice_says_what_it_cannot_and_its_breaker_stays_closed() -> None:
    sentences = [
        ("Tell me more.", "en"),
        ("Erzählen Sie mir mehr.", "de"),
        ("Tell me more.", None),
        ("Расскажите мне больше.", None),
        ("He said «привет», and left.", None),
    ]

    async def use(tts: HibariSynthesizer) -> tuple[list[str], int]:
        await tts.start()
        espeak = EspeakSynthesizer()
        policy = BreakerPolicy(consecutive_failures=1)
        candidates: list[Candidate[Synthesizer]] = [
            Candidate(voice.provider, cast("Synthesizer", voice), Breaker(policy))
            for voice in (tts, espeak)
        ]
        guard = Guard("tts", candidates)
        answered = []
        for text, language in sentences:
            sentence = Sentence(1, text, language=language)
            stream = guard.stream(
                lambda stage, said=sentence: stage.speak(said),  # type: ignore[misc]
                useful=lambda speech: len(speech.pcm) > 0,
            )
            async with stream as pieces:
                samples = sum([len(speech.pcm) async for speech in pieces])
                assert samples > 10_000
            answered.append(stream.provider)
        await espeak.aclose()
        return answered, sum(candidate.breaker.closed for candidate in candidates)

    assert with_voice(use) == (["hibari", "espeak-ng", "hibari", "espeak-ng", "hibari"], 2)


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.slow
@needs_package
def test_hostile_text_is_said_or_refused_and_the_next_sentence_is_fine() -> None:
    texts = {
        "long": "and then we went on to the next part of it " * 500,
        "one word": "a" * 5_000,
        "one word of numbers": "7" * 5_000,
        "scripts": MIXED,
        "control": "one\0two\x1b[31m\x07three",
        "half a pair": "well \ud83d done",
        "phonemes": "[word](/wˈɜɹd/) and \u02c8\u02cc",
        "digits": "Pick ①Kafka or ⑴ Redis.",
        "fine": QUESTION,
    }

    async def use(tts: HibariSynthesizer) -> dict[str, float]:
        seconds = {}
        for name, text in texts.items():
            try:
                pieces = await say(tts, text)
            except CallerError:
                seconds[name] = 0.0
            else:
                assert all(text[w.offset :][: w.length] for p in pieces for w in p.words)
                seconds[name] = len(pcm_of(pieces)) / 24_000
        assert tts.stats().starts == 1
        return seconds

    seconds = with_voice(use)
    assert seconds["scripts"] == 0
    assert 100 < seconds["long"] < 0.1 * MAX_CHARACTERS
    assert seconds["one word"] < 60
    assert seconds["one word of numbers"] < 60
    assert 0.5 < seconds["control"] < 4
    assert 0.3 < seconds["half a pair"] < 3
    assert 1 < seconds["digits"] < 5
    assert 2 < seconds["fine"] < 5


@pytest.mark.slow
@needs_package
def test_a_sentence_that_is_left_frees_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hibari, "MAX_WAITING", 1)

    async def use(tts: HibariSynthesizer) -> None:
        first = speaking(tts, QUESTION * 20)
        await anext(first)
        with pytest.raises(StageBusy, match="1 sentences are waiting"):
            await say(tts, "Two.")
        await first.aclose()
        assert tts.stats().jobs == 0
        assert await say(tts, "Three.")

    with_voice(use)


@pytest.mark.slow
@needs_package
def test_a_process_that_dies_fails_its_sentence_and_the_next_one_starts_another() -> None:
    async def use(tts: HibariSynthesizer) -> StageFailed:
        pieces = speaking(tts, QUESTION * 40)
        await anext(pieces)
        pid = tts.stats().pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(StageFailed) as caught:
            async for _ in pieces:
                pass
        async with asyncio.timeout(60):
            while not tts.stats().ready:  # a process that died young is started after a moment
                with contextlib.suppress(StageFailed):
                    await tts.start()
                await asyncio.sleep(0.01)
        assert await say(tts, "Hello.")
        assert tts.stats().starts == 2
        return caught.value

    error = with_voice(use)
    assert (error.provider, error.phase) == ("hibari", "stream")


@pytest.mark.slow
@needs_package
@pytest.mark.parametrize("damage", ["truncated", "one bit"])
def test_a_damaged_voice_is_refused_with_its_name(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = bytearray(_hibari_package.model_path().read_bytes())
    if damage == "truncated":
        del model[-1_000_000:]
    else:
        model[4_000_000] ^= 1
    path = tmp_path / "hibari.onnx"
    path.write_bytes(model)
    monkeypatch.setattr(hibari, "model_path", lambda: path)

    async def use(tts: HibariSynthesizer) -> StageFailed:
        with pytest.raises(StageFailed) as caught:
            await say(tts, "Hello.")
        return caught.value

    error = with_voice(use)
    assert error.phase == "connect"
    assert error.detail.startswith(f"the voice {path} is damaged or another one: its sha256 is ")
