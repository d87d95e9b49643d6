"""The rounds of a reply that calls functions: what is run, what the model is told, when it ends."""

import json

import pytest

from pipeline.frames import ToolCall
from pipeline.stage import Brief, Message, ReplyRequest, Tool, ToolRequest
from pipeline.tool_rounds import (
    CUT,
    HANDED_ON,
    MOST_CALLS_A_ROUND,
    MOST_HANDED,
    MOST_RESULT_CHARACTERS,
    MOST_RESULTS_CHARACTERS,
    MOST_ROUNDS,
    ToolRound,
    ToolRounds,
    ToolRun,
)

WEATHER = Tool("weather", "", {"type": "object", "required": ["city"]})
CLOCK = Tool("clock", "", {})
OPEN = Tool("open", "of the client", {})
ASKED = ReplyRequest(1, " How is  it? ", Brief((), history=(Message("system", "Be kind."),)))
WITH_CLIENTS = ReplyRequest(1, "Hi", Brief((), tools=(OPEN,), tool_choice="required"))


def call(name: str = "weather", arguments: str = '{"city":"Oslo"}', call_id: str = "c") -> ToolCall:
    return ToolCall(1, call_id, name, arguments)


def begun(rounds: ToolRounds, *calls: ToolCall, said: str = "") -> ToolRound:
    made = rounds.after(said, calls)
    assert made is not None
    return made


def told(rounds: ToolRounds) -> list[tuple[str, str]]:
    """What the model is told of the calls so far."""
    history = rounds.request.brief.history
    return [(str(m.call_id), m.content) for m in history if m.role == "tool"]


def errors(made: ToolRound) -> dict[str, str]:
    return {call_id: json.loads(text)["error"] for call_id, text in made.told.items()}


def test_without_functions_of_its_own_a_session_asks_as_before() -> None:
    rounds = ToolRounds(WITH_CLIENTS)
    assert rounds.request is WITH_CLIENTS
    calls = [call("open"), call("unknown")]
    assert rounds.after("", calls) is None
    assert rounds.handed == calls
    assert rounds.rounds == 0


def test_words_alone_are_the_reply() -> None:
    rounds = ToolRounds(ASKED, (WEATHER,))
    assert rounds.request.brief.tools == (WEATHER,)
    assert rounds.after("Fine.", []) is None
    assert rounds.handed == []


def test_a_result_is_told_with_the_call_behind_the_persons_words() -> None:
    rounds = ToolRounds(ASKED, (WEATHER,))
    made = begun(rounds, call(), said="Let me look.")
    request = ToolRequest("c", "weather", '{"city":"Oslo"}')
    assert made == ToolRound((request,), (ToolRun(request, {"city": "Oslo"}),))
    rounds.results(made, {"c": "rain"})
    assert rounds.request.text == ""
    assert rounds.request.brief.history == (
        Message("system", "Be kind."),
        Message("user", "How is it?"),
        Message("assistant", "Let me look.", (request,)),
        Message("tool", "rain", call_id="c"),
    )
    assert rounds.after("It rains.", []) is None


def test_words_that_the_history_has_are_not_told_twice() -> None:
    history = (Message("user", "How is it?"),)
    rounds = ToolRounds(ReplyRequest(1, "How is it?", Brief((), history=history)), (CLOCK,))
    for number in (1, 2):
        rounds.results(begun(rounds, call("clock", "{}")), {"c": "1", "c_2": "2"})
        roles = [message.role for message in rounds.request.brief.history]
        assert roles == ["user", *["assistant", "tool"] * number]


def test_a_turn_without_words_tells_none() -> None:
    rounds = ToolRounds(ReplyRequest(0, "", Brief(())), (CLOCK,))
    rounds.results(begun(rounds, call("clock", "{}")), {"c": "1"})
    assert [message.role for message in rounds.request.brief.history] == ["assistant", "tool"]


def test_the_last_round_has_to_end_in_words() -> None:
    rounds = ToolRounds(ASKED, (CLOCK,))
    for number in range(MOST_ROUNDS):
        assert rounds.rounds == number
        assert rounds.request.brief.tool_choice == "auto"
        made = begun(rounds, call("clock", "{}"))
        rounds.results(made, {run.request.call_id: "1" for run in made.run})
    assert rounds.request.brief.tool_choice == "none"
    assert rounds.after("", [call("clock", "{}")]) is None
    ids = [call_id for call_id, _ in told(rounds)]
    assert ids == ["c", "c_2", "c_3", "c_4"]


