"""pocketsphinx: the handler in this process, and the provider with its worker process."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from pipeline.errors import StageFailed
from pipeline.frames import Samples, Transcript
from stages.stt import _recognition, _sphinx, pocketsphinx
from stages.stt._sphinx import Sphinx, spoken
from stages.stt.pocketsphinx import PocketsphinxTranscriber

pytest.importorskip("pocketsphinx")

Clip = Callable[[str], Samples]
PART = slice(450 * 16, 3200 * 16)
"""The first words of software-engineer-1: "I spent the last four years building web services"."""

HEARD = "i spent the last four years building web services"


class Replies(list[tuple[str, Mapping[str, Any], bool]]):
    """Stands for the worker's connection: remembers what the handler replies."""

    cancelled = False

    def __call__(
        self, kind: str, header: Mapping[str, Any], payload: bytes = b"", *, last: bool = False
    ) -> None:
        self.append((kind, header, last))


@pytest.fixture(scope="module")
def sphinx() -> Iterator[Sphinx]:
    return _sphinx.handler({"decoders": 1})


def open_utterance(sphinx: Sphinx, job: int, *, partials: bool = False) -> Replies:
    replies = Replies()
    sphinx.handle(job, "open", {"partials": partials}, b"", replies)
    return replies


def drain(sphinx: Sphinx) -> None:
    while sphinx.work():
        pass


@pytest.mark.parametrize(
    ("segment", "word"),
    [("the(2)", "the"), ("don't", "don't"), ("<s>", ""), ("<sil>", ""), ("[NOISE]", "")],
)
def test_fillers_are_no_words_and_pronunciations_have_no_number(segment: str, word: str) -> None:
    assert spoken(segment) == word


def test_an_utterance_becomes_text_with_word_times(sphinx: Sphinx, clip: Clip) -> None:
    replies = open_utterance(sphinx, 1)
    sphinx.handle(1, "audio", {}, clip("software-engineer-1")[PART].tobytes(), replies)
    sphinx.handle(1, "finish", {}, b"", replies)
    drain(sphinx)
    [(kind, header, last)] = replies
    assert (kind, header["text"], header["language"], last) == ("final", HEARD, "en", True)
    assert [word for word, _, _ in header["words"]] == HEARD.split()
    times = [time for _, start, end in header["words"] for time in (start, end)]
    assert times == sorted(times)
    assert 0 <= times[0] < times[-1] <= 3000


@pytest.mark.slow
def test_an_utterance_is_recognised_alike_whatever_was_heard_before(
    sphinx: Sphinx, clip: Clip
) -> None:
    answers = []
    for job, prelude in ((1, "product-manager-3"), (2, "software-engineer-3")):
        noise = open_utterance(sphinx, 10 + job)
        sphinx.handle(10 + job, "audio", {}, clip(prelude)[: 16 * 2500].tobytes(), noise)
        sphinx.handle(10 + job, "finish", {}, b"", noise)
        replies = open_utterance(sphinx, job)
        for at in range(0, PART.stop, 1600):
            piece = clip("software-engineer-1")[at : min(at + 1600, PART.stop)]
            sphinx.handle(job, "audio", {}, piece.tobytes(), replies)
            drain(sphinx)
        sphinx.handle(job, "finish", {}, b"", replies)
        drain(sphinx)
        for _, header, _ in replies:  # how long it took differs
            header.pop("took_s", None), header.pop("busy_s", None)
        answers.append(replies)
    assert answers[0] == answers[1]
    assert HEARD in answers[0][0][1]["text"]


@pytest.mark.slow
def test_partials_tell_changed_hypotheses_and_grow_into_the_final(
    sphinx: Sphinx, clip: Clip
) -> None:
    replies = open_utterance(sphinx, 1, partials=True)
    sphinx.handle(1, "audio", {}, clip("software-engineer-1")[PART].tobytes(), replies)
    sphinx.handle(1, "finish", {}, b"", replies)
    drain(sphinx)
    texts = [header["text"] for kind, header, _ in replies if kind == "partial"]
    assert texts[0].startswith("i")
    assert all(one != other for one, other in pairwise(texts))
    assert len(texts) <= 10  # one every 300 ms at most
    assert replies[-1][0] == "final"


@pytest.mark.slow
def test_audio_waits_while_no_decoder_is_free(sphinx: Sphinx, clip: Clip) -> None:
    pcm = clip("software-engineer-1")[PART].tobytes()
    first, second = open_utterance(sphinx, 1), open_utterance(sphinx, 2)
    sphinx.handle(1, "audio", {}, pcm[:32000], first)
    sphinx.handle(2, "audio", {}, pcm, second)
    sphinx.handle(2, "finish", {}, b"", second)
    drain(sphinx)
    assert second == []
    sphinx.handle(1, "finish", {}, b"", first)
    drain(sphinx)
    assert [header["text"] for _, header, _ in second] == [HEARD]


@pytest.mark.slow
def test_a_cancelled_utterance_gives_its_decoder_to_the_next(sphinx: Sphinx, clip: Clip) -> None:
    pcm = clip("software-engineer-1")[PART].tobytes()
    first, second = open_utterance(sphinx, 1), open_utterance(sphinx, 2)
    sphinx.handle(1, "audio", {}, pcm, first)
    drain(sphinx)
    sphinx.cancel(1)
    sphinx.cancel(1)
    sphinx.handle(2, "audio", {}, pcm, second)
    sphinx.handle(2, "finish", {}, b"", second)
    drain(sphinx)
    assert (first, [header["text"] for _, header, _ in second]) == ([], [HEARD])


