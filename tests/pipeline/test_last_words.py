"""What is said when a session ends: how long its recognition may take."""

import asyncio
from typing import Any

import numpy as np
import pytest

from pipeline.frames import ReplyDone, TurnMetrics
from pipeline.guard import Limits
from pipeline.session import SessionPolicy
from pipeline.turn_policy import TurnPolicy
from stages.fakes import FakeTranscriber, Script

TAKES_S = 10.0
STORED = [("accept", 1, "I like tests"), ("commit", 1, "I like tests", "")]
LOST = "the last words of the session, 1.1 s, were not recognised: "


@pytest.fixture
def ending(conversation: Any) -> Any:
    """A conversation whose recogniser takes 10 s."""
    conversation.policy = SessionPolicy(hard_s=6.0, speculate=False)
    conversation.limits = {"fake-stt": Limits(first_s=60.0, slow_first_s=60.0, total_s=60.0)}
    conversation.transcribers = [FakeTranscriber(Script(first_s=TAKES_S), texts=("I like tests",))]
    return conversation


def end(ending: Any, before_s: float | None = None, while_s: float | None = None) -> float:
    """End the session during speech; returns how long that took, in seconds.

    It is told before that, and a second later, until when it has to be finished.
    """
    took: list[float] = []

    async def story() -> None:
        loop = asyncio.get_running_loop()
        await ending.until(ReplyDone, 0)
        await ending.speak(600)
        began = loop.time()
        if before_s is not None:
            ending.session.finish_by(began + before_s)
        ending.session.end()
        if while_s is not None:
            await asyncio.sleep(1.0)
            ending.session.finish_by(began + while_s)
        await asyncio.wait([ending.running], timeout=60)
        took.append(loop.time() - began)
        ending.session.finish_by(began)  # nothing is left to finish

    ending.run(story)
    return took[0]


@pytest.mark.parametrize(
    ("before_s", "while_s"), [(None, None), (60.0, None), (None, 60.0), (20.0, 15.0)]
)
def test_the_recogniser_is_waited_for(
    ending: Any, before_s: float | None, while_s: float | None
) -> None:
    assert end(ending, before_s, while_s) == pytest.approx(TAKES_S, abs=0.05)
    assert ending.host.log[1:] == STORED


