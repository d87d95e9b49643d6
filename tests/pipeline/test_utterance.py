"""The utterance keeps its audio whole, within its bound."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import numpy as np
import pytest

from pipeline.errors import CallerError
from pipeline.frames import INPUT_RATE_HZ, Samples, Transcript
from pipeline.stage import Recognition
from pipeline.utterance import LONGEST_S, Utterance


def ramp(start: int, count: int) -> Samples:
    return (np.arange(start, start + count) % 30_000).astype(np.int16)


def test_an_utterance_keeps_two_minutes() -> None:
    utterance = Utterance(1, ramp(0, 0), 0, None)
    second = ramp(0, INPUT_RATE_HZ)
    for _ in range(LONGEST_S + 10):
        utterance.feed(second)
    assert len(utterance.audio) == LONGEST_S * INPUT_RATE_HZ
    assert utterance.end == (LONGEST_S + 10) * INPUT_RATE_HZ
    assert utterance.lost == 10 * INPUT_RATE_HZ
    kept, lost = utterance.joined(second)
    assert (len(kept), lost) == (LONGEST_S * INPUT_RATE_HZ, 11 * INPUT_RATE_HZ)


def test_an_utterance_that_goes_on_has_both_parts() -> None:
    utterance = Utterance(1, ramp(0, 320), 320, None)
    utterance.feed(ramp(320, 320))
    whole, lost = utterance.joined(ramp(640, 320))
    assert np.array_equal(whole, ramp(0, 960))
    assert lost == 0
    assert utterance.end == 640


def test_a_recognition_that_is_abandoned_is_closed_at_once() -> None:
    closed: list[bool] = []

    class Closes(Deaf):
        async def finish(self) -> AsyncIterator[Transcript]:
            try:
                yield Transcript(1, "half", final=False)
            finally:
                await asyncio.sleep(0)
                closed.append(True)

    class Recogniser(Told):
        def open(self, *arguments: object) -> Recognition:
            return Closes()

    async def scene() -> None:
        transcripts = Utterance(1, ramp(0, 320), 320, None).recognise(Recogniser())
        assert (await anext(transcripts)).text == "half"
        await transcripts.aclose()  # type: ignore[attr-defined]
        assert closed == [True]

    asyncio.run(scene())


class Told:
    """A recogniser that records the arguments of `open`."""

    provider = "told"

    def __init__(self) -> None:
        self.hints: list[Sequence[str]] = []
        self.languages_told: list[str | None] = []

    def open(
        self,
        turn: int,
        on_partial: Callable[[Transcript], None] | None = None,
        hints: Sequence[str] = (),
        language: str | None = None,
    ) -> Recognition:
        self.hints.append(hints)
        self.languages_told.append(language)
        return Deaf()

    async def aclose(self) -> None: ...


class Deaf:
    def feed(self, pcm: Samples) -> None: ...

    async def finish(self) -> AsyncIterator[Transcript]:
        yield Transcript(1, "", final=True)

    def cancel(self) -> None: ...


def test_every_recogniser_gets_the_hints() -> None:
    async def scene() -> None:
        first, second = Told(), Told()
        utterance = Utterance(1, ramp(0, 320), 320, first, hints=("gRPC",))
        assert [transcript.text async for transcript in utterance.recognise(second)] == [""]
        utterance.cancel()
        assert (first.hints, second.hints) == ([("gRPC",)], [("gRPC",)])

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("samples", "expected"),
    [(0, []), (2, [6, 7]), (4, [4, 5, 6, 7]), (5, [3, 4, 5, 6, 7]), (99, [1, 2, 3, 4, 5, 6, 7])],
)
def test_the_tail_of_an_utterance_is_its_last_audio(samples: int, expected: list[int]) -> None:
    utterance = Utterance(1, np.array([1, 2, 3], np.int16), 3, None)
    utterance.feed(np.array([4, 5], np.int16))
    utterance.feed(np.array([6, 7], np.int16))
    assert utterance.tail(samples).tolist() == expected


def test_every_recogniser_is_told_the_language() -> None:
    async def scene() -> None:
        first, second = Told(), Told()
        utterance = Utterance(1, ramp(0, 320), 320, first, language="de")
        assert [transcript.text async for transcript in utterance.recognise(second)] == [""]
        utterance.cancel()
        assert (first.languages_told, second.languages_told) == (["de"], ["de"])

    asyncio.run(scene())


def test_a_recogniser_for_another_language_refuses_the_utterance() -> None:
    class English(Told):
        languages = ("en",)

    stage = English()
    with pytest.raises(CallerError, match="does not know the language 'de'"):
        Utterance(1, ramp(0, 320), 320, None, language="de").recognise(stage)
    assert stage.languages_told == []
