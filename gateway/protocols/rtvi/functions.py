"""Functions that a client of RTVI runs: the events for each call, and the results it sends.
Pure."""

import json
from typing import Any

from gateway.protocols.dialect import AnswerToolCall
from gateway.protocols.rtvi.messages import ClientMessage, is_whole
from pipeline.frames import ToolCall

Event = tuple[str, dict[str, Any] | None]
"""A type and its data."""

LONGEST_CALL_ID = 256
"""In characters. The gateway's are shorter."""

_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class FunctionCalls:
    """The calls of one session that have not ended for its client."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[int, str]] = {}  # of one reply: bounded by `ToolRounds`

    def called(self, call: ToolCall, *, old: bool) -> list[Event]:
        """The client is to run a function. `old`: it speaks version 1."""
        self._open[call.call_id] = call.turn, call.name
        arguments = json.loads(call.arguments)  # the engine has read them: they are an object
        named = {"function_name": call.name}
        data = {**named, "tool_call_id": call.call_id}
        if old:
            return [("llm-function-call", {**data, "args": arguments})]
        return [
            ("llm-function-call-started", named),
            ("llm-function-call-in-progress", {**data, "arguments": arguments}),
        ]

    def answered(self, call_id: str) -> list[Event]:
        """The client has sent a result; nothing where the call has ended before."""
        if call_id not in self._open:
            return []
        return [_stopped(call_id, self._open.pop(call_id)[1], cancelled=False)]

    def ended(self, call_id: str) -> list[Event]:
        """The result is waited for no longer: it took too long, or the reply was cut off."""
        if call_id not in self._open:
            return []
        return [_stopped(call_id, self._open.pop(call_id)[1], cancelled=True)]

    def over(self, turn: int) -> list[Event]:
        """The reply of a turn is over: calls without a result are waited for no longer."""
        left = [(call_id, name) for call_id, (of, name) in self._open.items() if of <= turn]
        for call_id, _ in left:
            del self._open[call_id]
        return [_stopped(call_id, name, cancelled=True) for call_id, name in left]


def _stopped(call_id: str, name: str, *, cancelled: bool) -> Event:
    data = {"function_name": name, "tool_call_id": call_id, "cancelled": cancelled}
    return "llm-function-call-stopped", data


def result_in(message: ClientMessage) -> AnswerToolCall:
    """The result in an `llm-function-call-result`. Raises `ProtocolError`."""
    call_id = message.data.get("tool_call_id")
    if not isinstance(call_id, str) or len(call_id) > LONGEST_CALL_ID:
        raise message.refused("bad_message", "data.tool_call_id: the id of a call is needed")
    if "result" not in message.data:
        raise message.refused("bad_message", "data.result: any JSON is needed")
    result = message.data["result"]
    text = result if isinstance(result, str) else _JSON.encode(result)
    if not is_whole(text):  # a half of a surrogate pair, which no server would take
        text = json.dumps(result)
    return AnswerToolCall(call_id, text)