@pytest.mark.parametrize(("before_s", "while_s"), [(3.0, None), (None, 3.0), (20.0, 3.0)])
def test_it_is_given_up_when_the_session_has_to_be_finished(
    ending: Any,
    before_s: float | None,
    while_s: float | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert end(ending, before_s, while_s) == pytest.approx(3.0, abs=0.05)
    assert ending.host.log[1:] == []
    assert [record.getMessage() for record in caplog.records] == [LOST + "the time was up"]


def test_words_that_are_cut_off_with_the_process_are_logged(
    ending: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        await ending.until(ReplyDone, 0)
        await ending.speak(600)
        ending.session.end()
        await asyncio.sleep(1.0)
        ending.running.cancel()
        await asyncio.wait([ending.running])

    ending.run(story)
    assert [record.getMessage() for record in caplog.records] == [LOST + "the process ended"]


# --- a client that leaves while it is recognised -------------------------------------------------


def leaves(ending: Any, after_s: float) -> float:
    """The client leaves so long after it fell silent; returns how many seconds the end takes."""
    took: list[float] = []

    async def story() -> None:
        loop = asyncio.get_running_loop()
        await ending.until(ReplyDone, 0)
        await ending.speak(600)
        await ending.pause(round(after_s * 1000))
        began = loop.time()
        ending.session.end()
        await asyncio.wait([ending.running], timeout=60)
        took.append(loop.time() - began)

    ending.run(story)
    return took[0]


@pytest.mark.parametrize("speculate", [False, True], ids=["", "speculating"])
def test_recognition_goes_on_when_the_client_leaves(ending: Any, speculate: bool) -> None:
    ending.policy = SessionPolicy(hard_s=6.0, speculate=speculate)
    assert leaves(ending, 4.0) < TAKES_S - 3.0
    assert ending.host.log[1:] == STORED
    assert len(ending.transcribers[0].told) == 1, "it was not begun again"
    assert ending.transcribers[0].open_now == 0


def test_also_where_there_are_no_replies(ending: Any) -> None:
    ending.policy = SessionPolicy(speculate=False, turns=TurnPolicy(replies=False))
    assert leaves(ending, 4.0) < TAKES_S - 3.0
    assert ending.host.log[1:] == STORED
    assert len(ending.transcribers[0].told) == 1


def test_also_where_the_client_leaves_before_the_turn_is_decided(ending: Any) -> None:
    ending.policy = SessionPolicy(hard_s=6.0, speculate=True)
    took_s = leaves(ending, 0.6)
    assert TAKES_S - 1.0 < took_s < TAKES_S
    assert ending.host.log[1:] == STORED
    assert len(ending.transcribers[0].told) == 1


def test_what_was_recognised_before_the_turn_is_decided_is_stored_at_once(ending: Any) -> None:
    ending.policy = SessionPolicy(hard_s=6.0, speculate=True)
    ending.transcribers = [FakeTranscriber(texts=("I like tests",))]
    assert leaves(ending, 0.6) == 0.0
    assert ending.host.log[1:] == STORED
    assert len(ending.transcribers[0].told) == 1


def test_a_recogniser_that_fails_meanwhile_leaves_the_words_to_another_attempt(ending: Any) -> None:
    ending.policy = SessionPolicy(hard_s=6.0, speculate=True)
    ending.limits = {"fake-stt": Limits(first_s=2.0)}
    hangs = Script(stall=True)
    ending.transcribers = [FakeTranscriber(hangs, Script(), texts=("never", "I like tests"))]
    assert leaves(ending, 0.6) < 3.0
    assert ending.host.log[1:] == STORED


def test_what_was_said_with_audio_that_was_not_fed_is_recognised_as_a_whole(ending: Any) -> None:
    ending.policy = SessionPolicy(hard_s=6.0, speculate=True)
    ending.transcribers = [FakeTranscriber(texts=("I like", "I like tests"))]

    async def story() -> None:
        await ending.until(ReplyDone, 0)
        await ending.speak(600)
        await ending.pause(600)
        ending.session.end(iter([np.full(320, 4000, np.int16)] * 30))
        await asyncio.wait([ending.running], timeout=60)

    ending.run(story)
    assert ending.host.log[1:] == STORED


def test_recognition_that_goes_on_ends_with_the_process(
    ending: Any, caplog: pytest.LogCaptureFixture
) -> None:
    ending.host.commit_s = 5.0  # the turn before is being stored

    async def story() -> None:
        await ending.until(ReplyDone, 0)
        await ending.speak(600)
        await ending.pause(2000)
        ending.session.end()
        await asyncio.sleep(0.1)
        ending.running.cancel()
        await asyncio.wait([ending.running])

    ending.run(story)  # and leaves no task behind
    assert ending.transcribers[0].open_now == 0
    assert "the process ended" in caplog.text


def test_a_turn_in_which_a_line_was_heard_has_its_figures_whatever_comes_of_it(ending: Any) -> None:
    ending.policy = SessionPolicy(hard_s=2.0, speculate=False)
    ending.transcribers = [FakeTranscriber(Script(first_s=5.0), texts=("",))]
    leaves(ending, 4.0)
    assert ending.host.log[1:] == []
    assert [each.turn for each in ending.all(TurnMetrics)] == [0, 1]
    assert ending.all(TurnMetrics)[1].voice_to_voice_ms is not None


def test_text_that_came_with_the_end_is_stored(ending: Any) -> None:
    async def story() -> None:
        await ending.until(ReplyDone, 0)
        ending.session.end(typed="and coffee")
        await asyncio.wait([ending.running], timeout=60)

    ending.run(story)
    assert ending.host.log[1:] == [("accept", 1, "and coffee"), ("commit", 1, "and coffee", "")]