def test_silence_and_nothing_at_all_are_an_empty_text(sphinx: Sphinx) -> None:
    for job, pcm in ((1, b""), (2, bytes(32000))):
        replies = open_utterance(sphinx, job)
        sphinx.handle(job, "audio", {}, pcm, replies)
        sphinx.handle(job, "finish", {}, b"", replies)
        drain(sphinx)
        nothing = {"text": "", "language": "en", "words": [], "reason": "no words"}
        [(kind, told, last)] = replies
        took_s, busy_s = told.pop("took_s"), told.pop("busy_s")
        assert (kind, told, last) == ("final", nothing, True)
        assert 0 < took_s <= busy_s


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "level", "kept", "why"),
    [
        ("i measured it", 0.001, "", "silence"),
        ("i measured it", 0.5, "i measured it", ""),
        ("all right " * 40, 0.5, "", "repeated"),
        ("the " * 9 + "cache was the first thing that i looked at", 0.5, None, ""),
        ("thanks for watching", 0.5, "", "subtitles"),
    ],
)
def test_what_nobody_said_is_no_answer_and_the_final_says_why(
    sphinx: Sphinx,
    clip: Clip,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    level: float,
    kept: str | None,
    why: str,
) -> None:
    monkeypatch.setattr(_sphinx.Recogniser, "text", lambda self: text)
    replies = open_utterance(sphinx, 1, partials=True)
    pcm = (clip("software-engineer-1")[PART] * level).astype(np.int16)
    sphinx.handle(1, "audio", {}, pcm.tobytes(), replies)
    sphinx.handle(1, "finish", {}, b"", replies)
    drain(sphinx)
    kind, header, _ = replies[-1]
    kept = "the cache was the first thing that i looked at" if kept is None else kept
    assert (kind, header["text"], header["reason"]) == ("final", kept, why)
    assert bool(header["words"]) == bool(kept)
    assert {header["text"] for kind, header, _ in replies if kind == "partial"} <= {"", kept}


@pytest.mark.slow
def test_a_decoder_that_gives_up_fails_its_utterance_and_is_replaced(
    clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    sphinx = Sphinx(1)
    pcm = clip("software-engineer-1")[PART].tobytes()
    failed, fine = open_utterance(sphinx, 1), open_utterance(sphinx, 2)

    def give_up(self: _sphinx.Recogniser, pcm: bytes) -> None:
        raise RuntimeError("out of frames")

    with monkeypatch.context() as patch:
        patch.setattr(_sphinx.Recogniser, "decode", give_up)
        sphinx.handle(1, "audio", {}, pcm, failed)
        drain(sphinx)
    assert failed == [("failed", {"text": "pocketsphinx: out of frames"}, True)]
    sphinx.handle(2, "audio", {}, pcm, fine)
    sphinx.handle(2, "finish", {}, b"", fine)
    drain(sphinx)
    assert [header["text"] for _, header, _ in fine] == [HEARD]


def test_an_unknown_message_is_an_error(sphinx: Sphinx) -> None:
    with pytest.raises(ValueError, match="unknown message 'audoi'"):
        sphinx.handle(1, "audoi", {}, b"", Replies())


# --- with the worker process -----------------------------------------------------------------


def feed(recognition: _recognition.WorkerRecognition, pcm: Samples) -> None:
    for at in range(0, len(pcm), 320):
        recognition.feed(pcm[at : at + 320])


@pytest.mark.slow
def test_the_provider_hears_two_people_at_once(clip: Clip) -> None:
    async def scene() -> None:
        transcriber = PocketsphinxTranscriber()
        partials: list[Transcript] = []
        one, other = transcriber.open(1, partials.append), transcriber.open(2)
        feed(one, clip("software-engineer-1")[PART])
        feed(other, clip("data-analyst-3")[: 16 * 4000])
        try:
            async with asyncio.timeout(30):
                [first] = [transcript async for transcript in one.finish()]
                [second] = [transcript async for transcript in other.finish()]
        finally:
            await transcriber.aclose()
        assert (first.turn, first.text, first.final, first.language) == (1, HEARD, True, "en")
        assert first.words[0].text == "i"
        assert (second.turn, second.text[:21]) == (2, "i like simple charts ")
        assert {(p.turn, p.final) for p in partials} == {(1, False)}

    asyncio.run(scene())


def test_a_dead_process_fails_the_utterance(clip: Clip) -> None:
    async def scene() -> None:
        transcriber = PocketsphinxTranscriber(decoders=1)
        report = await transcriber.start()
        assert report["decoders"] == 1
        recognition = transcriber.open(1)
        feed(recognition, clip("software-engineer-1")[PART])
        pid = transcriber.stats().pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(StageFailed, match="process died"):
            await anext(recognition.finish())
        await transcriber.aclose()

    asyncio.run(scene())


@pytest.mark.slow
def test_audio_beyond_the_limit_is_ignored_and_a_cancelled_utterance_forgotten(
    clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_recognition, "LIMIT_SAMPLES", PART.stop - PART.start)

    async def scene() -> None:
        transcriber = PocketsphinxTranscriber()
        long, dropped = transcriber.open(1), transcriber.open(2)
        feed(dropped, clip("data-analyst-3"))
        dropped.cancel()
        dropped.feed(np.zeros(320, np.int16))
        feed(long, clip("software-engineer-1")[PART.start :])
        try:
            async with asyncio.timeout(30):
                [final] = [transcript async for transcript in long.finish()]
            long.cancel()
            assert transcriber.stats().jobs == 0
        finally:
            await transcriber.aclose()
        assert final.text == HEARD

    asyncio.run(scene())


def test_check_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pocketsphinx.check() is None
    monkeypatch.setattr(pocketsphinx, "find_spec", lambda name: None)
    assert pocketsphinx.check() == (
        "pocketsphinx is not installed: pip install 'parley-gateway[offline]'"
    )
