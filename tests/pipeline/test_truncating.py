"""The client reports that less of a reply was heard: the host's memory is corrected."""

import asyncio
from typing import Any

import pytest

from pipeline.frames import Fault, ReplyDone, ReplyResumed, ReplyStarted, SpeechStarted, TurnMetrics
from pipeline.session import SessionPolicy
from pipeline.turns import TurnPolicy
from stages.fakes import FakeResponder, FakeSynthesizer, Script

LINE = "Well, tell me more about that."
WORD_MS = 200


def corrections(conversation: Any) -> list[tuple[int, str]]:
    return [entry[1:] for entry in conversation.host.log if entry[0] == "correct"]


@pytest.mark.parametrize(
    ("heard_ms", "heard"),
    [
        (0, ""),
        (-5, ""),
        (2 * WORD_MS - 1, "Well,"),
        (2 * WORD_MS, "Well, tell"),
        (5 * WORD_MS + 1, "Well, tell me more about"),
    ],
)
def test_less_of_a_reply_that_is_over_is_remembered(
    conversation: Any, heard_ms: int, heard: str
) -> None:
    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        conversation.session.truncate(0, heard_ms)

    conversation.run(story)
    assert conversation.host.log == [("commit", 0, "", LINE), ("correct", 0, heard)]
    assert conversation.all(ReplyDone) == [ReplyDone(0, interrupted=False, heard=LINE)]


@pytest.mark.parametrize("heard_ms", [6 * WORD_MS, 1_000_000])
def test_what_is_remembered_already_is_not_corrected(conversation: Any, heard_ms: int) -> None:
    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        conversation.session.truncate(0, heard_ms)

    conversation.run(story)
    assert conversation.host.log == [("commit", 0, "", LINE)]


def test_never_more_than_what_was_sent_counts_as_heard(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyStarted, 0)
        await conversation.pause(500)
        conversation.session.interrupt()
        conversation.session.truncate(0, 1_000_000)
        await conversation.pause(5000)
        conversation.session.truncate(0, 2_000_000)

    conversation.run(story)
    (done,) = conversation.all(ReplyDone)
    assert done.heard == "Well, tell"
    # The lead of 200 ms was under way when the reply was stopped: it may have been heard.
    assert conversation.host.log == [
        ("commit", 0, "", "Well, tell"),
        ("correct", 0, "Well, tell me"),
    ]


def test_a_reply_that_was_interrupted_is_cut_to_what_the_client_played(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyStarted, 0)
        await conversation.pause(500)
        await conversation.speak(600)
        await conversation.until(SpeechStarted, 1)
        conversation.session.truncate(0, 250)
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    assert conversation.host.log == [
        ("commit", 0, "", "Well, tell me"),
        ("correct", 0, "Well,"),
        ("accept", 1, "I like tests"),
        ("commit", 1, "I like tests", LINE),
    ]


def test_a_reply_that_is_truncated_under_way_is_remembered_so_at_once(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyStarted, 0)
        await conversation.pause(700)
        conversation.session.truncate(0, 250)
        await conversation.pause(100)
        conversation.session.interrupt()

    conversation.run(story)
    assert conversation.all(ReplyDone) == [ReplyDone(0, interrupted=True, heard="Well,")]
    assert conversation.host.log == [("commit", 0, "", "Well,")]


def test_a_reply_that_goes_on_after_a_cough_is_heard_again(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyStarted, 0)
        await conversation.pause(500)
        await conversation.speak(300)
        conversation.session.truncate(0, 250)
        await conversation.until(ReplyResumed, 0)
        await conversation.until(ReplyDone, 0)

    conversation.run(story)
    assert conversation.host.log == [("commit", 0, "", LINE)]


