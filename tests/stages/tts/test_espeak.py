import asyncio
import itertools
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar, cast

import numpy as np
import pytest

from pipeline.breaker import Breaker, BreakerPolicy
from pipeline.errors import CallerError, PipelineError, StageBusy, StageFailed, StageUnavailable
from pipeline.frames import Sentence, Speech
from pipeline.guard import Candidate, Guard
from pipeline.stage import Synthesizer
from stages.tts import espeak
from stages.tts._espeak import EspeakJob
from stages.tts.espeak import EspeakSynthesizer, check, speakable
from stages.tts.loudness import TARGET_LUFS, loudness_lufs, true_peak_dbfs
from tests.support.scripts import MIXED

QUESTION = "Tell me about a project that you are proud of."
T = TypeVar("T")


def run(coro: Coroutine[Any, Any, T]) -> T:
    """The engine works in a real thread, so time is real here."""

    async def bounded() -> T:
        async with asyncio.timeout(20):
            return await coro

    return asyncio.run(bounded())


async def say(tts: EspeakSynthesizer, text: str) -> list[Speech]:
    return [piece async for piece in tts.speak(Sentence(3, text))]


def spoken(text: str, language: str | None = None, **options: Any) -> list[Speech]:
    async def main() -> list[Speech]:
        tts = EspeakSynthesizer(**options)
        try:
            return [piece async for piece in tts.speak(Sentence(3, text, language=language))]
        finally:
            await tts.aclose()

    return run(main())


def samples(pieces: list[Speech]) -> int:
    return sum(len(piece.pcm) for piece in pieces)


def words(text: str) -> list[str]:
    return [
        text[word.offset : word.offset + word.length]
        for piece in spoken(text)
        for word in piece.words
    ]


def test_a_sentence_becomes_audible_speech_of_its_turn() -> None:
    pieces = spoken(QUESTION)
    assert {piece.turn for piece in pieces} == {3}
    assert {piece.pcm.dtype for piece in pieces} == {np.dtype(np.int16)}
    assert 2.0 < samples(pieces) / 22_050 < 4.5
    assert max(int(np.abs(piece.pcm).max()) for piece in pieces) > 5_000


def test_the_rate_is_the_engines() -> None:
    async def main() -> int:
        tts = EspeakSynthesizer()
        await tts.aclose()
        return tts.rate_hz

    assert run(main()) == 22_050


def test_speech_comes_in_pieces_of_one_second() -> None:
    pieces = spoken(QUESTION)
    assert [len(piece.pcm) for piece in pieces[:-1]] == [22_050] * (len(pieces) - 1)
    assert 0 < len(pieces[-1].pcm) <= 22_050


def test_cues_cover_the_audio_without_gap_and_end_closed() -> None:
    pieces = spoken(QUESTION)
    cues = [cue for piece in pieces for cue in piece.cues]
    assert cues[0].at_ms == 0
    assert [a.at_ms + a.duration_ms for a in cues[:-1]] == [b.at_ms for b in cues[1:]]
    assert all(a.shape != b.shape for a, b in itertools.pairwise(cues))
    assert cues[-1].shape == "sil"
    assert cues[-1].at_ms + cues[-1].duration_ms == round(samples(pieces) / 22.05)
    assert len(cues) > 20


def test_cues_and_words_come_with_the_audio_in_which_they_begin() -> None:
    pieces = spoken(QUESTION)
    for index, piece in enumerate(pieces):
        times = [cue.at_ms for cue in piece.cues] + [word.at_ms for word in piece.words]
        assert all(index * 1000 <= at_ms < index * 1000 + 1000 for at_ms in times)


