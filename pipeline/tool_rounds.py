"""The rounds of one reply that calls functions: what to run, what to tell the model, when to stop.

A round is a request to the model that ends in calls. The next request has their results, and so on
until the model answers in words alone. Every call gets a result: for a call that is not run it is a
sentence that says why, which models can use. Pure.

Functions that are not the session's own are the client's: the client gets these calls when the
reply is over, and asks for another reply itself.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.frames import ToolCall
from pipeline.stage import Message, ReplyRequest, Tool, ToolRequest

MOST_ROUNDS = 4
"""The number of rounds after which the model may call nothing more and is asked for words. Assumed
value."""

LIMIT_S = 10.0
"""How long a function may take by default. Assumed value."""

MOST_CALLS_A_ROUND = 8
"""The most calls of one round that are run. Assumed value."""

MOST_RESULT_CHARACTERS = 12_000
"""Characters of one result that the model gets at most, about 3,000 tokens."""

MOST_RESULTS_CHARACTERS = 24_000
"""The most characters of all results of one reply: half as many as a chat stage sends of a
conversation."""

LONGEST_CALL_ID = 64

MOST_HANDED = 32
"""Calls of the client's functions in one reply; further ones are dropped."""

HANDED_ON = "handed to the client; its result is not known yet"
CUT = " … (cut)"


@dataclass(frozen=True, slots=True)
class ToolRun:
    """A call that is to be run: `arguments` are an object."""

    request: ToolRequest
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolRound:
    """The `calls` of one round, in their order. The calls in `run` are run; `told` has the results
    that the model gets for the others, by their ids."""

    calls: tuple[ToolRequest, ...]
    run: tuple[ToolRun, ...]
    told: Mapping[str, str] = field(default_factory=dict)


class ToolRounds:
    """The rounds of one reply. `own` are the functions that are the session's, not the client's.

    If the client has a function of the same name, the client's is used.
    """

    def __init__(self, request: ReplyRequest, own: Sequence[Tool] = ()) -> None:
        theirs = {tool.name for tool in request.brief.tools}
        self._theirs = frozenset(theirs)
        self._own = {tool.name: tool for tool in own if tool.name not in theirs}
        self._rounds = 0
        self._room = MOST_RESULTS_CHARACTERS
        self._ids: set[str] = set()
        self.handed: list[ToolCall] = []
        """The calls of the client's functions so far."""
        self.request = request
        """The next request to the model."""
        if self._own:
            tools = (*request.brief.tools, *self._own.values())
            self.request = replace(request, brief=replace(request.brief, tools=tools))

    @property
    def rounds(self) -> int:
        """How many rounds have had their results."""
        return self._rounds

    def after(self, said: str, calls: Sequence[ToolCall]) -> ToolRound | None:
        """The round of the calls at the end of a request, before which the model `said` something.

        None if the reply is over: it called nothing, or only functions of the client's, or more
        than it may.
        """
        if self._own:  # further rounds may follow, with the same ids
            calls = [replace(call, call_id=self._unique(call.call_id)) for call in calls]
        theirs = [call for call in calls if self._is_theirs(call.name)]
        self.handed += theirs[: MOST_HANDED - len(self.handed)]
        if len(theirs) == len(calls) or self._rounds == MOST_ROUNDS:
            return None
        requests: list[ToolRequest] = []
        run: list[ToolRun] = []
        told: dict[str, str] = {}
        for call in calls:
            request, arguments = self._read(call)
            requests.append(request)
            if self._is_theirs(call.name):
                told[request.call_id] = HANDED_ON
            elif (why := self._refusal(request, arguments)) is not None:
                told[request.call_id] = problem(why)
            elif len(run) == MOST_CALLS_A_ROUND:
                told[request.call_id] = problem("too many calls at once; call it again if needed")
            else:
                run.append(ToolRun(request, arguments or {}))
        self._said = said
        return ToolRound(tuple(requests), tuple(run), told)

    def results(self, of: ToolRound, results: Mapping[str, str]) -> None:
        """Put the results of the calls that were `run`, by their ids, into the next `request`."""
        self._rounds += 1
        brief = self.request.brief
        lines = [*brief.history]
        words = " ".join(self.request.text.split())
        if words and (not lines or lines[-1] != Message("user", words)):
            lines.append(Message("user", words))
        lines.append(Message("assistant", self._said, of.calls))
        known = {**of.told, **results}
        lines += [
            Message("tool", self._cut(known[call.call_id]), call_id=call.call_id)
            for call in of.calls
        ]
        # A choice that forces a call would force another one after each result.
        choice = "none" if self._rounds == MOST_ROUNDS else "auto"
        brief = replace(brief, history=tuple(lines), tool_choice=choice)
        self.request = replace(self.request, text="", brief=brief)

    def _is_theirs(self, name: str) -> bool:
        return name in self._theirs or not self._own

    def _read(self, call: ToolCall) -> tuple[ToolRequest, dict[str, Any] | None]:
        """The call as the conversation keeps it, and its arguments; None for garbage, which some
        servers would refuse if it came back to them."""
        arguments = _object(call.arguments)
        kept = "{}" if arguments is None else call.arguments
        return ToolRequest(call.call_id, call.name, kept), arguments

    def _unique(self, call_id: str) -> str:
        """An id that no other call of this reply has: servers count from 0 in each round."""
        base = call_id[:LONGEST_CALL_ID]
        made, number = base, 1
        while made in self._ids:
            number += 1
            made = f"{base}_{number}"
        self._ids.add(made)
        return made

    def _refusal(self, request: ToolRequest, arguments: dict[str, Any] | None) -> str | None:
        """Why a call is not run; None if it is run."""
        tool = self._own.get(request.name)
        if tool is None:
            return f"there is no function {request.name[:64]!r}"
        if arguments is None:
            return "the arguments are no JSON object"
        required = tool.parameters.get("required")
        wanted = required if isinstance(required, list | tuple) else ()
        lacking = [str(name) for name in wanted if name not in arguments]
        return f"arguments are missing: {', '.join(lacking)}" if lacking else None

    def _cut(self, result: str) -> str:
        most = min(MOST_RESULT_CHARACTERS, self._room)
        kept = result if len(result) <= most else result[:most] + CUT
        self._room -= min(len(result), most)
        return kept


def problem(why: str) -> str:
    """The text that the model gets as the result of a call that has none."""
    return json.dumps({"error": why}, ensure_ascii=False)


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
