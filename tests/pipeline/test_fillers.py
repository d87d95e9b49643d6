"""The cache of fillers: one of each line for every voice and language, bounded, made once."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from pipeline.breaker import Breaker
from pipeline.fillers import Fillers
from pipeline.frames import Sentence, Speech
from pipeline.guard import Candidate, Guard
from pipeline.testing import run_virtual
from stages.fakes import FakeSynthesizer, Script

LINES = ("One moment.", "Let me think.")
WISH = Sentence(0, "")


class Counting(FakeSynthesizer):
    """Writes down what it was asked to say."""

    languages: tuple[str, ...] | None = None

    def __init__(self, *scripts: Script, **options: Any) -> None:
        super().__init__(*scripts, **options)
        self.asked: list[Sentence] = []

    def speak(self, sentence: Sentence) -> AsyncIterator[Speech]:
        self.asked.append(sentence)
        return super().speak(sentence)


def guard(*voices: Any) -> Guard[Any]:
    return Guard("tts", [Candidate(voice.provider, voice, Breaker()) for voice in voices])


def run(story: Callable[[Fillers], Coroutine[Any, Any, None]], **options: Any) -> None:
    async def main() -> None:
        fillers = Fillers(**options)
        await story(fillers)
        await fillers.aclose()
        await asyncio.sleep(0.3)
        assert len(asyncio.all_tasks()) == 1

    run_virtual(main())


def test_a_line_is_made_once_and_found_with_its_words_and_mouth_shapes() -> None:
    voice = Counting()
    voices = guard(voice)

    async def story(fillers: Fillers) -> None:
        assert fillers.find(voices, WISH, LINES) is None
        for _ in range(3):
            fillers.prepare(voices, WISH, LINES)
            await asyncio.sleep(1)
        found = fillers.find(voices, WISH, LINES)
        assert found is not None
        assert (found.text, found.provider, found.rate_hz) == ("One moment.", "fake-tts", 16_000)
        assert sum(len(speech.pcm) for speech in found.speech) == 2 * 200 * 16
        assert [word.offset for speech in found.speech for word in speech.words] == [0, 4]
        assert all(speech.cues for speech in found.speech)

    run(story)
    assert [sentence.text for sentence in voice.asked] == list(LINES)


def test_each_language_and_wished_voice_has_its_own() -> None:
    voice = Counting()
    voices = guard(voice)

    async def story(fillers: Fillers) -> None:
        for wish in (WISH, Sentence(0, "", "alto"), Sentence(0, "", None, "de")):
            fillers.prepare(voices, wish, LINES[:1])
        await asyncio.sleep(1)

    run(story)
    asked = [(sentence.voice, sentence.language) for sentence in voice.asked]
    assert asked == [(None, None), ("alto", None), (None, "de")]


def test_a_voice_that_hangs_gives_none_and_the_next_one_has_some() -> None:
    one, two = Counting(Script(stall=True), provider="one"), Counting(provider="two")
    voices = guard(one, two, Counting(provider="three"))

    async def story(fillers: Fillers) -> None:
        fillers.prepare(voices, WISH, LINES)
        await asyncio.sleep(0.1)
        found = fillers.find(voices, WISH, LINES)
        assert found is not None
        assert found.provider == "two"
        await asyncio.sleep(5)
        fillers.prepare(voices, WISH, LINES)
        assert len(one.asked) == 1
        await asyncio.sleep(15)
        fillers.prepare(voices, WISH, LINES)
        await asyncio.sleep(0.1)
        assert len(one.asked) == 2

    run(story)
    assert len(two.asked) == len(LINES)
    assert voices.candidates[2].stage.asked == []


def test_a_voice_that_stands_by_has_fillers_wherever_it_comes() -> None:
    class Ready(Counting):
        stands_by = True

    slow = [Counting(Script(first_s=3.0), provider=name) for name in ("one", "two", "three")]
    ready, later = Ready(provider="ready"), Ready(provider="later")
    voices = guard(*slow, ready, later)

    async def story(fillers: Fillers) -> None:
        fillers.prepare(voices, WISH, LINES)
        await asyncio.sleep(0.1)
        found = fillers.find(voices, WISH, LINES)
        assert found is not None
        assert found.provider == "ready"

    run(story)
    assert [len(voice.asked) for voice in (*slow, ready, later)] == [1, 1, 0, 2, 0]


def test_a_voice_whose_breaker_is_open_is_not_asked_but_what_it_said_may_be_used() -> None:
    one = Counting(provider="one")
    voices = guard(one)

    async def story(fillers: Fillers) -> None:
        fillers.prepare(voices, WISH, LINES[:1])
        await asyncio.sleep(1)
        breaker = voices.candidates[0].breaker
        breaker.mode = breaker.mode.FORCED_OPEN
        fillers.prepare(voices, WISH, LINES)
        found = fillers.find(voices, WISH, LINES)
        assert found is not None
        assert found.text == LINES[0]

    run(story)
    assert len(one.asked) == 1


def test_a_voice_that_does_not_know_the_language_is_not_asked() -> None:
    one, two = Counting(provider="one"), Counting(provider="two")
    one.languages = ("en",)

    async def story(fillers: Fillers) -> None:
        fillers.prepare(guard(one, two), Sentence(0, "", None, "de"), LINES)
        await asyncio.sleep(1)

    run(story)
    assert (len(one.asked), len(two.asked)) == (0, len(LINES))


def test_a_line_that_takes_longer_than_two_seconds_is_not_used() -> None:
    voices = guard(Counting(ms_per_word=800))

    async def story(fillers: Fillers) -> None:
        fillers.prepare(voices, WISH, ("Let me think.", "One moment."))
        await asyncio.sleep(1)
        found = fillers.find(voices, WISH, ("Let me think.", "One moment."))
        assert found is not None
        assert found.text == "One moment."

    run(story)


def test_the_cache_is_bounded_and_forgets_what_was_not_used_for_longest() -> None:
    voice = Counting()
    voices = guard(voice)
    wishes = [Sentence(0, "", name) for name in ("alto", "bass", "tenor")]

    async def story(fillers: Fillers) -> None:
        for wish in wishes:
            fillers.prepare(voices, wish, LINES[:1])
            await asyncio.sleep(1)
        found = [fillers.find(voices, wish, LINES[:1]) is not None for wish in wishes]
        assert found == [False, True, True]

    run(story, most=2)


def test_a_line_under_way_is_dropped_with_its_place_in_the_cache() -> None:
    voices = guard(Counting(Script(first_s=1.0)))

    async def story(fillers: Fillers) -> None:
        fillers.prepare(voices, WISH, LINES)
        await asyncio.sleep(0.1)
        fillers.prepare(voices, Sentence(0, "", "alto"), LINES)
        await asyncio.sleep(3)
        assert fillers.find(voices, WISH, LINES) is None
        assert fillers.find(voices, Sentence(0, "", "alto"), LINES) is not None

    run(story, most=1)


def test_a_line_that_is_made_is_told_until_nobody_watches() -> None:
    voices = guard(Counting(Script(first_s=0.5)))
    told: list[float] = []

    async def story(fillers: Fillers) -> None:
        def note() -> None:
            told.append(asyncio.get_running_loop().time())
            fillers.unwatch(note)

        fillers.watch(note)
        fillers.prepare(voices, WISH, LINES)
        await asyncio.sleep(2)
        fillers.unwatch(note)

    run(story)
    assert told == [0.5]


@pytest.mark.parametrize("most", [1, 2])
def test_closing_ends_what_is_under_way_also_what_has_lost_its_place(most: int) -> None:
    class Slow(Counting):
        closed = 0

        async def speak(self, sentence: Sentence) -> AsyncIterator[Speech]:
            self.asked.append(sentence)
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.2)
                self.closed += 1
            yield Speech(0, np.zeros(0, np.int16))

    voice = Slow()
    voices = guard(voice)

    async def main() -> None:
        fillers = Fillers(most=most)
        fillers.prepare(voices, WISH, LINES)
        await asyncio.sleep(0.1)
        fillers.prepare(voices, Sentence(0, "", "alto"), LINES)
        await asyncio.sleep(0.1)
        await fillers.aclose()
        assert (len(voice.asked), voice.closed) == (2, 2)

    run_virtual(main())


def test_pieces_without_sound_are_kept_in_their_order() -> None:
    class Marks(Counting):
        async def speak(self, sentence: Sentence) -> AsyncIterator[Speech]:
            yield Speech(0, np.zeros(0, np.int16))
            yield Speech(0, np.ones(160, np.int16))

    voices = guard(Marks())

    async def story(fillers: Fillers) -> None:
        fillers.prepare(voices, WISH, LINES[:1])
        await asyncio.sleep(1)
        found = fillers.find(voices, WISH, LINES)
        assert found is not None
        assert [len(speech.pcm) for speech in found.speech] == [0, 160]

    run(story)
