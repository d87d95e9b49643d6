"""Whisper through the real faster-whisper, with models that say a script."""

import asyncio
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import StageFailed
from pipeline.frames import Samples, Transcript, Word
from stages.stt._decode_queue import MOST_WAITING
from stages.stt._partial_budget import PartialBudget
from stages.stt.whisper import WhisperTranscriber

pytestmark = pytest.mark.slow  # a real network decodes

pytest.importorskip("faster_whisper")

SCRIPT = "i have tested this very small model today"
AUDIO = (np.sin(np.arange(2400 * 16) * 0.2) * 8000).astype(np.int16)  # 2.4 s: 300 ms a word


def build(directory: Path, words: str, duration_s: float, language: str | None = None) -> Path:
    from tests.support import scripted_whisper  # which needs what the line above asks for

    return scripted_whisper.build(directory, words, duration_s, language)


@pytest.fixture(scope="module")
def english(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("models") / "en", SCRIPT, 2.4)


@pytest.fixture(scope="module")
def german(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("models") / "de", "ich habe das gebaut", 1.2, "de")


async def transcribe(transcriber: WhisperTranscriber, pcm: Samples, turn: int = 1) -> Transcript:
    recognition = transcriber.open(turn)
    for at in range(0, len(pcm), 320):
        recognition.feed(pcm[at : at + 320])
    [final] = [transcript async for transcript in recognition.finish()]
    return final


def hear(model: Path, *clips: Samples, **options: Any) -> list[Transcript]:
    async def scene() -> list[Transcript]:
        transcriber = WhisperTranscriber(str(model), **options)
        try:
            async with asyncio.timeout(30):
                return [await transcribe(transcriber, pcm) for pcm in clips]
        finally:
            await transcriber.aclose()

    return asyncio.run(scene())


def test_an_utterance_becomes_text(english: Path) -> None:
    [final] = hear(english, AUDIO)
    assert (final.turn, final.text, final.final, final.language) == (1, SCRIPT, True, "en")
    assert final.confidence == pytest.approx(1.0, abs=0.01)
    assert final.words == ()


def test_words_have_their_times_when_asked_for(english: Path) -> None:
    [final] = hear(english, AUDIO, word_timestamps=True, without_timestamps=False)
    assert final.words[:2] == (Word("i", 0, 300), Word("have", 300, 600))
    assert [word.text for word in final.words] == SCRIPT.split()


def test_a_multilingual_model_finds_the_language(german: Path) -> None:
    [final] = hear(german, AUDIO[: 1200 * 16])
    assert (final.text, final.language) == ("ich habe das gebaut", "de")


def test_each_utterance_has_its_own_language_or_it_is_found(german: Path) -> None:
    async def scene() -> list[str | None]:
        transcriber = WhisperTranscriber(str(german), language="es")
        told = (None, "fr", "de")
        try:
            async with asyncio.timeout(30):
                return [await language_of(transcriber, language) for language in told]
        finally:
            await transcriber.aclose()

    async def language_of(transcriber: WhisperTranscriber, language: str | None) -> str | None:
        recognition = transcriber.open(1, None, (), language)
        recognition.feed(AUDIO[: 1200 * 16])
        [final] = [transcript async for transcript in recognition.finish()]
        return final.language

    assert asyncio.run(scene()) == ["de", "fr", "de"]


def test_no_audio_is_an_empty_text(english: Path) -> None:
    assert hear(english, AUDIO[:0]) == [Transcript(1, "", True)]


def seconds(*levels: float) -> Samples:
    """Audio of one second for every level."""
    tone = np.sin(np.arange(16_000) * 0.2) * 8000
    return np.concatenate([tone * level for level in levels]).astype(np.int16)


LONG = seconds(*[1.0] * 12, 0.0, *[1.0] * 12)
"""25 s with a pause after 12."""


def test_a_long_utterance_is_decoded_in_pieces_that_end_in_a_pause(english: Path) -> None:
    [final] = hear(english, LONG, word_timestamps=True, without_timestamps=False)
    assert final.text == f"{SCRIPT} {SCRIPT}"
    assert [word.text for word in final.words] == [*SCRIPT.split(), *SCRIPT.split()]
    assert (final.words[0].start_ms, final.words[8].start_ms) == (0, 12_100)


def test_utterances_are_decoded_in_turn_and_cancelled_ones_skipped(english: Path) -> None:
    async def scene() -> None:
        transcriber = WhisperTranscriber(str(english))
        report = await transcriber.start()
        assert (report["model"], report["multilingual"]) == (str(english), False)
        dropped = transcriber.open(1)
        dropped.feed(AUDIO)
        waiting = asyncio.ensure_future(anext(dropped.finish()))
        try:
            async with asyncio.timeout(30):
                others = [transcribe(transcriber, AUDIO, turn) for turn in (2, 3)]
                answers = asyncio.gather(*others)
                await asyncio.sleep(0)
                waiting.cancel()
                assert [(final.turn, final.text) for final in await answers] == [
                    (2, SCRIPT),
                    (3, SCRIPT),
                ]
            assert transcriber.stats().jobs == 0
        finally:
            await transcriber.aclose()
        assert waiting.cancelled()

    asyncio.run(scene())