def test_nothing_is_corrected_once_the_next_reply_has_begun(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        conversation.session.truncate(7, 100)
        conversation.session.typed("an answer")
        await conversation.until(ReplyStarted, 1)
        conversation.session.truncate(0, 100)
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    assert corrections(conversation) == []


def test_a_session_that_does_not_run_corrects_nothing(conversation: Any) -> None:
    conversation.early = lambda: conversation.session.truncate(0, 100)

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        conversation.session.end()
        conversation.session.truncate(0, 100)

    conversation.run(story)
    assert corrections(conversation) == []


def test_a_canned_line_is_no_part_of_what_is_remembered(conversation: Any) -> None:
    conversation.host.say = ("This is a first sentence of some length.", "This is the second one.")
    broken = Script(after=10, error=OSError("gone"))
    conversation.responders = [FakeResponder(broken)]

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        conversation.session.truncate(0, 8 * WORD_MS + 3 * WORD_MS)
        conversation.session.truncate(0, 7 * WORD_MS + 1)

    conversation.run(story)
    (done,) = conversation.all(ReplyDone)
    assert done.heard.startswith("This is a first sentence of some length. Sorry,")
    assert conversation.host.log == [
        ("commit", 0, "", "This is a first sentence of some length."),
        ("correct", 0, "This is a first sentence of some"),
    ]


def test_a_correction_waits_for_the_commit_and_the_last_one_counts(conversation: Any) -> None:
    conversation.host.commit_s = conversation.host.correct_s = 1.0

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        for heard_ms in (1000, 800, 600, 401):  # the commit is not done yet
            conversation.session.truncate(0, heard_ms)
        await conversation.pause(1500)
        conversation.session.truncate(0, 100)  # while the host stores the correction
        conversation.session.typed("an answer")
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    assert conversation.host.log == [
        ("commit", 0, "", LINE),
        ("correct", 0, "Well, tell"),
        ("correct", 0, ""),
        ("accept", 1, "an answer"),
        ("commit", 1, "an answer", LINE),
    ]
    assert conversation.all(Fault) == []


def test_a_correction_that_cannot_be_stored_is_reported_and_ends_nothing(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.pause(100)
        conversation.host.error = OSError("disk full")
        conversation.session.truncate(0, 100)
        await conversation.until(Fault, 0)
        conversation.host.error = None
        conversation.session.typed("an answer")
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    (fault,) = conversation.all(Fault)
    assert (fault.turn, fault.code, fault.fatal) == (0, "heard_not_stored", False)
    assert conversation.host.log[-1] == ("commit", 1, "an answer", LINE)


def test_a_turn_that_was_not_stored_is_not_corrected(conversation: Any) -> None:
    conversation.host.error = OSError("disk full")

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.until(Fault, 0)
        conversation.host.error = None
        conversation.session.truncate(0, 100)
        conversation.session.typed("an answer")
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    (fault,) = conversation.all(Fault)
    assert (fault.turn, fault.code) == (0, "not_stored")
    assert conversation.host.log == [
        ("accept", 1, "an answer"),
        ("commit", 1, "an answer", LINE),
    ]


def test_a_turn_without_reply_leaves_the_reply_before_it_correctable(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        conversation.session.reconfigure(TurnPolicy(replies=False))
        conversation.session.typed("no reply to this")
        await conversation.until(TurnMetrics, 1)
        conversation.session.truncate(0, WORD_MS)
        await asyncio.sleep(1)

    conversation.run(story)
    assert corrections(conversation) == [(0, "Well,")]


def test_a_client_at_a_rate_of_its_own_hears_all_of_it(conversation: Any) -> None:
    """`heard_ms` is whole, the reply is not: the last word counts all the same."""
    conversation.synthesizers = [FakeSynthesizer(ms_per_word=201, rate_hz=24_000)]
    conversation.policy = SessionPolicy(out_rate_hz=24_000, speculate=False)

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        conversation.session.truncate(0, 100)
        conversation.session.truncate(0, 6 * 201)

    conversation.run(story)
    assert corrections(conversation) == [(0, LINE)]
