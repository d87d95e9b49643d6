import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from pipeline.channel import Channel
from pipeline.frames import Sentence
from pipeline.reply_draft import LONGEST_REPLY, ReplyDraft
from pipeline.testing import run_virtual


def one(sentence: Sentence) -> int:
    return 1


def drafted(work: Callable[[ReplyDraft], Coroutine[Any, Any, None]]) -> list[str]:
    """What went to the voice while the draft was worked on."""
    sent: list[str] = []

    async def main() -> None:
        sentences: Channel[Sentence] = Channel("synthesis", bound=100, size=one)
        await work(ReplyDraft(3, sentences, "alloy"))
        while sentences.stats().depth:
            sentence = await sentences.receive()
            assert (sentence.turn, sentence.voice) == (3, "alloy")
            sent.append(sentence.text)
        await asyncio.sleep(0)

    run_virtual(main())
    return sent


def test_sentences_are_sent_as_they_are_complete() -> None:
    async def work(draft: ReplyDraft) -> None:
        await draft.push("One. Tw")
        assert draft.begun
        await draft.push("o")
        await draft.finish()

    assert drafted(work) == ["One.", "Two"]


def test_a_draft_can_begin_anew_before_its_first_sentence() -> None:
    async def work(draft: ReplyDraft) -> None:
        await draft.push("Not th")
        assert not draft.begun
        draft.restart()
        await draft.push("This.")
        await draft.finish()

    assert drafted(work) == ["This."]


def test_words_are_offered_where_there_are_some() -> None:
    async def work(draft: ReplyDraft) -> None:
        assert not draft.offer_words()
        await draft.push("Well, you se")
        assert draft.offer_words()

    assert drafted(work) == ["Well, you"]


def test_a_reply_has_an_end() -> None:
    async def work(draft: ReplyDraft) -> None:
        await draft.push("word " * LONGEST_REPLY)
        assert draft.full
        await draft.finish()

    assert len(" ".join(drafted(work))) == LONGEST_REPLY - 1


@pytest.mark.parametrize(
    ("said", "lacks"),
    [
        ("Thank you.", True),
        ("So why did you then choose Postgres, and why did you?", False),
        ("Why did you choose it?", False),
        ("Why not?", True),
    ],
)
def test_a_line_was_said_if_most_of_its_words_were(said: str, lacks: bool) -> None:
    async def work(draft: ReplyDraft) -> None:
        await draft.send(said)
        assert draft.lacks("Why did you choose Postgres?") is lacks

    assert drafted(work) == [said]


def test_signs_wait_for_the_first_word() -> None:
    async def work(draft: ReplyDraft) -> None:
        await draft.push('... "')
        assert not draft.begun
        await draft.push("Well. Then")
        await draft.finish()

    assert drafted(work) == ['... "Well.', "Then"]


def test_signs_without_a_word_are_not_sent_however_many_they_are() -> None:
    async def work(draft: ReplyDraft) -> None:
        for _ in range(LONGEST_REPLY):
            await draft.push("{}?! ")
        assert not draft.full
        assert not draft.offer_words()
        await draft.finish()
        assert not draft.begun

    assert drafted(work) == []


def test_a_draft_that_begins_anew_forgets_its_signs() -> None:
    async def work(draft: ReplyDraft) -> None:
        await draft.push("{}[]")
        draft.restart()
        await draft.push("This.")
        await draft.finish()

    assert drafted(work) == ["This."]