def test_a_forced_call_is_forced_once() -> None:
    rounds = ToolRounds(WITH_CLIENTS, (CLOCK,))
    assert rounds.request.brief.tool_choice == "required"
    rounds.results(begun(rounds, call("clock", "{}")), {"c": "1"})
    assert rounds.request.brief.tool_choice == "auto"


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (call("wether"), "there is no function 'wether'"),
        (call(arguments="{"), "the arguments are no JSON object"),
        (call(arguments="[]"), "the arguments are no JSON object"),
        (call(arguments='{"city":NaN}'), "the arguments are no JSON object"),
        (call(arguments="[" * 100_000), "the arguments are no JSON object"),
        (call(arguments="{}"), "arguments are missing: city"),
    ],
    ids=["unknown", "broken", "list", "nan", "deep", "missing"],
)
def test_garbage_is_not_run_and_the_model_is_told_why(wrong: ToolCall, why: str) -> None:
    rounds = ToolRounds(ASKED, (WEATHER,))
    made = begun(rounds, wrong)
    assert made.run == ()
    assert errors(made) == {"c": why}
    # What comes back to the server is JSON, whatever it was.
    assert all(isinstance(json.loads(request.arguments), dict) for request in made.calls)
    rounds.results(made, {})
    assert [json.loads(text) for _, text in told(rounds)] == [{"error": why}]


def test_a_schema_whose_required_fields_are_garbage_requires_nothing() -> None:
    rounds = ToolRounds(ASKED, (Tool("weather", "", {"required": "city"}),))
    assert len(begun(rounds, call(arguments="{}")).run) == 1


def test_more_calls_than_a_round_may_have_are_not_run() -> None:
    rounds = ToolRounds(ASKED, (CLOCK,))
    made = begun(rounds, *[call("clock", "{}", f"c{n}") for n in range(MOST_CALLS_A_ROUND + 1)])
    assert len(made.run) == MOST_CALLS_A_ROUND
    assert list(made.told) == [f"c{MOST_CALLS_A_ROUND}"]


def test_the_clients_calls_wait_for_the_end_and_the_model_knows() -> None:
    rounds = ToolRounds(WITH_CLIENTS, (CLOCK, Tool("open", "shadowed", {})))
    assert [tool.description for tool in rounds.request.brief.tools] == ["of the client", ""]
    theirs = call("open", "garbage", "a")
    made = begun(rounds, theirs, call("clock", "{}", "b"))
    assert [run.request.call_id for run in made.run] == ["b"]
    rounds.results(made, {"b": "noon"})
    assert told(rounds) == [("a", HANDED_ON), ("b", "noon")]
    assert rounds.after("", [call("open", "{}", "d")]) is None
    assert rounds.handed == [theirs, call("open", "{}", "d")]


def test_a_call_of_the_clients_has_an_id_of_its_own_in_every_round() -> None:
    rounds = ToolRounds(WITH_CLIENTS, (CLOCK,))
    for _ in range(2):  # some servers count from 0 in each round
        made = begun(rounds, call("open", "{}", "call_0"), call("clock", "{}", "call_1"))
        rounds.results(made, {made.run[0].request.call_id: "noon"})
    assert rounds.after("", [call("open", "{}", "call_0")]) is None
    ids = [each.call_id for each in rounds.handed]
    assert ids == ["call_0", "call_0_2", "call_0_3"]
    assert told(rounds) == [
        ("call_0", HANDED_ON),
        ("call_1", "noon"),
        ("call_0_2", HANDED_ON),
        ("call_1_2", "noon"),
    ]


def test_no_more_than_so_many_calls_are_handed_over() -> None:
    rounds = ToolRounds(WITH_CLIENTS)
    assert rounds.after("", [call("open")] * (MOST_HANDED + 3)) is None
    assert len(rounds.handed) == MOST_HANDED


def test_long_results_are_cut_each_and_together() -> None:
    rounds = ToolRounds(ASKED, (CLOCK,))
    made = begun(rounds, *[call("clock", "{}", f"c{number}") for number in range(4)])
    long = "x" * (MOST_RESULT_CHARACTERS + 1)
    rounds.results(made, {"c0": long, "c1": "short", "c2": long, "c3": "later"})
    left = MOST_RESULTS_CHARACTERS - MOST_RESULT_CHARACTERS - len("short")
    assert [text for _, text in told(rounds)] == [
        "x" * MOST_RESULT_CHARACTERS + CUT,
        "short",
        "x" * left + CUT,
        CUT,
    ]


def test_an_endless_id_is_cut() -> None:
    rounds = ToolRounds(ASKED, (CLOCK,))
    made = begun(rounds, call("clock", "{}", "i" * 999), call("clock", "{}", "i" * 998))
    assert [request.call_id for request in made.calls] == ["i" * 64, "i" * 64 + "_2"]
