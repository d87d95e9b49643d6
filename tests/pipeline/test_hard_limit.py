"""The person waits no longer than the turn's hard limit for the reply's first word.

The longest silence after the decision has these parts: the time of recognition and reply (the limit
less `LAST_RESORT_S` and the reserve for closing), a quarter of a second to close a stream that
failed, a second of synthesis, and another quarter to close that.
"""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import Phase, example, given
from hypothesis import strategies as st

from pipeline.budget import TurnBudget
from pipeline.canned import CannedLines
from pipeline.frames import (
    Degraded,
    Fault,
    ReplyAudio,
    ReplyDone,
    ReplyText,
    SpeechStopped,
    TextDelta,
    Transcript,
)
from pipeline.guard import Limits
from pipeline.reply import Reply
from pipeline.session import SessionPolicy
from pipeline.turns import TurnPolicy
from stages.fakes import FakeResponder, FakeSynthesizer, FakeTranscriber, Script
from tests.support.examples import examples

UNHEARD = "Sorry, I did not catch that. Could you please say it again?"
SPEECHLESS = "Sorry, I lost my thread for a moment. Please go on."
HARD_S = 6.0


@pytest.fixture
def strict(conversation: Any) -> Any:
    conversation.policy = SessionPolicy(hard_s=HARD_S, speculate=False)
    return conversation


def talk(conversation: Any) -> None:
    """Two answers, each with its reply."""

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        for turn in (1, 2):
            await conversation.speak()
            await conversation.until(ReplyDone, turn, within_ms=60_000)

    conversation.run(story)


def waited(conversation: Any, turn: int = 1) -> float:
    """Seconds from the decision to the first word that the person hears or sees of the reply."""
    [decided] = [frame for frame in conversation.all(SpeechStopped) if frame.turn == turn]
    words = (at for at, f in conversation.frames if isinstance(f, ReplyText) and f.turn == turn)
    return next(words) - conversation.at(decided)


def heard(conversation: Any, turn: int = 1) -> str:
    [done] = [frame for frame in conversation.all(ReplyDone) if frame.turn == turn]
    return done.heard


class Clings:
    """A stage's stream that gives no item and ignores `aclose`."""

    def __init__(self, items: tuple[Any, ...] = ()) -> None:
        self._items = iter(items)

    def __aiter__(self) -> "Clings":
        return self

    async def __anext__(self) -> Any:
        for item in self._items:
            return item
        await asyncio.sleep(3600)

    async def aclose(self) -> None:
        await asyncio.sleep(3600)


class ClingingTranscriber(FakeTranscriber):
    def transcripts(self, turn: int) -> AsyncIterator[Transcript]:
        return Clings()


class ClingingResponder(FakeResponder):
    def reply(self, request: Any) -> AsyncIterator[TextDelta]:
        return super().reply(request) if request.turn == 0 else Clings()


class ClingingSynthesizer(FakeSynthesizer):
    def speak(self, sentence: Any) -> Any:
        return super().speak(sentence) if sentence.turn == 0 else Clings()


# --- the reply -------------------------------------------------------------------------------


def test_words_without_a_full_stop_are_spoken_when_it_is_time(strict: Any) -> None:
    words = " ".join(f"word{number}" for number in range(12))
    strict.responders = [FakeResponder(Script(), Script(gap_s=0.9), Script(), text=words)]
    talk(strict)
    assert 4.0 <= waited(strict) <= HARD_S
    assert heard(strict) == words
    assert strict.all(Degraded) == []


def test_letters_without_a_space_are_given_up(strict: Any) -> None:
    class Drips(FakeResponder):
        async def reply(self, request: Any) -> AsyncIterator[TextDelta]:
            for letter in "Yes. " if request.turn != 1 else "y" * 60:
                yield TextDelta(request.turn, letter)
                if request.turn == 1:
                    await asyncio.sleep(0.9)

    strict.responders = [Drips()]
    talk(strict)
    assert waited(strict) <= HARD_S
    assert heard(strict) == SPEECHLESS
    assert [(d.stage, d.target) for d in strict.all(Degraded)] == [("llm", "canned line")]
    assert heard(strict, 2) == "Yes."


