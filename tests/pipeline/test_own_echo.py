"""A client whose microphone hears its loudspeaker: the conversation must not answer itself."""

import asyncio
from collections import deque
from typing import Any

import numpy as np
import pytest

from pipeline.canned import CannedLines
from pipeline.echo import ECHO
from pipeline.fillers import Fillers
from pipeline.frames import (
    Clear,
    Degraded,
    ReplyAudio,
    ReplyDone,
    ReplyStarted,
    ReplyText,
    Samples,
    Transcript,
)
from pipeline.guard import Limits
from pipeline.session import SessionPolicy
from pipeline.turns import TurnPolicy
from stages.fakes import FakeSynthesizer, FakeTranscriber, Script

FILLER = CannedLines().fillers[0]
QUESTION = "How do you approach debugging an issue that you cannot reproduce?"
SILENCE: Samples = np.zeros(320, np.int16)
LOUD = 2.0
"""6 dB below the voice is half of it."""

DELAY_FRAMES = 20
"""What the client plays is back after 400 ms, so that a pause comes too late for it."""


class Room:
    """What the microphone hears: the replies as they are played, and the person."""

    def __init__(self, conversation: Any) -> None:
        self._conversation = conversation
        self._taken = 0
        self._waiting: deque[Samples] = deque()
        self._playing: deque[Samples] = deque()

    def _take(self) -> None:
        frames = self._conversation.frames
        for _, frame in frames[self._taken :]:
            if isinstance(frame, ReplyAudio):
                self._waiting.append(frame.pcm)
            elif isinstance(frame, Clear):
                self._waiting.clear()
        self._taken = len(frames)

    async def listen(self, ms: int) -> None:
        for _ in range(ms // 20):
            self._take()
            frame = self._waiting.popleft() if self._waiting else None
            self._playing.append(SILENCE if frame is None else frame)
            back = self._playing.popleft() if len(self._playing) > DELAY_FRAMES else SILENCE
            self._conversation.session.feed((back / LOUD).astype(np.int16))
            await asyncio.sleep(0.02)


class Echoes(FakeTranscriber):
    """Recognises as many words of the reply as were spoken into it, from the first one on."""

    def __init__(self, ms_per_word: int) -> None:
        super().__init__()
        self._ms_per_word = ms_per_word

    def open(self, turn: int, *arguments: Any, **options: Any) -> Any:
        recognition = super().open(turn, *arguments, **options)
        loud = 0

        def feed(pcm: Any) -> None:
            nonlocal loud
            loud += int((abs(pcm) > 100).sum())

        async def finish() -> Any:
            count = max(1, loud // 16 // self._ms_per_word)
            yield Transcript(turn, " ".join(QUESTION.lower().split()[:count]), final=True)

        recognition.feed, recognition.finish = feed, finish
        return recognition


@pytest.fixture(params=[False, True], ids=["", "speculating"])
def loud(request: pytest.FixtureRequest, conversation: Any) -> Any:
    conversation.policy = SessionPolicy(speculate=request.param)
    conversation.host.say = (QUESTION,)
    conversation.synthesizers = [FakeSynthesizer(ms_per_word=400)]
    conversation.transcribers = [Echoes(400)]
    return conversation


def accepted(conversation: Any) -> list[str]:
    return [entry[2] for entry in conversation.host.log if entry[0] == "accept"]


def test_the_interviewer_does_not_answer_itself(loud: Any) -> None:
    room = Room(loud)

    async def story() -> None:
        await room.listen(60_000)

    loud.run(story)
    assert accepted(loud) == []
    assert len(loud.all(ReplyText)) <= 3


def test_a_question_that_its_echo_cut_off_is_asked_again_to_its_end(loud: Any) -> None:
    room = Room(loud)

    async def story() -> None:
        await room.listen(60_000)

    loud.run(story)
    assert loud.all(ReplyDone)[-1].heard == QUESTION


def test_an_echo_is_no_answer_and_the_client_learns_why(loud: Any) -> None:
    loud.policy = SessionPolicy(TurnPolicy(interruptible=False))
    loud.transcribers = [FakeTranscriber(texts=("do you approach debugging an issue",))]

    async def story() -> None:
        await speak_over_the_end(loud)
        await loud.until(Degraded, 1)
        await loud.pause(3000)

    loud.run(story)
    assert [(d.stage, d.target, d.reason) for d in loud.all(Degraded)] == [("stt", "no text", ECHO)]
    assert (accepted(loud), loud.all(Transcript)) == ([], [])
    assert [text.turn for text in loud.all(ReplyText)] == [0]  # the question waits
    assert len(loud.transcribers[0].told) == 1  # and it is recognised once


async def speak_over_the_end(loud: Any) -> None:
    """Speech that begins into a reply, which it does not interrupt, and goes on after it."""
    await loud.until(ReplyStarted, 0)
    while not loud.all(ReplyDone):
        await loud.speak(20)
    await loud.speak(400)


def test_who_says_the_sentence_after_the_interviewer_is_heard(loud: Any) -> None:
    loud.transcribers = [FakeTranscriber(texts=(QUESTION,))]

    async def story() -> None:
        await loud.until(ReplyDone, 0)
        await loud.pause(200)
        await loud.speak(2000)
        await loud.until(ReplyDone, 1)

    loud.run(story)
    assert accepted(loud) == [QUESTION]


@pytest.mark.parametrize(
    "text",
    ["yes", "cannot you say", f"{QUESTION} I look at the logs first.", "I add more logging"],
)
def test_a_person_is_heard_as_before(loud: Any, text: str) -> None:
    loud.transcribers = [FakeTranscriber(texts=(text,))]

    async def story() -> None:
        await loud.until(ReplyStarted, 0)
        await loud.pause(2400)
        await loud.speak(2000)
        await loud.until(ReplyDone, 1)

    loud.run(story)
    assert accepted(loud) == [text]


@pytest.mark.parametrize(
    ("played_ms", "spoken_ms"),
    [(4200, 1400), (3000, 900)],
    ids=["into its last word", "before it says them"],
)
def test_an_answer_in_the_replys_last_words_is_no_echo(
    loud: Any, played_ms: int, spoken_ms: int
) -> None:
    text = "that you cannot reproduce" if played_ms > 4000 else "cannot reproduce"
    loud.transcribers = [FakeTranscriber(texts=(text,))]

    async def story() -> None:
        await loud.until(ReplyStarted, 0)
        await loud.pause(played_ms)
        await loud.speak(spoken_ms)
        await loud.until(ReplyDone, 1)

    loud.run(story)
    assert accepted(loud) == [text]


@pytest.mark.parametrize(
    ("text", "stored"),
    [("do you approach debugging", []), ("wait, I look at the logs", ["wait, I look at the logs"])],
)
def test_an_echo_at_the_end_of_the_session_is_no_last_answer(
    loud: Any, text: str, stored: list[str]
) -> None:
    loud.transcribers = [FakeTranscriber(texts=(text,))]

    async def story() -> None:
        await loud.until(ReplyStarted, 0)
        await loud.pause(1600)
        await loud.speak(1000)  # and the client leaves

    loud.run(story)
    assert accepted(loud) == stored


def test_typed_words_are_an_answer_whatever_they_are(loud: Any) -> None:
    async def story() -> None:
        await loud.until(ReplyDone, 0)
        loud.session.typed(QUESTION)
        await loud.until(ReplyDone, 1)

    loud.run(story)
    assert accepted(loud) == [QUESTION]


def test_an_answer_after_an_echo_counts(loud: Any) -> None:
    texts = ("approach debugging an issue that", "I look at the logs")
    loud.transcribers = [FakeTranscriber(texts=texts)]
    loud.policy = SessionPolicy(TurnPolicy(interruptible=False), speculate=False)

    async def story() -> None:
        await speak_over_the_end(loud)
        await loud.until(Degraded, 1)
        await loud.pause(1000)
        await loud.speak(2000)
        await loud.until(ReplyDone, 2)

    loud.run(story)
    assert accepted(loud) == ["I look at the logs"]


def test_an_echo_that_is_recognised_late_ends_with_the_holding_line(loud: Any) -> None:
    loud.policy = SessionPolicy(TurnPolicy(interruptible=False), speculate=False)
    loud.limits = {"fake-stt": Limits(first_s=60.0, slow_first_s=20.0, total_s=60.0)}
    loud.transcribers = [
        FakeTranscriber(Script(first_s=9.0), texts=("do you approach debugging an issue",))
    ]

    async def story() -> None:
        await speak_over_the_end(loud)
        await loud.until(ReplyDone, 1)

    loud.run(story)
    assert accepted(loud) == []
    assert [d.target for d in loud.all(Degraded)] == ["holding line", "no text"]


@pytest.mark.parametrize(
    ("first_s", "lines"),
    [(1.5, [FILLER]), (9.0, [FILLER, CannedLines().listening])],
    ids=["a filler", "a holding line"],
)
def test_a_line_that_fills_the_wait_for_an_echo_is_spoken_to_its_end(
    loud: Any, first_s: float, lines: list[str]
) -> None:
    loud.policy = SessionPolicy(speculate=False)
    loud.fillers = Fillers()
    loud.limits = {"fake-stt": Limits(first_s=60.0, slow_first_s=20.0, total_s=60.0)}
    texts = ("do you approach debugging", "I look at the logs")
    loud.transcribers = [FakeTranscriber(Script(first_s=first_s), Script(), texts=texts)]

    async def story() -> None:
        await loud.until(ReplyStarted, 0)
        await loud.pause(1600)
        await loud.speak(1000)
        await loud.until(ReplyDone, 1)
        await loud.until(ReplyDone, 2)
        await loud.speak(1000)
        await loud.until(ReplyDone, 3)

    loud.run(story)
    assert [done.heard for done in loud.all(ReplyDone)[1:]] == [" ".join(lines), QUESTION, QUESTION]
    assert [started.turn for started in loud.all(ReplyStarted)] == [0, 1, 2, 3]
    assert accepted(loud) == ["I look at the logs"]