def test_the_mouth_is_closed_where_the_audio_is_silent() -> None:
    pieces = spoken("Well, yes. No.")
    pcm = np.concatenate([piece.pcm for piece in pieces]).astype(float)
    pauses = [c for piece in pieces for c in piece.cues if c.shape == "sil" and c.duration_ms > 100]
    assert len(pauses) == 3
    for cue in pauses:
        start, end = ((cue.at_ms + edge) * 22_050 // 1000 for edge in (10, cue.duration_ms - 10))
        assert float(np.abs(pcm[start:end]).max()) < 200


def test_word_positions_are_those_of_the_original_text() -> None:
    assert words("Hello, naïve 😀 world.\nIt's fine!") == [
        "Hello",
        "naïve",
        "world",
        "It's",
        "fine",
    ]


def test_a_number_is_one_word() -> None:
    assert words("In 1984 there were 1234567 of them.")[:3] == ["In", "1984", "there"]


def test_words_come_in_order_inside_the_audio() -> None:
    pieces = spoken(QUESTION)
    said = [word for piece in pieces for word in piece.words]
    assert [word.offset for word in said] == sorted({word.offset for word in said})
    assert [word.at_ms for word in said] == sorted(word.at_ms for word in said)
    assert said[-1].at_ms < samples(pieces) / 22.05


@pytest.mark.parametrize("text", ["", "   ", "...", "?!", "😀 👍", "**", "\0\0", "—", "☃", "℃"])
def test_nothing_to_say_is_refused(text: str) -> None:
    with pytest.raises(CallerError) as caught:
        spoken(text)
    error = caught.value
    assert (error.stage, error.provider, error.phase) == ("tts", "espeak-ng", "empty")


@pytest.mark.parametrize(
    ("text", "language"), [("℃", "de"), ("https://", "en"), ("ꦱꦸ", "de"), ("ꦱꦸ", None)]
)
def test_what_it_cannot_say_leaves_its_breaker_closed(text: str, language: str | None) -> None:
    async def main() -> bool:
        tts = EspeakSynthesizer()
        breaker = Breaker(BreakerPolicy(consecutive_failures=1))
        guard = Guard("tts", [Candidate(tts.provider, cast("Synthesizer", tts), breaker)])
        stream = guard.stream(
            lambda stage: stage.speak(Sentence(1, text, language=language)),
            useful=lambda speech: len(speech.pcm) > 0,
        )
        with pytest.raises(StageUnavailable):
            async with stream as pieces:
                [_ async for _ in pieces]
        await tts.aclose()
        return breaker.closed

    assert run(main())


def test_a_nul_does_not_end_the_sentence() -> None:
    assert words("one\0two") == ["one", "two"]


def test_endless_text_is_cut() -> None:
    assert samples(spoken("a" * 5000)) < 15 * 22_050


def test_long_text_is_cut_before_a_word() -> None:
    text = "alpha beta gamma delta " * 40
    said = words(text)
    assert set(said) == {"alpha", "beta", "gamma", "delta"}
    assert len(said) == 104


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\tb\nc\x07d", "a b c d"),
        ("ok 👩‍💻️ go", "ok      go"),
        ("**bold** `x` [y]", "  bold    x   y "),
        ("# C# and C++ at 20 °C, €5", "  C# and C++ at 20 °C, €5"),
        ("e\u0301te\u0301", "e\u0301te\u0301"),
        ("it\u2019s\ud800", "it\u2019s "),
        ("x\u200by", "x y"),
    ],
)
def test_characters_that_cannot_be_said_become_spaces(text: str, expected: str) -> None:
    assert speakable(text) == expected


def test_markup_takes_no_time() -> None:
    plain = samples(spoken("This is bold."))
    assert abs(samples(spoken("This is **bold**.")) - plain) < 2_205


def test_options_reach_the_engine() -> None:
    slow = samples(spoken(QUESTION, words_per_minute=100))
    fast = samples(spoken(QUESTION, words_per_minute=250))
    assert slow > 1.5 * fast


def test_two_voices_do_not_disturb_each_other() -> None:
    async def main() -> list[int]:
        slow = EspeakSynthesizer(words_per_minute=100)
        fast = EspeakSynthesizer("de", words_per_minute=300)
        text = "Guten Morgen, mein Name ist Anna."
        lengths = [samples(await say(tts, text)) for tts in (slow, fast, slow, fast)]
        await slow.aclose()
        await fast.aclose()
        return lengths

    first, second, third, fourth = run(main())
    assert first == pytest.approx(third, rel=0.02)
    assert second == pytest.approx(fourth, rel=0.02)
    assert first > 1.8 * second


def test_eight_sentences_at_once_are_each_spoken_whole() -> None:
    texts = [f"Number {n} is {'very ' * n}long." for n in range(8)]

    async def main() -> tuple[list[int], list[int]]:
        tts = EspeakSynthesizer()
        alone = [samples(await say(tts, text)) for text in texts]
        together = await asyncio.gather(*(say(tts, text) for text in texts))
        await tts.aclose()
        return alone, [samples(pieces) for pieces in together]

    alone, together = run(main())
    assert together == pytest.approx(alone, rel=0.02)


class Recorder(list[bytes]):
    """A job's audio that tells the event loop when the first of it is there."""

    def __init__(self, first: asyncio.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._first = first

    def append(self, pcm: bytes) -> None:
        super().append(pcm)
        self._loop.call_soon_threadsafe(self._first.set)


def test_cancelling_stops_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> tuple[int, int]:
        tts = EspeakSynthesizer()
        whole = samples(await say(tts, QUESTION * 12))
        first = asyncio.Event()
        job = EspeakJob(pcm=Recorder(first))
        monkeypatch.setattr(espeak, "EspeakJob", lambda: job)
        task = asyncio.create_task(say(tts, QUESTION * 12))
        await first.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await tts.aclose()
        return whole, sum(map(len, job.pcm)) // 2

    whole, cancelled = run(main())
    assert 0 < cancelled < whole * 0.8


def test_a_sentence_cancelled_while_it_waits_is_never_spoken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> list[bool]:
        tts = EspeakSynthesizer()
        jobs = [EspeakJob() for _ in range(3)]
        made = iter(jobs)
        monkeypatch.setattr(espeak, "EspeakJob", lambda: next(made))
        first = asyncio.create_task(say(tts, QUESTION * 12))
        second = asyncio.create_task(say(tts, QUESTION))
        await asyncio.sleep(0)
        second.cancel()
        await first
        await say(tts, "Done.")
        await tts.aclose()
        return [bool(job.pcm) for job in jobs]

    assert run(main()) == [True, False, True]


def test_too_many_waiting_sentences_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(espeak, "MAX_WAITING", 2)

    async def main() -> list[Any]:
        tts = EspeakSynthesizer()
        calls = (say(tts, QUESTION) for _ in range(3))
        results = await asyncio.gather(*calls, return_exceptions=True)
        results.append(await say(tts, QUESTION))
        await tts.aclose()
        return results

    assert [type(result) for result in run(main())] == [list, list, StageBusy, list]


def test_a_failure_inside_the_callback_is_a_failed_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: Any) -> bytes:
        raise MemoryError

    monkeypatch.setattr("stages.tts._espeak.ctypes.string_at", no_memory)
    with pytest.raises(StageFailed) as caught:
        spoken(QUESTION)
    assert caught.value.phase == "stream"


