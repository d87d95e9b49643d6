"""Rules for responders."""

from typing import Any

from pipeline.frames import TextDelta
from pipeline.stage import Brief, Message, ReplyRequest, Tool, ToolRequest
from stages.testing import _calls
from stages.testing._trial import Result, Rule, Trial

BRIEF = Brief(
    say=("Thank you.", "What did you build last?"),
    instructions="Thank the person, then ask what they built last. Two short sentences.",
    history=(
        Message("system", "You hold a job interview."),
        Message("assistant", "Hello. Who are you?"),
    ),
)

TOOLS = Brief(
    say=("Well.",),
    history=(
        Message("user", "Where is Ada?"),
        Message("assistant", "", calls=(ToolRequest("call_1", "find", '{"name":"Ada"}'),)),
        Message("tool", "In London.", call_id="call_1"),
    ),
    tools=(Tool("find", "Find a person.", {"type": "object", "properties": {}}),),
    max_tokens=50,
    voice="nobody",
    model="nothing",
)


def use(stage: Any, turn: int) -> Any:
    return stage.reply(ReplyRequest(turn, "My name is Ada.", BRIEF))


async def has_the_shape_of_a_responder(trial: Trial) -> None:
    """A responder has `provider`, `reply(request)` and `aclose()`."""
    _calls.shape_of_stage(trial, {"reply": 1})
    _calls.shape_of_stream(trial, trial.stage, "reply")


async def finds_words(trial: Trial) -> None:
    """A reply is a stream of `TextDelta`s of its turn, with something to say in them."""
    deltas = await trial.used(7)
    for delta in deltas:
        if not isinstance(delta, TextDelta):
            trial.saw(f"it gave a {type(delta).__name__}")
        elif type(delta.text) is not str:
            trial.saw(f"the text of a delta is {delta.text!r}")
        elif delta.turn != 7:
            trial.saw(f"turn 7 got something of turn {delta.turn}")
    if not any(str(getattr(delta, "text", "")).strip() for delta in deltas):
        trial.saw("there were no words in it")


async def takes_any_request(trial: Trial) -> None:
    """Whatever the conversation holds, a reply ends: with words, without, or with a StageError."""
    long = tuple(Message("user", f"{number} " + "word " * 200) for number in range(200))
    requests = {
        "the opening turn": ReplyRequest(1, "", BRIEF),
        "a brief with nothing in it": ReplyRequest(2, "Hello?", Brief(())),
        "nothing at all": ReplyRequest(3, "", Brief(())),
        "a long history": ReplyRequest(4, "Go on.", Brief(("Well.",), "Go on.", long)),
        "emoji and half of one": ReplyRequest(5, "👩‍💻 \ud83d", Brief(("👍 \ud83d",))),
        "control characters": ReplyRequest(6, "a\x00\x1b[31m\r\n", Brief(("a\x00b",))),
        "functions and their results": ReplyRequest(7, "", TOOLS),
        "the last turn": ReplyRequest(8, "Goodbye.", Brief(("Goodbye.",), closes=True)),
    }
    for what, request in requests.items():
        await _replied(trial, request, what)
    await trial.used(9)


async def _replied(trial: Trial, request: ReplyRequest, what: str) -> Result:
    return await trial.items(lambda: trial.stage.reply(request), what)


RULES: tuple[Rule, ...] = (
    has_the_shape_of_a_responder,
    finds_words,
    takes_any_request,
    _calls.keeps_calls_apart,
    _calls.may_be_left_early,
    _calls.may_be_cancelled_at_any_await,
    _calls.never_blocks_the_event_loop,
    _calls.says_whether_it_would_answer,
    _calls.ends_with_aclose,
)
