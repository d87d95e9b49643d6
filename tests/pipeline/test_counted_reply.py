"""What a reply takes of a language model is told with it, and a late figure with nobody's."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from pipeline.breaker import Breaker
from pipeline.counted_reply import CountedReply
from pipeline.errors import StageFailed
from pipeline.frames import ReplyDone, ReplyUsage, TextDelta, ToolCall
from pipeline.guard import Candidate, Guard
from pipeline.session import SessionPolicy
from pipeline.stage import Brief, ReplyRequest
from pipeline.token_usage import TokenUsage, estimated_tokens
from stages.fakes import FakeResponder

ASKED = TokenUsage(100, 0, estimated=True)
TOLD = TokenUsage(90, 7, cached=60)


class Counting:
    """Takes tokens for the words of each turn; with `broken` it fails before the first of them."""

    def __init__(self, provider: str = "counting", *, broken: bool = False) -> None:
        self.provider = provider
        self._broken = broken
        self.requests: list[ReplyRequest] = []

    async def reply(self, request: ReplyRequest) -> AsyncIterator[TextDelta | ToolCall]:
        self.requests.append(request)
        request.spend(ASKED)
        if self._broken:
            raise StageFailed("llm", self.provider, "connect", "refused")
        yield TextDelta(request.turn, "Well, ")
        yield TextDelta(request.turn, "thank you.")
        request.spend(TOLD)

    async def aclose(self) -> None:
        pass


def told(conversation: Any) -> list[TokenUsage]:
    """Of the first answer's reply, as the client gets it; each comes before the reply is over."""
    frames = [frame for _, frame in conversation.frames]
    mine = [frame for frame in frames if isinstance(frame, ReplyUsage) and frame.turn == 1]
    done = next(
        at for at, frame in enumerate(frames) if isinstance(frame, ReplyDone) and frame.turn == 1
    )
    assert all(frames.index(frame) < done for frame in mine)
    return [frame.tokens for frame in mine]


def answer(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak()
        await conversation.until(ReplyDone, 1)

    conversation.run(story)


@pytest.fixture(params=[False, True], ids=["decided", "ahead"])
def either(conversation: Any, request: Any) -> Any:
    """Once with replies prepared ahead of the decision, once without."""
    conversation.policy = SessionPolicy(speculate=request.param)
    return conversation


def test_what_a_reply_takes_is_told_as_it_becomes_known(either: Any) -> None:
    either.responders = [Counting()]
    answer(either)
    assert told(either) == [ASKED, TOLD]


def test_of_two_models_the_one_that_replied_counts(either: Any) -> None:
    either.responders = [Counting("broken", broken=True), Counting("good")]
    answer(either)
    assert told(either)[-1] == TOLD


def test_a_reply_without_a_model_takes_nothing(either: Any) -> None:
    either.responders = [FakeResponder(text="Thank you.")]
    answer(either)
    assert told(either) == []


def test_a_figure_that_comes_after_the_reply_is_told_to_nobody(either: Any) -> None:
    stage = Counting()
    either.responders = [stage]

    async def story() -> None:
        await either.until(ReplyDone, 0)
        await either.speak()
        await either.until(ReplyDone, 1)
        stage.requests[-1].spend(TokenUsage(999))
        await either.pause(100)

    either.run(story)
    assert told(either) == [ASKED, TOLD]


def test_what_is_taken_after_the_reply_is_not_told() -> None:
    stage, changes = FakeResponder(text="Hello."), []
    guard: Guard[Any] = Guard("llm", [Candidate("named", stage, Breaker())])
    counted = CountedReply(guard, ReplyRequest(1, "", Brief(())), lambda: changes.append(1))
    counted(stage)
    [request] = stage.requests
    request.spend(ASKED)
    assert (counted.by("named"), counted.by("another"), changes) == (ASKED, None, [1])
    counted.over()
    request.spend(TOLD)
    assert (counted.by("named"), changes) == (TOLD, [1])


def test_tokens_add_up_and_a_sum_with_an_estimate_is_one() -> None:
    assert TokenUsage(180, 14, cached=120) == TOLD + TOLD
    assert TokenUsage(190, 7, estimated=True, cached=60) == TOLD + ASKED
    assert TOLD.total == 97


@pytest.mark.parametrize(("characters", "tokens"), [(0, 0), (1, 1), (4, 1), (5, 2), (4000, 1000)])
def test_a_text_has_about_a_token_for_four_characters(characters: int, tokens: int) -> None:
    assert estimated_tokens(characters) == tokens
