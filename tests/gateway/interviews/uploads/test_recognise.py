"""Uploaded recordings through voice detection and the recognisers of live voice."""

import asyncio
import io
import wave
from collections.abc import Coroutine, Sequence
from typing import Any

import numpy as np
import pytest

from gateway.interviews.uploads import (
    MOST_UNDER_WAY,
    UploadBody,
    UploadError,
    UploadRecording,
    Uploads,
)
from gateway.interviews.uploads.errors import (
    UploadBusy,
    UploadFailed,
    UploadLanguage,
    UploadTooLarge,
)
from pipeline.breaker import Breaker
from pipeline.errors import PipelineError, StageFailed
from pipeline.frames import Samples, Transcript, Word
from pipeline.guard import Candidate, Guard
from pipeline.stage import Transcriber
from pipeline.testing import cancel_at, run_virtual
from stages.fakes import FakeDetector, FakeTranscriber, Script

RATE_HZ = 16_000


def sound(*parts: tuple[float, bool]) -> Samples:
    """Seconds of tone and of silence."""
    pieces = []
    for seconds, loud in parts:
        t = np.arange(round(seconds * RATE_HZ))
        pieces.append(6000 * np.sin(t / 12) if loud else np.zeros(len(t)))
    return np.concatenate(pieces).astype(np.int16)


def recording(pcm: Samples, *, truncated: bool = False) -> UploadRecording:
    return UploadRecording(io.BytesIO(pcm.tobytes()), len(pcm), truncated)


class Attentive(FakeTranscriber):
    """Remembers what it was given; its words are the first and the last tenth of a second."""

    def __init__(self, *scripts: Script, **options: Any) -> None:
        super().__init__(*scripts, **options)
        self.heard: list[float] = []
        self.hints: list[Sequence[str]] = []

    def open(
        self, turn: int, on_partial: Any = None, hints: Sequence[str] = (), language: Any = None
    ) -> Any:
        self.hints.append(hints)
        return Listening(self, super().open(turn, on_partial, hints, language))


class OneLanguage(Attentive):
    def __init__(self, language: str) -> None:
        super().__init__(provider=language)
        self.languages = (language,)


class Listening:
    def __init__(self, stage: Attentive, inner: Any) -> None:
        self._stage = stage
        self._inner = inner
        self._seconds = 0.0

    def feed(self, pcm: Samples) -> None:
        self._seconds += len(pcm) / RATE_HZ
        self._inner.feed(pcm)

    async def finish(self) -> Any:
        self._stage.heard.append(round(self._seconds, 1))
        end_ms = round(self._seconds * 1000)
        async for found in self._inner.finish():
            words = (Word("first", 0, 100), Word("last", end_ms - 100, end_ms))
            yield Transcript(0, found.text, True, "en", 0.9, words)

    def cancel(self) -> None:
        self._inner.cancel()


def guard(*stages: FakeTranscriber) -> Guard[Transcriber]:
    return Guard("stt", [Candidate(stage.provider, stage, Breaker()) for stage in stages])


def uploads(*stages: FakeTranscriber, **limits: int) -> Uploads:
    return Uploads(FakeDetector(), guard(*stages), **limits)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return run_virtual(work)


# --- words -----------------------------------------------------------------------------------


def test_a_long_answer_is_recognised_piece_by_piece() -> None:
    stage = Attentive(texts=("one", "two", "three"))
    pcm = sound((1, False), (20, True), (1, False), (18, True), (6, False), (4, True), (2, False))
    heard = run(uploads(stage).recognise(recording(pcm, truncated=True), hints=("Kafka",)))
    assert heard.text == "one two three"
    assert pytest.approx(stage.heard, abs=0.2) == [20.6, 18.6, 4.6]
    assert stage.hints == [("Kafka",)] * 3
    assert (heard.duration_ms, heard.truncated) == (52_000, True)
    assert pytest.approx(
        [word.start_ms for word in heard.words if word.text == "first"], abs=100
    ) == [700, 21_700, 45_700]
    assert pytest.approx([pause.at_ms for pause in heard.pauses], abs=100) == [21_000, 40_000]
    assert heard.first_speech_ms == pytest.approx(1000, abs=100)
    assert (heard.recognition.confidence, heard.recognition.language) == (0.9, "en")
    assert stage.open_now == 0