def test_closing_fails_what_is_being_said_and_ends_the_thread() -> None:
    async def main() -> list[BaseException | list[Speech]]:
        tts = EspeakSynthesizer()
        calls = [asyncio.create_task(say(tts, QUESTION * 12)) for _ in range(3)]
        await asyncio.sleep(0)
        await tts.aclose()
        await tts.aclose()
        calls.append(asyncio.create_task(say(tts, QUESTION)))
        return await asyncio.gather(*calls, return_exceptions=True)

    results = run(main())
    assert [(type(r), getattr(r, "phase", None)) for r in results] == [
        (StageFailed, "stream"),
        (StageFailed, "stream"),
        (StageFailed, "stream"),
        (StageFailed, "connect"),
    ]
    assert [t.name for t in threading.enumerate() if t.name.startswith("espeak")] == []


# --- languages and reading -----------------------------------------------------------------------


def mouths(pieces: list[Speech]) -> list[str]:
    return [cue.shape for piece in pieces for cue in piece.cues]


def test_a_sentence_is_spoken_by_the_voice_of_its_language() -> None:
    text = "Guten Morgen, mein Name ist Anna."
    german = mouths(spoken(text, voice="de"))
    assert mouths(spoken(text, "de")) == german
    assert mouths(spoken(text, "de-AT")) == german
    assert mouths(spoken(text)) != german


def test_a_language_without_a_voice_is_spoken_by_the_voice_that_was_chosen() -> None:
    text = "Guten Morgen, mein Name ist Anna."
    assert mouths(spoken(text, "tlh")) == mouths(spoken(text, "tlh", voice="en-us"))
    assert mouths(spoken(text, "tlh", voice="de")) == mouths(spoken(text, "de"))


@pytest.mark.parametrize(("text", "code"), [("Расскажите о себе.", "ru"), ("Πες μου.", "el")])
def test_a_script_shows_the_language(text: str, code: str) -> None:
    assert mouths(spoken(text)) == mouths(spoken(text, voice=code))
    assert mouths(spoken(text, "en")) == mouths(spoken(text, voice=code))


@pytest.mark.parametrize("code", sorted(espeak.LANGUAGES))
def test_every_language_has_a_voice_that_exists(code: str) -> None:
    assert samples(spoken("1 2 3", code)) > 5_000


def test_english_is_read_with_the_lexicon_and_words_keep_their_places() -> None:
    text = "In 2024, p99 of nginx fell by 50 %."
    assert words(text) == ["In", "2024", "p99", "of", "nginx", "fell", "by", "50 %"]
    longer = spoken("Zyx.", lexicon={"Zyx": "a much longer name than that"})
    assert samples(longer) > 2 * samples(spoken("Zyx."))


def test_german_is_read_as_it_is_written() -> None:
    text = "Wir nutzen SQL seit 2024."
    pieces = spoken(text, "de")
    assert [text[w.offset :][: w.length] for p in pieces for w in p.words] == text[:-1].split()


@pytest.mark.parametrize(("text", "language"), [(QUESTION, None), ("Guten Morgen, Anna.", "de")])
def test_the_voice_has_the_loudness_of_all_voices(text: str, language: str | None) -> None:
    pcm = np.concatenate([piece.pcm for piece in spoken(text, language)]) / 32768
    assert loudness_lufs(pcm, 22_050) == pytest.approx(TARGET_LUFS, abs=1.5)
    assert true_peak_dbfs(pcm) < -1


def test_an_unknown_voice_is_refused_at_once() -> None:
    with pytest.raises(PipelineError, match="no voice 'nobody'"):
        EspeakSynthesizer("nobody")


def test_check_is_silent_where_the_engine_works() -> None:
    assert check() is None


def test_check_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install 'parley-gateway[offline]'" in (check() or "")
    with pytest.raises(PipelineError, match="espeakng-loader"):
        EspeakSynthesizer()


def test_a_text_of_45_scripts_is_said_in_bounded_time_or_refused() -> None:
    async def main() -> tuple[int, int]:
        tts = EspeakSynthesizer()
        try:
            try:
                odd = samples(await say(tts, MIXED))
            except CallerError:
                odd = 0
            return odd, samples(await say(tts, QUESTION))
        finally:
            await tts.aclose()

    odd, fine = run(main())
    assert odd < 22_050 * 120
    assert fine > 22_050 * 2
