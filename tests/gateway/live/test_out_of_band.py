"""Replies beside the conversation: their pieces, their end, and how many there may be."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from gateway.live.out_of_band import LONGEST_CHARS, MOST_OUT_OF_BAND, OutOfBandReplies
from gateway.protocols.dialect import OutOfBand, ProtocolError
from gateway.protocols.request import AssistantRequest
from pipeline.breaker import Breaker
from pipeline.frames import TextDelta
from pipeline.guard import Candidate, Guard
from pipeline.stage import Message, ReplyRequest
from pipeline.testing import run_virtual
from pipeline.token_usage import TokenUsage
from stages.fakes import FakeResponder, Script

ASKED = AssistantRequest(lambda turn: (Message("user", "Hello"),), instructions="Be brief.")

Story = Callable[[OutOfBandReplies, list[OutOfBand]], Awaitable[None]]


def told(responder: FakeResponder, story: Story) -> list[OutOfBand]:
    """What came of a story, whose replies have ended or were stopped at its end."""
    seen: list[OutOfBand] = []

    async def main() -> None:
        guard = Guard("llm", [Candidate(responder.provider, responder, Breaker())])
        async with asyncio.TaskGroup() as group:
            await story(OutOfBandReplies(guard, group, seen.append), seen)

    run_virtual(main())
    return seen


def test_a_reply_comes_in_pieces_and_ends() -> None:
    responder = FakeResponder(text="Two words")

    async def story(replies: OutOfBandReplies, seen: list[OutOfBand]) -> None:
        replies.begin("a", ASKED)

    assert told(responder, story) == [
        OutOfBand("a", "Two "),
        OutOfBand("a", "words "),
        OutOfBand("a", done=True),
    ]
    [request] = responder.requests
    assert request.brief.history == (Message("system", "Be brief."), Message("user", "Hello"))


def test_a_reply_that_fails_says_why() -> None:
    async def story(replies: OutOfBandReplies, seen: list[OutOfBand]) -> None:
        replies.begin("a", ASKED)

    [piece] = told(FakeResponder(Script(error=OSError("gone")), text="Hello"), story)
    assert (piece.key, piece.done) == ("a", True)
    assert piece.failed


def test_no_more_than_some_are_under_way_and_one_can_be_stopped() -> None:
    async def story(replies: OutOfBandReplies, seen: list[OutOfBand]) -> None:
        for number in range(MOST_OUT_OF_BAND):
            replies.begin(f"{number}", ASKED)
        with pytest.raises(ProtocolError, match=f"{MOST_OUT_OF_BAND} responses"):
            replies.begin("more", ASKED)
        replies.stop("0")
        replies.stop("never was")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        replies.begin("more", ASKED)
        await asyncio.sleep(1)
        replies.stop_all()

    assert told(FakeResponder(Script(stall=True), text="Hello"), story) == []


def test_a_reply_without_end_is_cut() -> None:
    async def story(replies: OutOfBandReplies, seen: list[OutOfBand]) -> None:
        replies.begin("a", ASKED)

    seen = told(FakeResponder(text="x" * 999 + f" {'x' * 999}" * 99), story)
    assert sum(len(piece.text) for piece in seen) == LONGEST_CHARS
    assert seen[-1] == OutOfBand("a", done=True)


def test_what_a_reply_takes_of_the_model_is_told_with_it() -> None:
    class Counting(FakeResponder):
        def reply(self, request: ReplyRequest) -> AsyncIterator[TextDelta]:
            request.spend(TokenUsage(9, 2))
            return super().reply(request)

    async def story(replies: OutOfBandReplies, seen: list[OutOfBand]) -> None:
        replies.begin("a", ASKED)

    taken = TokenUsage(9, 2)
    assert told(Counting(text="Hello"), story) == [
        OutOfBand("a", "Hello ", tokens=taken),
        OutOfBand("a", done=True, tokens=taken),
    ]