def test_silence_is_not_given_to_a_recogniser() -> None:
    stage = Attentive()
    heard = run(uploads(stage).recognise(recording(sound((5, False)))))
    assert (heard.text, stage.heard, heard.recognition.provider) == ("", [], "fake-stt")


def test_speech_up_to_the_last_sample_is_all_heard() -> None:
    stage = Attentive()
    run(uploads(stage).recognise(recording(sound((0.5, False), (2.013, True)))))
    assert stage.heard == pytest.approx([2.3], abs=0.05)


def test_progress_rises_to_1() -> None:
    shares: list[float] = []
    pcm = sound((20, True), (4, False), (10, True))
    run(uploads(Attentive()).recognise(recording(pcm), on_progress=shares.append))
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert shares == sorted(shares)
    assert any(0.5 < share < 0.8 for share in shares)


def test_a_slow_recogniser_is_waited_for_and_its_breaker_stays_closed() -> None:
    stage = Attentive(Script(first_s=40))
    one = guard(stage)
    pcm = recording(sound((10, True)))
    heard = run(Uploads(FakeDetector(), one).recognise(pcm))
    assert heard.text == "hello there"
    assert one.candidates[0].breaker.closed


def test_the_next_recogniser_takes_over_where_the_first_fails() -> None:
    broken = Attentive(Script(error=StageFailed("stt", "a", "stream")), provider="a")
    heard = run(uploads(broken, Attentive(provider="b")).recognise(recording(sound((3, True)))))
    assert (heard.text, heard.recognition.provider) == ("hello there", "b")


def test_signs_without_a_letter_are_no_words() -> None:
    pcm = recording(sound((4, True), (3, False), (4, True)))
    heard = run(uploads(Attentive(texts=("\u266a\u266a [?]",))).recognise(pcm))
    assert (heard.text, heard.words) == ("", ())


# --- what goes wrong -------------------------------------------------------------------------


def refusal(work: Coroutine[Any, Any, Any], kind: type[UploadError]) -> str:
    with pytest.raises(kind) as caught:
        run(work)
    return caught.value.code


def test_no_recogniser_is_said() -> None:
    broken = Attentive(Script(error=StageFailed("stt", "a", "stream")))
    one = uploads(broken)
    assert refusal(one.recognise(recording(sound((3, True)))), UploadFailed) == "no_recogniser"
    assert broken.open_now == 0


def test_a_language_that_no_recogniser_knows_is_refused_without_a_retry() -> None:
    stage = OneLanguage("en")
    with pytest.raises(UploadLanguage, match="understands the language 'de'") as caught:
        run(uploads(stage).recognise(recording(sound((3, True))), language="de"))
    assert (caught.value.status, caught.value.code) == (409, "language_not_recognised")
    assert caught.value.retry_after_s is None
    assert stage.told == []


@pytest.mark.parametrize(
    ("language", "provider", "told"),
    [("auto", "any", None), ("de", "any", "de"), ("en", "en", "en"), (None, "en", None)],
)
def test_recognisers_are_left_out_as_in_live_calls(
    language: str | None, provider: str, told: str | None
) -> None:
    english, several = OneLanguage("en"), Attentive(provider="any")
    one = uploads(english, several)
    heard = run(one.recognise(recording(sound((3, True))), language=language))
    assert heard.recognition.provider == provider
    assert [*english.told, *several.told] == [told]


def test_auto_is_the_language_that_all_recognisers_know() -> None:
    english = OneLanguage("en")
    run(uploads(english).recognise(recording(sound((3, True))), language="auto"))
    assert english.told == ["en"]