def test_a_reply_that_comes_to_a_crawl_is_spoken_as_it_comes(strict: Any) -> None:
    class Slows(FakeResponder):
        async def reply(self, request: Any) -> AsyncIterator[TextDelta]:
            yield TextDelta(request.turn, "This is a sentence. ")
            for number in range(20 if request.turn == 1 else 0):
                await asyncio.sleep(0.9)
                yield TextDelta(request.turn, f"word{number} ")

    strict.responders = [Slows()]
    talk(strict)
    sent = [at for at, f in strict.frames if isinstance(f, ReplyAudio) and f.turn == 1]
    assert max(b - a for a, b in pairwise(sent)) <= HARD_S
    assert len([f for f in strict.all(ReplyText) if f.turn == 1]) >= 4
    assert heard(strict).endswith("word19")


def test_a_reply_that_never_ends_is_ended(strict: Any) -> None:
    class Endless(FakeResponder):
        async def reply(self, request: Any) -> AsyncIterator[TextDelta]:
            while True:
                yield TextDelta(request.turn, "This is a sentence. " * 5000)

    strict.responders = [Endless()]
    strict.synthesizers = [FakeSynthesizer(ms_per_word=20)]

    async def story() -> None:
        await strict.until(ReplyDone, 0, within_ms=600_000)

    strict.run(story)
    assert len(heard(strict, 0)) == 4000 - 1


def test_a_decision_that_comes_late_gives_the_stages_all_their_time(strict: Any) -> None:
    strict.policy = SessionPolicy(TurnPolicy(mode="manual"), hard_s=HARD_S, speculate=False)
    strict.responders = [FakeResponder(Script(), Script(first_s=1.5))]

    async def story() -> None:
        await strict.until(ReplyDone, 0)
        await strict.speak()
        await strict.pause(10_000)
        strict.session.commit()
        await strict.until(ReplyDone, 1)

    strict.run(story)
    assert heard(strict) == strict.host.say[0]
    assert strict.all(Degraded) == []


# --- recognition -----------------------------------------------------------------------------


def test_recognition_that_takes_nearly_all_leaves_the_canned_line(strict: Any) -> None:
    strict.transcribers = [
        FakeTranscriber(Script(stall=True), Script(), provider="one"),
        FakeTranscriber(Script(first_s=1.99), Script(), provider="two"),
    ]
    strict.responders = [FakeResponder(Script(), Script(first_s=1.9), Script())]
    strict.synthesizers = [FakeSynthesizer(Script(), Script(first_s=0.99), Script())]
    talk(strict)
    assert waited(strict) <= HARD_S
    assert [(d.stage, d.target) for d in strict.all(Degraded)] == [
        ("stt", "two"),
        ("llm", "canned line"),
    ]
    assert heard(strict) == SPEECHLESS


def test_a_recogniser_that_goes_on_after_its_final_word_is_not_waited_for(strict: Any) -> None:
    class Lingers(FakeTranscriber):
        async def transcripts(self, turn: int) -> AsyncIterator[Transcript]:
            yield Transcript(turn, "I like tests", final=True)
            await asyncio.sleep(3600)

    strict.transcribers = [Lingers()]
    talk(strict)
    assert waited(strict) == 0.0
    assert strict.all(Degraded) == []
    assert ("accept", 1, "I like tests") in strict.host.log


# --- synthesis -------------------------------------------------------------------------------


def test_a_voice_that_comes_too_late_is_replaced_by_the_text(strict: Any) -> None:
    strict.policy = SessionPolicy(hard_s=2.5, speculate=False)
    strict.synthesizers = [FakeSynthesizer(Script(), Script(first_s=1.99), Script())]
    strict.responders = [FakeResponder(Script(), Script(first_s=0.9), Script())]
    talk(strict)
    assert waited(strict) <= 2.5
    assert heard(strict) == strict.host.say[0]
    assert strict.audio_ms(1) == 0
    assert [(d.stage, d.target) for d in strict.all(Degraded)] == [("tts", "text")]


# --- everything ------------------------------------------------------------------------------


@pytest.mark.parametrize("hard_s", [6.0, 2.5])
@pytest.mark.parametrize("stages", ["transcribers", "responders", "synthesizers", "all"])
def test_stages_that_do_not_even_close_cost_no_more(
    conversation: Any, stages: str, hard_s: float
) -> None:
    conversation.policy = SessionPolicy(hard_s=hard_s, speculate=False)
    clinging = {
        "transcribers": [ClingingTranscriber()],
        "responders": [ClingingResponder()],
        "synthesizers": [ClingingSynthesizer()],
    }
    for slot, stage in clinging.items():
        if stages in (slot, "all"):
            setattr(conversation, slot, stage)

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak()
        await conversation.until(ReplyDone, 1)
        await asyncio.sleep(3600 * 3)  # they close at last

    conversation.run(story)
    assert waited(conversation) <= hard_s
    assert heard(conversation).removeprefix(f"{CannedLines().listening} ") in (
        *(UNHEARD, SPEECHLESS),
        conversation.host.say[0],
    )


