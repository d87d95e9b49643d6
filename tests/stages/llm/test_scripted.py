import pytest

from pipeline.errors import StageFailed
from pipeline.frames import TextDelta
from pipeline.sentences import SentenceSplitter
from pipeline.stage import Brief, ReplyRequest, Responder
from pipeline.testing import run_virtual
from stages.llm.scripted import ScriptedInterviewer


def reply(*say: str) -> list[TextDelta]:
    async def collect() -> list[TextDelta]:
        responder: Responder = ScriptedInterviewer()
        request = ReplyRequest(turn=7, text="hello", brief=Brief(say=say))
        deltas = [delta async for delta in responder.reply(request)]
        await responder.aclose()
        return deltas

    return run_virtual(collect())


def test_every_line_of_the_brief_is_one_delta_of_the_turn() -> None:
    assert reply("Thank you.", "Why is that?") == [
        TextDelta(7, "Thank you. "),
        TextDelta(7, "Why is that?"),
    ]


def test_a_line_is_a_sentence_before_the_next_line_comes() -> None:
    splitter = SentenceSplitter()
    assert [splitter.push(delta.text) for delta in reply("One.", "Two.")] == [["One."], []]
    assert splitter.finish() == ["Two."]


def test_space_round_lines_and_blank_lines_are_not_spoken() -> None:
    assert reply(" One. ", "", " ") == [TextDelta(7, "One.")]


@pytest.mark.parametrize("say", [(), ("", "  ")])
def test_a_brief_with_nothing_to_say_fails_as_empty(say: tuple[str, ...]) -> None:
    with pytest.raises(StageFailed) as caught:
        reply(*say)
    assert (caught.value.stage, caught.value.provider, caught.value.phase) == (
        "llm",
        "scripted",
        "empty",
    )