def test_a_detector_without_a_place_is_busy() -> None:
    class Full(FakeDetector):
        def open(self, on_chunk: Any) -> Any:
            raise PipelineError("no place left")

    one = Uploads(Full(), guard(Attentive()))
    assert refusal(one.recognise(recording(sound((3, True)))), UploadBusy) == "uploads_full"


def test_a_detector_that_says_nothing_is_given_up() -> None:
    class Mute(FakeDetector):
        def open(self, on_chunk: Any) -> Any:
            return super().open(lambda position, probability: None)

    one = Uploads(Mute(), guard(Attentive()))
    assert refusal(one.recognise(recording(sound((3, True)))), UploadFailed) == "no_recogniser"


def test_more_uploads_than_there_are_places_are_refused_at_once() -> None:
    async def main() -> None:
        one = uploads(Attentive(Script(first_s=5)))
        under_way = [
            asyncio.create_task(one.recognise(recording(sound((1, True)))))
            for _ in range(MOST_UNDER_WAY)
        ]
        await asyncio.sleep(1)
        with pytest.raises(UploadBusy):
            await one.recognise(recording(sound((1, True))))
        await asyncio.gather(*under_way)
        assert (await one.recognise(recording(sound((1, True))))).text == "hello there"

    run(main())


def test_cancelling_anywhere_leaves_no_utterance_open() -> None:
    async def main() -> None:
        stage = Attentive(Script(first_s=1))
        detector = FakeDetector()
        nth = 1
        while True:
            work = Uploads(detector, guard(stage)).recognise(recording(sound((1, True))))
            more = await cancel_at(nth, work)
            assert stage.open_now == 0
            if not more:
                return
            nth += 1

    run(main())


# --- from bytes ------------------------------------------------------------------------------


def wav(pcm: Samples) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(pcm.tobytes())
    return buffer.getvalue()


def test_a_body_becomes_words() -> None:
    async def main() -> None:
        one = uploads(Attentive())

        async def stream() -> Any:
            yield wav(sound((1, False), (3, True)))[:-6]

        with await one.read({"content-type": "audio/wav"}, stream()) as body:
            found = await one.decode(body)
        heard = await one.recognise(found)
        found.close()
        assert (heard.text, heard.truncated) == ("hello there", True)
        assert heard.duration_ms == pytest.approx(4000, abs=2)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("data", "limits", "status", "code"),
    [
        (b"just text", {}, 415, "not_audio"),
        (b"", {}, 422, "empty"),
        (wav(sound((1, True)))[:30], {}, 422, "damaged"),
        (wav(sound((61, True))), {"max_min": 1}, 413, "too_long"),
    ],
)
def test_what_cannot_be_decoded_has_a_status_and_a_code(
    data: bytes, limits: dict[str, int], status: int, code: str
) -> None:
    async def main() -> None:
        with pytest.raises(UploadError) as caught:
            await uploads(Attentive(), **limits).decode(UploadBody(io.BytesIO(data)))
        assert (status, code) == (caught.value.status, caught.value.code)
        assert str(caught.value)

    asyncio.run(main())


def test_the_limit_of_bytes_is_the_settings() -> None:
    async def main() -> None:
        async def stream() -> Any:
            for _ in range(3):
                yield bytes(1 << 19)

        with pytest.raises(UploadTooLarge):
            await uploads(Attentive(), max_mb=1).read({"content-type": "audio/wav"}, stream())

    asyncio.run(main())


def test_ten_minutes_are_recognised_in_short_pieces() -> None:
    stage = Attentive(texts=("words",))
    pcm = np.tile(sound((24, True), (6, False)), 20)
    heard = run(uploads(stage).recognise(recording(pcm)))
    assert heard.duration_ms == 600_000
    assert 20 == len(stage.heard) == len(heard.text.split())
    assert all(seconds <= 25 for seconds in stage.heard)
