"""A chat model that hangs, trickles or breaks off, with another responder behind it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from pipeline.errors import CallerError, StageFailed, StageTimeout
from pipeline.frames import Degraded, ReplyDone, ReplyText, TextDelta, ToolCall
from pipeline.ladder import DUE
from pipeline.reply_draft import LONGEST_REPLY
from pipeline.stage import Brief
from stages.fakes import FakeResponder, FakeTranscriber, Script

LINE = "Well, tell me more about that."
SPEECHLESS = "Sorry, I lost my thread for a moment. Please go on."
QUESTION = "Why did you choose Postgres?"

Step = float | str | Exception | ToolCall


class Plays(FakeResponder):
    """Plays its steps in every turn: texts, pauses in seconds, errors, calls."""

    def __init__(self, *steps: Step, provider: str = "remote") -> None:
        super().__init__(provider=provider)
        self._steps = steps

    async def reply(self, request: Any) -> AsyncIterator[Any]:
        self.requests.append(request)
        for step in self._steps:
            if isinstance(step, float):
                await asyncio.sleep(step)
            elif isinstance(step, Exception):
                raise step
            elif isinstance(step, str):
                yield TextDelta(request.turn, step)
            else:
                yield step


def drip(pieces: Sequence[str], gap_s: float) -> list[Step]:
    return [step for piece in pieces for step in (piece, gap_s)]


def talk(conversation: Any, turns: int = 2) -> None:
    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        for turn in range(1, turns):
            await conversation.speak()
            await conversation.until(ReplyDone, turn)

    conversation.run(story)


def heard(conversation: Any) -> list[str]:
    return [done.heard for done in conversation.all(ReplyDone)]


def told(conversation: Any) -> list[tuple[str, str, str]]:
    return [(d.source, d.target, d.reason) for d in conversation.all(Degraded)]


SENTENCE = "So you have built things that last, I hear, which is rare. Why?"


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        (["Thank", 3600.0], "stalled"),
        (drip("Thank you for that answer. Why?", 0.9), "took too long"),
        (drip(SENTENCE.split(" "), 0.9), "took too long"),
        (["Thank you for", StageFailed("llm", "remote", "stream")], "broke off"),
        (["Thank you", CallerError("llm", "remote", "stream", reason="was cut")], "was cut"),
    ],
    ids=["one token", "a letter a second", "a word a second", "breaks off", "is cut"],
)
def test_until_a_sentence_was_spoken_the_next_responder_answers(
    conversation: Any, steps: list[Step], reason: str
) -> None:
    conversation.responders = [Plays(*steps), FakeResponder()]
    talk(conversation)
    assert heard(conversation) == [LINE, LINE]
    assert told(conversation) == [("remote", "fake-llm", reason)] * 2
    assert [text.text for text in conversation.all(ReplyText)] == [LINE, LINE]


def test_a_trickle_opens_the_breaker_and_replies_come_at_once(conversation: Any) -> None:
    remote = Plays(*drip("Thank you for that.", 0.9))
    conversation.responders = [remote, FakeResponder()]
    talk(conversation, turns=7)
    assert len(remote.requests) == 5
    assert told(conversation)[-1] == ("remote", "fake-llm", "circuit open")


def test_a_trickle_that_nobody_can_replace_opens_the_breaker_too(conversation: Any) -> None:
    remote = Plays(*drip("Thankyouforthat" * 3, 0.9))
    conversation.responders = [remote]
    talk(conversation, turns=7)
    assert heard(conversation) == [SPEECHLESS] * 7
    assert len(remote.requests) == 5


def test_calls_of_a_reply_that_was_replaced_are_not_made(conversation: Any) -> None:
    call = ToolCall(0, "call_1", "end", "{}")
    conversation.responders = [Plays(call, "Bye", OSError("gone")), FakeResponder()]
    talk(conversation, turns=1)
    assert conversation.all(ToolCall) == []
    assert heard(conversation) == [LINE]


def test_who_failed_is_named_and_nobody_who_was_not_asked(conversation: Any) -> None:
    remote = Plays("This is a whole sentence. And", OSError("gone"))
    conversation.responders = [remote, FakeResponder(provider="never asked")]
    talk(conversation, turns=1)
    reason = "llm provider 'remote': broke off"
    assert told(conversation) == [("remote", "canned line", reason)]


def test_the_recogniser_that_failed_is_named(conversation: Any) -> None:
    gone = Script(error=OSError("gone"))
    conversation.transcribers = [FakeTranscriber(gone, provider="one"), FakeTranscriber(gone)]
    conversation.transcribers.append(FakeTranscriber(texts=("",), provider="deaf"))
    conversation.transcribers.append(FakeTranscriber(provider="never asked"))
    talk(conversation)
    assert [source for source, target, _ in told(conversation) if target == "canned line"] == [
        "deaf"
    ]


# --- the line that is due --------------------------------------------------------------------

LEAD = "Thank you for that answer, which was good. "


@pytest.fixture
def due(conversation: Any) -> Any:
    conversation.host.wishes = Brief((), due=QUESTION)
    return conversation


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([LEAD, "Before we", CallerError("llm", "remote", "stream", reason="cut")], "cut"),
        ([LEAD, OSError("gone")], "broke off"),
        ([LEAD, "Before", 3600.0], "stalled"),
        ([LEAD, *drip("Before we go on to the next", 0.9)], "stalled"),
    ],
    ids=["cut", "breaks off", "stalls", "trickles"],
)
def test_a_reply_that_breaks_off_is_followed_by_the_question(
    due: Any, steps: list[Step], reason: str
) -> None:
    due.responders = [Plays(*steps), FakeResponder()]
    talk(due, turns=1)
    assert heard(due) == [f"{LEAD}{QUESTION}"]
    assert told(due) == [("remote", DUE, reason)]
    assert due.host.log == [("commit", 0, "", f"{LEAD}{QUESTION}")]


def test_a_question_that_was_asked_before_the_end_is_not_asked_again(due: Any) -> None:
    asked = f"{LEAD}Why did you choose Postgres there? "
    due.responders = [Plays(asked, "I have", StageTimeout("llm", "remote", "stall"))]
    talk(due, turns=1)
    assert heard(due) == [asked.strip()]
    assert told(due) == []


def test_a_reply_that_is_complete_is_left_as_it_is(due: Any) -> None:
    due.responders = [Plays("We shall see.")]
    talk(due, turns=1)
    assert (heard(due), told(due)) == (["We shall see."], [])


LONG = ["And so on it went. "] * 500


def written(conversation: Any, due: str) -> str:
    """A reply as text, which takes no time: what of it was shown."""
    conversation.host.wishes = Brief((), due=due, spoken=False)
    talk(conversation, turns=1)
    return " ".join(text.text for text in conversation.all(ReplyText))


def test_a_reply_that_is_too_long_is_followed_by_the_question(conversation: Any) -> None:
    conversation.responders = [Plays(*LONG)]
    assert written(conversation, QUESTION) == "".join(LONG[: LONGEST_REPLY // 19]) + QUESTION
    assert told(conversation) == [("remote", DUE, "cut at the longest that a reply may be")]


def test_a_reply_that_asked_and_then_went_on_too_long_is_left_as_it_is(conversation: Any) -> None:
    conversation.responders = [Plays(f"{QUESTION} ", *LONG)]
    assert written(conversation, QUESTION).count(QUESTION) == 1
    assert told(conversation) == []


def test_a_reply_that_is_too_long_and_owes_nothing_is_cut(conversation: Any) -> None:
    conversation.responders = [Plays(*LONG)]
    assert written(conversation, "") == "".join(LONG)[:LONGEST_REPLY].strip()
    assert told(conversation) == []