LOUD = (np.sin(np.arange(16_000) * 0.2) * 8000).astype(np.int16)


def worker(model: Path) -> Any:
    """The handler itself, in this process."""
    from stages.stt._whisper import Whisper

    return Whisper(
        {
            "model": str(model),
            "compute_type": "int8",
            "cpu_threads": 1,
            "beam_size": 1,
            "language": None,
            "without_timestamps": True,
            "word_timestamps": False,
        }
    )


class Replies:
    """Stands for the worker's way back."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.headers: list[Any] = []
        self.cancelled = False

    def __call__(
        self, kind: str, header: Any = None, payload: bytes = b"", *, last: bool = False
    ) -> None:
        self.sent.append((kind, header["text"]))
        self.headers.append(header)


def begin(handler: Any, job: int, pcm: Samples, **told: Any) -> Replies:
    """Open an utterance and send all of its audio."""
    replies = Replies()
    handler.handle(job, "open", {"partials": False, "hints": [], **told}, b"", replies)
    handler.handle(job, "audio", {}, pcm.tobytes(), replies)
    return replies


def finish(handler: Any, job: int, replies: Replies, due: float | None = None) -> None:
    handler.handle(job, "finish", {"due": due}, b"", replies)


def test_finished_answers_are_decoded_in_the_order_in_which_they_are_due(english: Path) -> None:
    handler = worker(english)
    now = time.monotonic()
    dues = {1: None, 2: now + 120, 3: now + 60, 4: now - 1}
    sent = {job: begin(handler, job, LOUD) for job in dues}
    for job, due in dues.items():
        finish(handler, job, sent[job], due)
    done = []
    while handler.work():
        done += [job for job, replies in sent.items() if replies.sent and job not in done]
    assert done == [3, 4, 2, 1]
    late = "the answers that wait before this one would make it late"
    assert sent[4].sent == [("busy", late)]
    assert [sent[job].sent for job in (1, 2, 3)] == [[("final", SCRIPT)]] * 3


def test_no_more_answers_wait_than_may(english: Path) -> None:
    handler = worker(english)
    for job in range(MOST_WAITING):
        finish(handler, job, begin(handler, job, LOUD))
    one_more = begin(handler, 1000, LOUD)
    finish(handler, 1000, one_more)
    assert one_more.sent == [("busy", "as many answers wait as may")]


def test_a_cancelled_answer_is_dropped_before_its_decode(english: Path) -> None:
    handler = worker(english)
    replies = begin(handler, 1, LOUD)
    finish(handler, 1, replies)
    handler.cancel(1)
    assert handler.work() is False
    assert replies.sent == []


def test_pieces_are_decoded_while_the_person_speaks_and_known_afterwards(english: Path) -> None:
    handler = worker(english)
    decodes: list[float] = []
    measured = handler._queue.decoded
    handler._queue.decoded = lambda audio_s, took_s: (
        decodes.append(audio_s),
        measured(audio_s, took_s),
    )
    replies = begin(handler, 1, LONG)
    assert [handler.work(), handler.work()] == [True, False]
    assert decodes == [12.1]
    handler.cancel(1)  # the person goes on: a new job has the same audio from its beginning
    again = begin(handler, 2, LONG)
    finish(handler, 2, again)
    while handler.work():
        pass
    assert (replies.sent, again.sent) == ([], [("final", f"{SCRIPT} {SCRIPT}")])
    assert decodes == [12.1, 12.9]


def test_captions_go_on_after_a_piece(german: Path) -> None:
    handler = worker(german)
    free(handler)
    replies = Replies()
    handler.handle(1, "open", {"partials": True, "hints": []}, b"", replies)
    handler.handle(1, "audio", {}, LONG.tobytes(), replies)
    while handler.work():
        pass
    handler.handle(1, "audio", {}, LOUD.tobytes(), replies)
    speaks_on(handler, 1)
    while handler.work():
        pass
    assert replies.sent == [("partial", "ich habe das gebaut ich habe das gebaut")]


def test_a_piece_that_cannot_be_decoded_fails_its_utterance_only(
    english: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = worker(english)
    replies = begin(handler, 1, LONG)

    def broken(*arguments: object, **options: object) -> None:
        raise RuntimeError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr(handler._model, "transcribe", broken)
        assert handler.work() is True
    assert replies.sent == [("failed", "RuntimeError: no memory")]
    assert handler.work() is False


def test_a_session_may_have_a_language_of_its_own(german: Path) -> None:
    handler = worker(german)
    replies = begin(handler, 1, LOUD, language="fr")
    finish(handler, 1, replies)
    handler.work()
    assert replies.headers[0]["language"] == "fr"


def test_what_is_no_speech_has_no_text_but_a_reason(tmp_path: Path) -> None:
    handler = worker(build(tmp_path / "model", "thanks for watching this video", 1.0))
    found = []
    for job, pcm in enumerate((LOUD, LOUD[:0], np.zeros(16_000, np.int16))):
        replies = begin(handler, job, pcm)
        finish(handler, job, replies)
        handler.work()
        found += [(header["text"], header["reason"]) for header in replies.headers]
    assert found == [("", "subtitles"), ("", "no words"), ("", "silence")]


def test_no_caption_is_shown_for_what_is_no_speech(tmp_path: Path) -> None:
    handler = worker(build(tmp_path / "model", "thanks for watching this video", 1.0))
    free(handler)
    replies = begin(handler, 1, LOUD, partials=True)
    speaks_on(handler, 1)
    assert [handler.work(), handler.work(), handler.work()] == [True, True, False]
    assert replies.sent == []


def free(handler: Any) -> None:
    """As if decodes cost nothing and much was saved."""
    handler._share = PartialBudget(-1e9, frame_s=0.0, token_s=0.0)
    handler._share.frame.measured = handler._share.token.measured = lambda seconds: None


def speaks_on(handler: Any, job: int) -> None:
    """As if the person were loud at every moment, however slow this machine is."""
    handler._utterances[job].loud_at_s = math.inf


def test_partials_come_while_the_person_speaks_and_only_when_asked_for(german: Path) -> None:
    handler = worker(german)
    for job, partials in ((1, False), (2, True)):
        free(handler)
        replies = Replies()
        handler.handle(job, "open", {"partials": partials, "hints": ["x"]}, b"", replies)
        handler.handle(job, "audio", {}, LOUD.tobytes(), replies)
        speaks_on(handler, job)
        assert [handler.work(), handler.work(), handler.work()] == [partials, partials, False]
        wanted = [("partial", "ich habe das gebaut")] if partials else []
        assert replies.sent == wanted
        handler.cancel(job)


def test_no_partial_begins_in_silence(english: Path) -> None:
    handler = worker(english)
    free(handler)
    replies = Replies()
    handler.handle(1, "open", {"partials": True, "hints": []}, b"", replies)
    handler.handle(1, "audio", {}, LOUD.tobytes() + bytes(3200), replies)
    assert handler.work() is False


def test_a_machine_without_captions_says_so_once(
    english: Path, caplog: pytest.LogCaptureFixture
) -> None:
    handler = worker(english)
    handler._share = PartialBudget(-1e9, frame_s=0.01, token_s=0.0)
    with caplog.at_level("INFO", "stages.stt.whisper"):
        for job in (1, 2):
            begin(handler, job, LOUD, partials=True)
            assert handler.work() is False
    assert caplog.messages == ["no captions past 1 s of speech: slow encoder"]


def test_a_final_drops_the_partial_under_way(english: Path) -> None:
    handler = worker(english)
    free(handler)
    replies = Replies()
    handler.handle(1, "open", {"partials": True, "hints": []}, b"", replies)
    handler.handle(1, "audio", {}, LOUD.tobytes(), replies)
    speaks_on(handler, 1)
    assert handler.work() is True  # encoded, not decoded
    handler.handle(1, "finish", {}, b"", replies)
    assert [handler.work(), handler.work()] == [True, False]
    assert replies.sent == [("final", SCRIPT)]


def test_a_cancelled_decode_ends_before_the_decoder(english: Path) -> None:
    handler = worker(english)
    replies = Replies()
    handler.handle(1, "open", {"partials": False, "hints": []}, b"", replies)
    handler.handle(1, "audio", {}, LOUD.tobytes(), replies)
    handler.handle(1, "finish", {}, b"", replies)
    replies.cancelled = True
    handler._model.decode_s = -1.0
    assert handler.work() is True
    assert (handler._model.decode_s, replies.sent) == (-1.0, [])


def test_hints_do_no_harm_to_the_text(english: Path) -> None:
    async def scene() -> str:
        transcriber = WhisperTranscriber(str(english))
        try:
            recognition = transcriber.open(1, None, ["Kubernetes", "x" * 5000] * 100)
            recognition.feed(AUDIO)
            async with asyncio.timeout(30):
                return (await anext(recognition.finish())).text
        finally:
            await transcriber.aclose()

    assert asyncio.run(scene()) == SCRIPT


def test_a_failing_decode_fails_its_utterance_only(english: Path) -> None:
    async def scene() -> None:
        transcriber = WhisperTranscriber(str(english))
        try:
            await transcriber.start()
            odd = transcriber.open(1)
            odd._job.send("audio", None, b"\x00")  # half a sample
            with pytest.raises(StageFailed, match="ValueError") as caught:
                await anext(odd.finish())
            assert caught.value.phase == "stream"
            assert (await transcribe(transcriber, AUDIO)).text == SCRIPT
        finally:
            await transcriber.aclose()

    asyncio.run(scene())


def test_a_model_that_is_not_there_fails_the_start_with_advice(tmp_path: Path) -> None:
    async def scene() -> str:
        transcriber = WhisperTranscriber(str(tmp_path / "none"))
        with pytest.raises(StageFailed) as caught:
            await transcriber.start()
        await transcriber.aclose()
        return caught.value.detail

    assert "is neither a folder nor a model's name" in asyncio.run(scene())