def test_a_client_learns_that_storage_hangs(strict: Any) -> None:
    async def story() -> None:
        await strict.until(ReplyDone, 0)
        strict.host.accept_s = 20.0
        await strict.speak()
        await strict.until(ReplyDone, 1)

    strict.run(story)
    [fault] = strict.all(Fault)
    [decided] = strict.all(SpeechStopped)
    assert (fault.turn, fault.code, fault.fatal) == (1, "storage_slow", False)
    assert strict.at(fault) - strict.at(decided) <= HARD_S
    assert heard(strict) == strict.host.say[0]


DELAYS = st.builds(
    lambda first_s, gap_s, fault, after: Script(
        first_s, gap_s, after, OSError("gone") if fault == "error" else None, fault == "stall"
    ),
    st.sampled_from([0.0, 0.5, 0.99, 1.5, 1.99, 3.0]),
    st.sampled_from([0.0, 0.3, 0.99]),
    st.sampled_from([None, None, "error", "stall"]),
    st.integers(0, 8),
)


@examples(60, phases=[Phase.explicit, Phase.generate])
@given(
    stt=st.lists(DELAYS, min_size=1, max_size=2),
    llm=st.lists(DELAYS, min_size=1, max_size=2),
    tts=st.lists(DELAYS, min_size=1, max_size=2),
    hard_s=st.sampled_from([2.5, 4.0, 6.0]),
    speculate=st.booleans(),
    silence_ms=st.sampled_from([300, 800, 3000]),
    waits=st.sampled_from([None, False, True]),
)
@example([Script(0.99)], [Script(0, 0.3, 5, stall=True)], [Script(0.99)], 4.0, True, 300, None)
@example([Script(1.99)], [Script(0.5, 0.99)], [Script(1.99)], 6.0, True, 3000, None)
@example([Script(18.0)], [Script(3.0)], [Script(1.99)], 6.0, True, 3000, False)
@example([Script(stall=True), Script(6.0)], [Script(3.0)], [Script(1.99)], 4.0, False, 300, True)
def test_however_slow_the_stages_are(
    conversation: Any,
    stt: list[Script],
    llm: list[Script],
    tts: list[Script],
    hard_s: float,
    speculate: bool,
    silence_ms: int,
    waits: bool | None,
) -> None:
    conversation = type(conversation)()
    if waits is not None:  # recognisers that are waited for, by their patience
        limits = Limits(first_s=60.0, slow_first_s=2.0, total_s=60.0, patient=waits)
        conversation.limits = {"stt0": limits, "stt1": limits}
    turns = TurnPolicy(silence_ms=silence_ms, adaptive=False)
    conversation.policy = SessionPolicy(turns, hard_s=hard_s, speculate=speculate)
    conversation.host.say = (
        "Well this is a reply whose first sentence takes its time to come to an end.",
    )
    conversation.transcribers = [FakeTranscriber(s, provider=f"stt{i}") for i, s in enumerate(stt)]
    conversation.responders = [FakeResponder(s, provider=f"llm{i}") for i, s in enumerate(llm)]
    conversation.synthesizers = [FakeSynthesizer(s, provider=f"tts{i}") for i, s in enumerate(tts)]

    async def story() -> None:
        await conversation.until(ReplyDone, 0, within_ms=90_000)
        await conversation.speak()
        await conversation.until(ReplyDone, 1, within_ms=90_000)

    conversation.run(story)
    assert waited(conversation) <= hard_s


def test_a_limit_that_is_reached_before_the_responder_is_asked_ends_in_the_canned_line(
    strict: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A loop that is late runs its timers before the task that asks has had its first step."""
    allow, compose = TurnBudget.allow, Reply._compose

    def spent(budget: TurnBudget, stage: Any, now: float) -> float:
        return 0.0 if stage == "llm" else allow(budget, stage, now)

    async def late(reply: Reply, *arguments: Any) -> str | None:
        for _ in range(3):
            await asyncio.sleep(0)
        return await compose(reply, *arguments)

    monkeypatch.setattr(TurnBudget, "allow", spent)
    monkeypatch.setattr(Reply, "_compose", late)
    talk(strict)
    assert [heard(strict, turn) for turn in (1, 2)] == [SPEECHLESS] * 2
    assert [record.name for record in caplog.records if record.name == "asyncio"] == []
