"""A request for a reply in the form of chat-completion servers. Pure."""

from collections.abc import Sequence
from typing import Any

from pipeline.stage import Brief, Message, ReplyRequest, Tool

MAX_HISTORY = 48_000
"""Characters of conversation sent along, about 12,000 tokens; the oldest lines go first."""

MAX_LINE = 16_000
"""Characters of one line of it: longer than any answer that was spoken."""

_CHOICES = ("auto", "none", "required")


def messages_of(request: ReplyRequest) -> list[dict[str, Any]]:
    """The conversation, what was just said, and what to do with it.

    A host may already count the person's words to the history: they are said once. The result of a
    call never comes without the message that called.
    """
    brief = request.brief
    lines = list(brief.history)
    said = " ".join(request.text.split())
    if said and (not lines or lines[-1] != Message("user", said)):
        lines.append(Message("user", said))
    system = lines[:1] if lines and lines[0].role == "system" else []
    kept = _newest(lines[len(system) :])
    if brief.instructions:
        kept.append(Message("system", brief.instructions))
    return [as_json(message) for message in (*system, *kept)]


def as_json(message: Message) -> dict[str, Any]:
    """One line of a conversation."""
    line: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.calls:
        line["content"] = message.content or None
        line["tool_calls"] = [
            {
                "id": call.call_id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.calls
        ]
    if message.call_id is not None:
        line["tool_call_id"] = message.call_id
    return line


def options_of(brief: Brief) -> dict[str, Any]:
    """Gives the fields of a request, besides its messages, that a brief sets."""
    options: dict[str, Any] = {}
    if brief.max_tokens is not None:
        options["max_tokens"] = brief.max_tokens
    if brief.tools:
        options["tools"] = [_tool(tool) for tool in brief.tools]
        choice = brief.tool_choice
        named = {"type": "function", "function": {"name": choice}}
        options["tool_choice"] = choice if choice in _CHOICES else named
    return options


def _tool(tool: Tool) -> dict[str, Any]:
    parameters = dict(tool.parameters)
    function = {"name": tool.name, "description": tool.description, "parameters": parameters}
    return {"type": "function", "function": function}


def _newest(lines: Sequence[Message]) -> list[Message]:
    """The last lines, as many as there is room for, each cut to `MAX_LINE`."""
    room = MAX_HISTORY
    kept: list[Message] = []
    for line in reversed(lines):
        content = line.content[:MAX_LINE]
        room -= len(content) + sum(len(call.arguments) for call in line.calls)
        if room < 0:
            break
        kept.append(Message(line.role, content, line.calls, line.call_id))
    while kept and kept[-1].role == "tool":
        kept.pop()
    kept.reverse()
    return kept
