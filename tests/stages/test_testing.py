"""Every rule of the conformance suite catches what it should, and says so in words."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, ClassVar

import numpy as np
import pytest

from pipeline.errors import CallerError, StageFailed
from pipeline.frames import Sentence, Speech, SpokenWord, TextDelta, Transcript, Viseme, Word
from pipeline.stage import ReplyRequest
from pipeline.testing import Script, run_virtual
from stages.fakes import FakeDetector, FakeResponder, FakeSynthesizer, FakeTranscriber
from stages.testing import (
    NotConforming,
    detector_conforms,
    responder_conforms,
    synthesizer_conforms,
    transcriber_conforms,
)
from tests.support.paths import ROOT

Conforms = Callable[..., None]


def broken(conforms: Conforms, build: Callable[[], Any], **options: Any) -> dict[str, str]:
    """The rules that a provider breaks, each with what was seen."""
    with pytest.raises(NotConforming) as caught:
        conforms(build, **{"run": run_virtual, "patience_s": 5, **options})
    return {one.rule: "; ".join(one.seen) for one in caught.value.broken}


# --- what all slots have ---------------------------------------------------------------------


class Talker(FakeResponder):
    """Says one word; made to be broken."""

    async def reply(self, request: ReplyRequest) -> AsyncIterator[TextDelta]:
        yield TextDelta(request.turn, "Well. ")
        await asyncio.sleep(0.01)
        yield TextDelta(request.turn, "Go on.")


def test_a_provider_that_keeps_the_contract_passes() -> None:
    responder_conforms(Talker, run=run_virtual)


def test_the_report_names_what_the_shape_lacks() -> None:
    class Shapeless:
        provider = ""

        def reply(self) -> None: ...

        def aclose(self) -> None: ...

    assert broken(responder_conforms, Shapeless) == {
        "has the shape of a responder": "`provider` of the Shapeless is no name but ''; "
        "`reply` of the Shapeless does not take 1 argument: () -> None; "
        "`aclose` of the Shapeless is not `async def`"
    }


def test_methods_that_are_missing_or_are_none_are_named() -> None:
    class Half:
        provider = "half"
        reply = "hello"

    assert broken(responder_conforms, Half) == {
        "has the shape of a responder": "`reply` of the Half is no method but 'hello'; "
        "the Half has no `aclose`"
    }


def test_a_coroutine_is_no_stream() -> None:
    class Awaited(Talker):
        async def reply(self, request: ReplyRequest) -> Any:  # type: ignore[override]
            return []

    seen = broken(responder_conforms, Awaited)
    assert list(seen) == ["has the shape of a responder"]
    assert "`reply` gives a coroutine" in seen["has the shape of a responder"]


def test_neither_is_a_list_or_a_hidden_coroutine() -> None:
    class Listed(Talker):
        def reply(self, request: ReplyRequest) -> Any:
            return [TextDelta(request.turn, "Well.")]

    class Hidden(Talker):
        def reply(self, request: ReplyRequest) -> Any:
            return asyncio.sleep(0)

    seen = broken(responder_conforms, Listed)["finds words"]
    assert seen == "a usual call: it gave a list, which is no async iterator"
    seen = broken(responder_conforms, Hidden)["finds words"]
    assert seen == "a usual call: it gave a coroutine, which is no async iterator"


def test_a_provider_that_cannot_be_built_is_not_judged_further() -> None:
    def build() -> Any:
        raise OSError("no such model")

    assert broken(responder_conforms, build) == {
        "has the shape of a responder": "OSError: no such model was raised"
    }


def test_an_error_of_another_kind_is_named() -> None:
    class Raises(Talker):
        async def reply(self, request: ReplyRequest) -> AsyncIterator[TextDelta]:
            if not request.text:
                raise KeyError("text")
            async for delta in super().reply(request):
                yield delta

    assert broken(responder_conforms, Raises) == {
        "takes any request": "the opening turn: KeyError: 'text' was raised, no StageError"
    }


def test_an_error_names_its_own_stage_and_provider() -> None:
    class Copied(Talker):
        async def reply(self, request: ReplyRequest) -> AsyncIterator[TextDelta]:
            if not request.text:
                raise StageFailed("tts", "other", "empty")
            async for delta in super().reply(request):
                yield delta

    assert broken(responder_conforms, Copied)["takes any request"].startswith(
        "the opening turn: the error names ('tts', 'other'), and should name ('llm', 'fake-llm')"
    )


def test_a_usual_call_must_succeed() -> None:
    seen = broken(responder_conforms, lambda: FakeResponder(Script(error=OSError("gone"))))
    assert seen["finds words"] == "a usual call: OSError: gone was raised, no StageError"
    failed = StageFailed("llm", "fake-llm", "connect")
    seen = broken(responder_conforms, lambda: FakeResponder(Script(error=failed)))
    assert "StageFailed" in seen["finds words"]


def test_a_stream_must_end() -> None:
    seen = broken(responder_conforms, lambda: FakeResponder(Script(after=1, stall=True)))
    assert seen["finds words"] == "a usual call: it did not end within 5 s"

    class Endless(Talker):
        async def reply(self, request: ReplyRequest) -> AsyncIterator[TextDelta]:
            while True:
                yield TextDelta(request.turn, "and ")

    seen = broken(responder_conforms, Endless)
    assert seen["finds words"] == "a usual call: it did not end after 10000 items"


def test_a_call_that_is_deaf_to_its_cancellation_does_not_hold_the_trial() -> None:
    class Deaf(Talker):
        async def reply(self, request: ReplyRequest) -> AsyncIterator[TextDelta]:
            for _ in range(3):
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    continue
            yield TextDelta(request.turn, "Well.")

    assert broken(responder_conforms, Deaf)["finds words"] == (
        "a usual call: it did not end within 5 s, nor when it was cancelled"
    )


def test_nobody_else_cancels_a_call() -> None:
    class Cancels(Talker):
        async def reply(self, request: ReplyRequest) -> AsyncIterator[TextDelta]:
            yield TextDelta(request.turn, "Well.")
            raise asyncio.CancelledError

    assert broken(responder_conforms, Cancels)["finds words"] == (
        "a usual call: CancelledError was raised, though nobody had cancelled it"
    )


def test_calls_at_once_do_not_share_their_turn() -> None:
    class Mixes(Talker):
        turn = 0

        async def reply(self, request: ReplyRequest) -> AsyncIterator[TextDelta]:
            self.turn = request.turn
            await asyncio.sleep(0.01)
            yield TextDelta(self.turn, "Well.")

    assert broken(responder_conforms, Mixes) == {
        "keeps calls apart": "3 calls at once: turn 11 got something of turn {13}; "
        "3 calls at once: turn 12 got something of turn {13}"
    }


class Busy(Talker):
    """Works in a task of its own, and leaves it when it is left."""

    async def reply(self, request: ReplyRequest) -> AsyncIterator[TextDelta]:
        work = asyncio.create_task(asyncio.sleep(0.02), name="upstream")
        yield TextDelta(request.turn, "Well.")
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            self.left = asyncio.create_task(asyncio.sleep(60), name="upstream, still")
            raise
        yield TextDelta(request.turn, "Go on.")


def test_a_cancelled_call_leaves_no_task() -> None:
    seen = broken(responder_conforms, Busy)
    assert list(seen) == ["may be cancelled at any await"]
    assert "cancelled at its await no. 1: the task 'upstream, still' is left" in str(seen)


def test_a_stream_that_was_left_leaves_no_task() -> None:
    class Pumps(Talker):
        async def reply(self, request: ReplyRequest) -> AsyncIterator[TextDelta]:
            pump = asyncio.create_task(asyncio.sleep(60), name="pump")
            yield TextDelta(request.turn, "Well.")
            pump.cancel()

    seen = broken(responder_conforms, Pumps)
    assert "after the stream was left: the task 'pump' is left" in seen["may be left early"]


@pytest.mark.parametrize(
    ("instead", "said"),
    [
        (None, "it returned although it was cancelled at its await no. 1"),
        (OSError("reset"), "cancelled at its await no. 1 it raised OSError: reset"),
    ],
)
def test_a_cancelled_call_ends_by_that(instead: Exception | None, said: str) -> None:
    class Swallows(Talker):
        async def reply(self, request: ReplyRequest) -> AsyncIterator[TextDelta]:
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                if instead is not None:
                    raise instead from None
            yield TextDelta(request.turn, "Well.")

    assert broken(responder_conforms, Swallows) == {"may be cancelled at any await": said}


def test_a_stage_serves_on_after_a_call_was_cancelled_or_left() -> None:
    class Locks(Talker):
        def __init__(self) -> None:
            super().__init__()
            self.free = asyncio.Event()
            self.free.set()

        async def reply(self, request: ReplyRequest) -> AsyncIterator[TextDelta]:
            await self.free.wait()
            self.free.clear()
            async for delta in super().reply(request):
                yield delta
            self.free.set()

    assert broken(responder_conforms, Locks) == {
        "may be left early": "a usual call: it did not end within 5 s",
        "may be cancelled at any await": "cancelled at its await no. 2: it did not end within 5 s",
    }


def test_a_held_loop_is_reported_with_its_time() -> None:
    class Blocks(Talker):
        async def reply(self, request: ReplyRequest) -> AsyncIterator[TextDelta]:
            if request.brief.say and request.turn <= 2:
                time.sleep(0.25)  # noqa: ASYNC251  what is to be caught
            async for delta in super().reply(request):
                yield delta

    seen = broken(responder_conforms, Blocks)
    assert list(seen) == ["never blocks the event loop"]
    assert seen["never blocks the event loop"].endswith("ms at a time; 200 are let pass")


def test_a_probe_gives_a_sentence_or_none() -> None:
    class Numbers(Talker):
        async def probe(self) -> int:
            return 503

    class Answers(Talker):
        async def probe(self) -> str | None:
            return "the server does not answer"

    assert broken(responder_conforms, Numbers) == {
        "says whether it would answer": "`probe` gave 503"
    }
    responder_conforms(Answers, run=run_virtual)


def test_the_stage_is_started_before_it_is_used() -> None:
    class Starts(Talker):
        ready = False

        async def start(self) -> None:
            self.ready = True

        async def reply(self, request: ReplyRequest) -> AsyncIterator[TextDelta]:
            assert self.ready
            async for delta in super().reply(request):
                yield delta

    responder_conforms(Starts, run=run_virtual)


def test_aclose_may_be_called_again() -> None:
    class Once(Talker):
        closed = False

        async def aclose(self) -> None:
            if self.closed:
                raise RuntimeError("closed already")
            self.closed = True

    assert broken(responder_conforms, Once) == {
        "ends with aclose": "aclose, again: RuntimeError: closed already was raised; "
        "aclose, at last: RuntimeError: closed already was raised"
    }


def test_aclose_ends_what_is_under_way() -> None:
    class Forgets(Talker):
        closing = False

        async def aclose(self) -> None:
            self.closing = True

        async def reply(self, request: ReplyRequest) -> AsyncIterator[TextDelta]:
            async for delta in super().reply(request):
                yield delta
            while self.closing:
                await asyncio.sleep(1)

    assert broken(responder_conforms, Forgets) == {
        "ends with aclose": "a call that was under way: it did not end within 5 s"
    }


def test_a_call_after_aclose_fails_as_providers_fail() -> None:
    class Gone(Talker):
        closed = False

        async def aclose(self) -> None:
            self.closed = True

        async def reply(self, request: ReplyRequest) -> AsyncIterator[TextDelta]:
            if self.closed:
                raise RuntimeError("the client has been closed")
            async for delta in super().reply(request):
                yield delta

    assert broken(responder_conforms, Gone) == {
        "ends with aclose": "a call after `aclose`: "
        "RuntimeError: the client has been closed was raised, no PipelineError"
    }


def test_nothing_is_left_running_after_aclose() -> None:
    class Leaves(Talker):
        stop = threading.Event()

        async def start(self) -> None:
            self.work = asyncio.create_task(asyncio.sleep(1e6), name="keep-alive")
            threading.Thread(target=self.stop.wait, name="reader").start()
            self.child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)  # noqa: ASYNC220

        async def aclose(self) -> None: ...

    stages: list[Leaves] = []

    def build() -> Leaves:
        stages.append(Leaves())
        return stages[-1]

    try:
        seen = broken(responder_conforms, build)
        assert seen == {
            "ends with aclose": "the task 'keep-alive' is left; the thread 'reader' is left; "
            f"the process {stages[0].child.pid} is left"
        }
    finally:
        Leaves.stop.set()
        for stage in stages:
            stage.child.communicate()


def test_the_report_names_the_rule_the_contract_and_what_was_seen() -> None:
    class Silent(Talker):
        async def reply(self, request: ReplyRequest) -> AsyncIterator[TextDelta]:
            yield TextDelta(request.turn, " ")

    with pytest.raises(NotConforming) as caught:
        responder_conforms(Silent, run=run_virtual)
    head, *body = str(caught.value).splitlines()
    assert head.endswith("Silent breaks a rule for llm providers")
    assert body == [
        "",
        "finds words: A reply is a stream of `TextDelta`s of its turn, with something to say in"
        " them.",
        "  - there were no words in it",
    ]


# --- responders ------------------------------------------------------------------------------


def test_deltas_are_text_of_their_turn() -> None:
    class Odd(Talker):
        async def reply(self, request: ReplyRequest) -> AsyncIterator[Any]:
            yield TextDelta(0, "Well.")
            yield TextDelta(request.turn, None)  # type: ignore[arg-type]
            yield "Go on."

    assert broken(responder_conforms, Odd)["finds words"] == (
        "turn 7 got something of turn 0; the text of a delta is None; it gave a str"
    )


# --- synthesizers ----------------------------------------------------------------------------

AUDIO = np.zeros(1600, np.int16)


class Mouth(FakeSynthesizer):
    """Speaks the same for every sentence; made to be broken."""

    pcm: Any = AUDIO
    cues: tuple[Viseme, ...] = ()
    words: tuple[SpokenWord, ...] = ()

    async def speak(self, sentence: Sentence) -> AsyncIterator[Speech]:
        if sentence.text.strip():
            yield Speech(sentence.turn, self.pcm, self.cues, self.words)


def mouth(**attributes: Any) -> Callable[[], Any]:
    return type("Broken", (Mouth,), attributes)


def test_a_synthesizer_that_keeps_the_contract_passes() -> None:
    synthesizer_conforms(Mouth, run=run_virtual)


def test_a_rate_is_a_number_and_stays() -> None:
    class Drifts(Mouth):
        async def speak(self, sentence: Sentence) -> AsyncIterator[Speech]:
            self.rate_hz += 1
            async for piece in super().speak(sentence):
                yield piece

    class Unknown(Mouth):
        def __init__(self) -> None:
            super().__init__()
            self.rate_hz = None  # type: ignore[assignment]

    assert broken(synthesizer_conforms, Unknown) == {
        "has the shape of a synthesizer": "`rate_hz` is no number of samples per second but None"
    }
    seen = broken(synthesizer_conforms, Drifts)
    assert "and became" in seen["gives mono int16 at its rate"]


@pytest.mark.parametrize(
    ("pcm", "said"),
    [
        (AUDIO.astype(np.float32), "a piece's audio is float32 (native: True) (1600,)"),
        (AUDIO.astype(">i2"), "a piece's audio is >i2 (native: False) (1600,)"),
        (AUDIO.reshape(2, 800), "a piece's audio is int16 (native: True) (2, 800)"),
        (AUDIO.tobytes(), "a piece's audio is no numpy array but bytes"),
    ],
)
def test_audio_is_mono_int16(pcm: Any, said: str) -> None:
    assert broken(synthesizer_conforms, mouth(pcm=pcm))["gives mono int16 at its rate"] == said


def test_a_sentence_becomes_audio_of_its_turn() -> None:
    class Odd(Mouth):
        async def speak(self, sentence: Sentence) -> AsyncIterator[Any]:
            yield Speech(0, AUDIO[:0])
            yield AUDIO[:0]

    assert broken(synthesizer_conforms, Odd)["speaks"] == (
        "turn 7 got something of turn 0; it gave a ndarray; there was no audio in it"
    )


@pytest.mark.parametrize(
    ("cues", "words", "said"),
    [
        ([Viseme(0, 50, "oo")], [], "there is no such shape or weight: Viseme("),
        ([Viseme(0, 50, "aa", 1.5)], [], "there is no such shape or weight: Viseme("),
        ([Viseme(50, 10, "aa"), Viseme(0, 50, "sil")], [], "after a cue at 50 ms came Viseme("),
        ([Viseme(0, 500, "aa")], [], "the audio ends at 100 ms, before Viseme("),
        ([], [SpokenWord(40, 10, 0)], "the text has 46 characters, and no SpokenWord("),
        ([], [SpokenWord(0, 0, 0)], "the text has 46 characters, and no SpokenWord("),
        ([], [SpokenWord(0, 1, 500)], "the audio ends at 100 ms, before SpokenWord("),
        (
            [],
            [SpokenWord(0, 1, 50), SpokenWord(0, 1, 0)],
            "after a word at 50 ms (offset 0) came SpokenWord(",
        ),
    ],
)
def test_mouth_and_words_stay_within_the_audio(
    cues: list[Viseme], words: list[SpokenWord], said: str
) -> None:
    seen = broken(synthesizer_conforms, mouth(cues=tuple(cues), words=tuple(words)))
    assert list(seen) == ["keeps mouth and words within the audio"]
    assert seen["keeps mouth and words within the audio"].startswith(f"a usual sentence: {said}")


def test_text_that_is_unusual_or_empty_raises_no_other_error() -> None:
    class Latin(Mouth):
        async def speak(self, sentence: Sentence) -> AsyncIterator[Speech]:
            sentence.text.encode("latin-1")
            yield Speech(sentence.turn, AUDIO)

    seen = broken(synthesizer_conforms, Latin)
    assert seen["takes unusual text"].startswith("emoji: UnicodeEncodeError: ")
    assert seen["takes empty text"] == "no text: it gave 1600 samples; blanks: it gave 1600 samples"


# --- transcribers ----------------------------------------------------------------------------


class Listener:
    """Hears how loud it is; made to be broken."""

    provider = "listener"

    def open(self, turn: int, on_partial: Any = None, hints: Any = (), language: Any = None) -> Any:
        return Listening(turn, on_partial)

    async def aclose(self) -> None: ...


class Listening:
    def __init__(self, turn: int, on_partial: Any) -> None:
        self.turn = turn
        self.on_partial = on_partial
        self.audio: list[Any] = []
        self.open = True

    def feed(self, pcm: Any) -> None:
        if self.open:
            self.audio.append(pcm)
            if self.on_partial is not None:
                self.on_partial(Transcript(self.turn, self.text, final=False))

    @property
    def text(self) -> str:
        return "loud" if any(pcm.any() for pcm in self.audio) else ""

    async def finish(self) -> AsyncIterator[Transcript]:
        await asyncio.sleep(0.01)
        yield Transcript(self.turn, self.text, final=True)
        self.open = False

    def cancel(self) -> None:
        self.open = False


def listener(**attributes: Any) -> Callable[[], Any]:
    """Builds a transcriber whose utterances have these methods instead."""
    listening = type("Broken", (Listening,), attributes)

    class Opens(Listener):
        def open(
            self, turn: int, on_partial: Any = None, hints: Any = (), language: Any = None
        ) -> Any:
            return listening(turn, on_partial)

    return Opens


def gives(*transcripts: Any) -> Callable[[], Any]:
    async def finish(self: Listening) -> AsyncIterator[Any]:
        for transcript in transcripts:
            yield transcript

    return listener(finish=finish)


def test_a_transcriber_that_keeps_the_contract_passes() -> None:
    transcriber_conforms(Listener, run=run_virtual)


def test_what_open_gives_has_a_shape_too() -> None:
    class Opens(Listener):
        def open(
            self, turn: int, on_partial: Any = None, hints: Any = (), language: Any = None
        ) -> Any:
            return asyncio.sleep(0)

    class Empty(Listener):
        def open(
            self, turn: int, on_partial: Any = None, hints: Any = (), language: Any = None
        ) -> Any:
            return object()

    async def feed(self: Listening, pcm: Any) -> None: ...

    rule = "has the shape of a transcriber"
    assert broken(transcriber_conforms, Opens) == {
        rule: "`open` is `async def`: it must be a plain call"
    }
    assert (
        broken(transcriber_conforms, Empty)[rule].count("what `open` gives, a object, has no") == 3
    )
    assert broken(transcriber_conforms, listener(feed=feed)) == {
        rule: "`feed` is `async def`: it must be a plain call"
    }
    assert broken(transcriber_conforms, type("Deaf", (Listener,), {"open": lambda self: None})) == {
        rule: "`open` of the Deaf does not take 4 arguments: ()"
    }


FINAL = Transcript(7, "loud", final=True)
PARTIAL = Transcript(7, "lo", final=False)


@pytest.mark.parametrize(
    ("transcripts", "said"),
    [
        ([], "there were 0 final transcripts"),
        ([PARTIAL], "there were 0 final transcripts"),
        ([FINAL, FINAL], "there were 2 final transcripts"),
        ([FINAL, PARTIAL], "after the final transcript came 1 more"),
        (["loud"], "it gave a str"),
        ([Transcript(3, "loud", final=True)], "turn 7 got Transcript(turn=3"),
        ([Transcript(7, None, final=True)], "the text is None"),  # type: ignore[arg-type]
        (
            [Transcript(7, "loud", final=True, confidence=87.0)],
            "the confidence is 87.0, not 0 to 1",
        ),
        (
            [Transcript(7, "a b", True, words=(Word("a", 50, 60), Word("b", 0, 50)))],
            "the words are not in order of time",
        ),
        (
            [Transcript(7, "a", True, words=(Word("a", 50, 40),))],
            "a word ends before it begins",
        ),
    ],
)
def test_an_utterance_has_one_final_transcript(transcripts: list[Any], said: str) -> None:
    seen = broken(transcriber_conforms, gives(*transcripts))
    assert seen["gives one final"].startswith(f"speech: {said}")


def test_little_audio_has_a_final_transcript_too() -> None:
    async def finish(self: Listening) -> AsyncIterator[Transcript]:
        if self.text:
            yield Transcript(self.turn, self.text, final=True)
        elif self.audio:
            raise StageFailed("stt", "listener", "empty")

    seen = broken(transcriber_conforms, listener(finish=finish))
    assert seen["takes little audio"] == (
        "no audio: there were 0 final transcripts; "
        "a second of silence: stt provider 'listener': empty was raised"
    )


def test_feed_never_raises() -> None:
    def feed(self: Listening, pcm: Any) -> None:
        if not self.open:
            raise ValueError("closed")
        Listening.feed(self, pcm)

    assert broken(transcriber_conforms, listener(feed=feed))["feeds without raising"] == (
        "after `finish`: `feed` of 16000 samples raised ValueError('closed'); "
        "after `cancel`: `feed` of 16000 samples raised ValueError('closed')"
    )


def test_feed_takes_more_than_an_utterance_can_have() -> None:
    def feed(self: Listening, pcm: Any) -> None:
        if len(self.audio) > 100:
            raise OverflowError("full")
        Listening.feed(self, pcm)

    seen = broken(transcriber_conforms, listener(feed=feed))["feeds without raising"]
    assert "after 101 s of audio: `feed` of 16000 samples raised OverflowError('full')" in seen


def test_cancel_is_idempotent_and_harmless_after_finish() -> None:
    def cancel(self: Listening) -> None:
        if hasattr(self, "cancelled"):
            raise ValueError("cancelled already")
        self.cancelled, self.open = True, False  # type: ignore[attr-defined]

    assert broken(transcriber_conforms, listener(cancel=cancel)) == {
        "forgets what is cancelled": "while audio comes: `cancel` raised"
        " ValueError('cancelled already'); after `finish`: `cancel` raised"
        " ValueError('cancelled already')"
    }


def test_no_partial_comes_after_cancel() -> None:
    def cancel(self: Listening) -> None: ...

    seen = broken(transcriber_conforms, listener(cancel=cancel))
    assert seen == {"forgets what is cancelled": "1 partials came after `cancel`"}


def test_partials_are_those_of_the_turn_on_the_event_loop() -> None:
    def feed(self: Listening, pcm: Any) -> None:
        if self.on_partial is not None:
            for said in (Transcript(0, "lo", final=False), Transcript(7, "lo", final=True), "lo"):
                worker = threading.Thread(target=self.on_partial, args=(said,))
                worker.start()
                worker.join()
            self.on_partial = None

    seen = broken(transcriber_conforms, listener(feed=feed))["reports partials of the turn"]
    assert "`on_partial` of turn 7 got Transcript(turn=0" in seen
    assert "final=True" in seen
    assert "`on_partial` got a str" in seen
    assert "`on_partial` was called in another thread" in seen


def test_utterances_at_once_do_not_mix() -> None:
    class Shares(Listener):
        audio: list[Any]

        def __init__(self) -> None:
            self.audio, self.under_way = [], 0

        def open(
            self, turn: int, on_partial: Any = None, hints: Any = (), language: Any = None
        ) -> Any:
            stage = self

            class Shared(Listening):
                def __init__(self) -> None:
                    super().__init__(turn, on_partial)
                    if not stage.under_way:
                        stage.audio = []
                    stage.under_way += 1
                    self.audio = stage.audio

                def cancel(self) -> None:
                    stage.under_way -= self.open
                    self.open = False

                async def finish(self) -> AsyncIterator[Transcript]:
                    await asyncio.sleep(0.01)
                    yield Transcript(self.turn, self.text, final=True)

            return Shared()

    assert broken(transcriber_conforms, Shares) == {
        "hears each utterance alone": "alone they were ['loud', '', 'loud'], "
        "together ['loud', 'loud', 'loud']"
    }


def test_an_engine_that_says_something_else_every_time_is_not_compared() -> None:
    texts = ["one", "two", "three"]
    transcriber_conforms(lambda: FakeTranscriber(texts=texts), run=run_virtual)


def test_any_hints_are_tried() -> None:
    hinted: list[int] = []

    class Hinted(Listener):
        def open(
            self, turn: int, on_partial: Any = None, hints: Any = (), language: Any = None
        ) -> Any:
            hinted.append(len(hints))
            if len(hints) > 100:
                return gives_error()
            return Listening(turn, on_partial)

    def gives_error() -> Any:
        async def finish(self: Listening) -> AsyncIterator[Transcript]:
            raise StageFailed("stt", "listener", "protocol", "the prompt is too long")
            yield

        return type("Refuses", (Listening,), {"finish": finish})(5, None)

    assert broken(transcriber_conforms, Hinted)["takes hints"] == (
        "1000 hints: stt provider 'listener': protocol: the prompt is too long was raised"
    )
    assert {0, 4, 1000} == set(hinted)


def test_every_language_that_it_knows_is_tried() -> None:
    class German(Listener):
        languages = ("de", "en")
        told: ClassVar[list[Any]] = []

        def open(
            self, turn: int, on_partial: Any = None, hints: Any = (), language: Any = None
        ) -> Any:
            self.told.append(language)
            return Listening(turn, on_partial)

    transcriber_conforms(German, run=run_virtual)
    assert [code for code in German.told if code is not None] == ["en", "de"]


def test_a_language_that_is_refused_is_reported() -> None:
    class Refuses(Listening):
        async def finish(self) -> AsyncIterator[Transcript]:
            raise CallerError("stt", "listener", "connect", "no German")
            yield

    class English(Listener):
        def open(
            self, turn: int, on_partial: Any = None, hints: Any = (), language: Any = None
        ) -> Any:
            return (Refuses if language == "de" else Listening)(turn, on_partial)

    rule = "takes languages"
    assert broken(transcriber_conforms, English)[rule].startswith("language de: ")
    for wrong in ("en", ("English",)):
        named = type("Named", (Listener,), {"languages": wrong})
        assert broken(transcriber_conforms, named)[rule] == (
            f"`languages` is no collection of languages' codes but {wrong!r}"
        )


# --- detectors -------------------------------------------------------------------------------


class Detects:
    """Tells of every 512 samples, inside `feed`; made to be broken."""

    provider = "detects"

    def open(self, on_chunk: Any) -> Any:
        return Stream(on_chunk)

    async def aclose(self) -> None: ...


class Stream:
    def __init__(self, on_chunk: Any) -> None:
        self.on_chunk = on_chunk
        self.fed = self.told = 0
        self.open = True

    def feed(self, pcm: Any) -> None:
        self.fed += len(pcm)
        while self.open and self.told + 512 <= self.fed:
            self.told += 512
            self.tell(self.told, 0.5)

    def tell(self, position: int, probability: float) -> None:
        self.on_chunk(position, probability)

    def close(self) -> None:
        self.open = False


def detector(**attributes: Any) -> Callable[[], Any]:
    stream = type("Broken", (Stream,), attributes)

    class Opens(Detects):
        def __init__(self) -> None:
            self.streams: list[Any] = []

        def open(self, on_chunk: Any) -> Any:
            self.streams.append(stream(on_chunk))
            return self.streams[-1]

        async def aclose(self) -> None:
            for one in self.streams:
                Stream.close(one)

    return Opens


def test_a_detector_that_keeps_the_contract_passes() -> None:
    detector_conforms(detector(), run=run_virtual)
    detector_conforms(FakeDetector, run=run_virtual)


def test_a_stream_has_a_shape_too() -> None:
    class Opens(Detects):
        def open(self, on_chunk: Any) -> Any:
            return asyncio.sleep(0)

    async def feed(self: Stream, pcm: Any) -> None: ...

    rule = "has the shape of a detector"
    assert broken(detector_conforms, Opens) == {
        rule: "`open` is `async def`: it must be a plain call"
    }
    assert broken(detector_conforms, detector(feed=feed)) == {
        rule: "`feed` is `async def`: it must be a plain call"
    }
    assert broken(detector_conforms, detector(close=None)) == {
        rule: "what `open` gives, a Broken, has no `close`"
    }
    assert broken(detector_conforms, type("Deaf", (Detects,), {"open": lambda self: None})) == {
        rule: "`open` of the Deaf does not take 1 argument: ()"
    }


@pytest.mark.parametrize(
    ("tell", "said"),
    [
        (lambda stream, at, p: None, "a second of audio: `on_chunk` was never called"),
        (
            lambda stream, at, p: stream.on_chunk(512, p),
            "after 512 of 16000 samples came position 512",
        ),
        (lambda stream, at, p: stream.on_chunk(at + 9999, p), "samples came position 16143"),
        (lambda stream, at, p: stream.on_chunk(at, p * 100), "the probability at 512 was 50.0"),
    ],
)
def test_probabilities_come_in_order(tell: Any, said: str) -> None:
    seen = broken(detector_conforms, detector(tell=tell))
    assert said in seen["tells of the audio in order"]


def test_probabilities_come_on_the_event_loop() -> None:
    def tell(self: Stream, position: int, probability: float) -> None:
        worker = threading.Thread(target=self.on_chunk, args=(position, probability))
        worker.start()
        worker.join()

    assert broken(detector_conforms, detector(tell=tell)) == {
        "tells of the audio in order": "`on_chunk` was called in another thread",
        "gives places back": "`on_chunk` was called in another thread",
    }


def test_frames_may_have_any_size() -> None:
    def feed(self: Stream, pcm: Any) -> None:
        if len(pcm) == 511:
            raise ValueError("not a multiple of 320")
        Stream.feed(self, pcm)

    assert broken(detector_conforms, detector(feed=feed)) == {
        "takes frames of any size": "audio: `feed` of 511 samples raised "
        "ValueError: not a multiple of 320"
    }


def test_streams_do_not_mix() -> None:
    class Shared(Detects):
        loud = False

        def open(self, on_chunk: Any) -> Any:
            stage = self

            class One(Stream):
                def feed(self, pcm: Any) -> None:
                    stage.loud = bool(pcm.any())
                    super().feed(pcm)

                def tell(self, position: int, probability: float) -> None:
                    asyncio.get_running_loop().call_soon(self.later, position)

                def later(self, position: int) -> None:
                    if self.open:
                        self.on_chunk(position, float(stage.loud))

            self.streams.append(One(on_chunk))
            return self.streams[-1]

        def __init__(self) -> None:
            self.streams: list[Any] = []

        async def aclose(self) -> None:
            for one in self.streams:
                one.close()

    assert broken(detector_conforms, Shared) == {
        "keeps sessions apart": "beside another session the same audio had other probabilities"
    }


def test_streams_do_not_take_turns() -> None:
    class Crowded(Detects):
        def __init__(self) -> None:
            self.streams: list[Any] = []

        def open(self, on_chunk: Any) -> Any:
            stage = self

            class One(Stream):
                def tell(self, position: int, probability: float) -> None:
                    alone = sum(stream.open for stream in stage.streams) == 1
                    if alone or position % 1024 == 0:
                        self.on_chunk(position, probability)

            self.streams.append(One(on_chunk))
            return self.streams[-1]

        async def aclose(self) -> None:
            for one in self.streams:
                one.close()

    assert broken(detector_conforms, Crowded) == {
        "keeps sessions apart": "beside another session the same audio was told of at other"
        " positions"
    }


def test_a_closed_stream_is_silent_and_may_be_closed_again() -> None:
    def feed(self: Stream, pcm: Any) -> None:
        assert self.open, "closed"
        Stream.feed(self, pcm)

    def close(self: Stream) -> None:
        if not self.open:
            raise ValueError("closed already")
        self.open = False

    seen = broken(detector_conforms, detector(feed=feed, close=close))["gives places back"]
    assert "`close` raised ValueError: closed already" in seen
    assert "after `close`: `feed` of 8000 samples raised AssertionError: closed" in seen
    talks = detector(close=lambda self: None)
    assert broken(detector_conforms, talks) == {
        "gives places back": "`on_chunk` was called 16 times after `close`"
    }


def test_a_place_that_is_not_given_back_is_missed() -> None:
    class Counts(Detects):
        places = 100

        def open(self, on_chunk: Any) -> Any:
            self.places -= 1
            if self.places < 0:
                raise StageFailed("vad", "detects", "connect", "no place left")
            return Stream(on_chunk)

    seen = broken(detector_conforms, Counts)
    assert "no place left was raised where nothing should go wrong" in seen["gives places back"]


def test_a_detector_that_holds_the_loop_is_reported() -> None:
    def feed(self: Stream, pcm: Any) -> None:
        if self.fed == 3200:
            time.sleep(0.25)
        Stream.feed(self, pcm)

    seen = broken(detector_conforms, detector(feed=feed))
    assert list(seen) == ["never blocks the event loop"]


def test_a_closed_detector_is_silent() -> None:
    assert broken(detector_conforms, Detects) == {
        "ends with aclose": "`on_chunk` was called 16 times after `aclose`"
    }


# --- the command -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slot", "factory", "code", "said"),
    [
        ("llm", "stages.fakes:FakeResponder", 0, "stages.fakes:FakeResponder keeps the contract"),
        ("tts", "stages.fakes:FakeResponder", 1, "the FakeResponder has no `speak`"),
        ("tts", "stages.fakes:Nobody", 2, "has no attribute 'Nobody'"),
        ("tts", "nowhere", 2, "No module named 'nowhere'"),
    ],
)
def test_the_command_tells_what_is_broken(slot: str, factory: str, code: int, said: str) -> None:
    command = [sys.executable, "-m", "stages.testing", slot, factory]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (code, True) == (done.returncode, said in done.stdout + done.stderr), done
