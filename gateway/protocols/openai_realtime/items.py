"""The items of a conversation, as the client makes them and as the server sends them. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from gateway.protocols.openai_realtime.errors import MISSING, invalid
from gateway.protocols.openai_realtime.fields import ContentFields, ItemFields
from pipeline.stage import Message, ToolRequest

Role: TypeAlias = Literal["system", "user", "assistant"]
Status: TypeAlias = Literal["in_progress", "completed", "incomplete"]
PartType: TypeAlias = Literal["input_text", "input_audio", "output_text", "output_audio"]

LONGEST_TEXT_BYTES = 64 * 1024

_PARTS: dict[Role, tuple[PartType, ...]] = {
    "system": ("input_text",),
    "user": ("input_text", "input_audio"),
    "assistant": ("output_text", "output_audio"),
}
_AUDIO = ("input_audio", "output_audio")


class SentAudio:
    """The audio of one reply that was sent to the client, and where in the reply it lies.

    The two differ once a reply was paused: its audio is sent again from the last word on, and the
    client has played what it had before, because no server event makes it drop audio.
    """

    def __init__(self) -> None:
        self.sent_ms = 0.0
        self._stretches: list[tuple[float, float, float]] = []  # client, reply, furthest before

    def add(self, at_ms: float, duration_ms: float) -> None:
        """A frame of the reply that begins `at_ms` into it."""
        if not self._stretches or abs(self.end_ms - at_ms) > 5:
            furthest = self.in_reply(self.sent_ms) if self._stretches else 0.0
            self._stretches.append((self.sent_ms, at_ms, furthest))
        self.sent_ms += duration_ms

    @property
    def end_ms(self) -> float:
        """Where in the reply the last frame ends."""
        if not self._stretches:
            return 0.0
        client_ms, reply_ms, _ = self._stretches[-1]
        return reply_ms + self.sent_ms - client_ms

    def in_reply(self, played_ms: float) -> float:
        """How far into the reply a client has heard, from how much it has played."""
        for client_ms, reply_ms, furthest_ms in reversed(self._stretches):
            if client_ms <= played_ms:
                return max(furthest_ms, reply_ms + played_ms - client_ms)
        return 0.0


@dataclass(frozen=True, slots=True)
class ContentPart:
    """One piece of a message; the text of audio is its transcript, None while unknown."""

    type: PartType
    text: str | None

    def payload(self) -> dict[str, Any]:
        # The transcript of audio is sent even where it is null: stock clients need the key.
        return {"type": self.type, "transcript" if self.type in _AUDIO else "text": self.text}


@dataclass(slots=True, eq=False)
class RealtimeItem:
    """One item. `turn` is the engine's, None for an item of the client; `aside`: the reply was no
    part of the conversation, such as a canned line. `lead` is text before a reply that is no part
    of it: holding lines."""

    id: str
    type: Literal["message", "function_call", "function_call_output"]
    status: Status = "completed"
    role: Role | None = None
    parts: list[ContentPart] = field(default_factory=list)
    name: str = ""
    arguments: str = ""
    call_id: str = ""
    output: str = ""
    turn: int | None = None
    aside: bool = False
    lead: str = ""
    audio: SentAudio | None = None
    heard_ms: float | None = None  # of the reply; None: all of its audio
    limit_ms: float | None = None  # of the reply; the client says that it heard no more

    @property
    def text(self) -> str:
        return " ".join(part.text for part in self.parts if part.text)

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        texts = (self.text, self.name, self.arguments, self.call_id, self.output)
        return 256 + sum(len(text) for text in texts)

    @property
    def remembered(self) -> str:
        """The part of the text that belongs to the conversation."""
        text = self.text
        return text.removeprefix(self.lead).lstrip() if not self.lead.startswith(text) else ""

    def say(self, text: str) -> None:
        """Replace the text of the only part."""
        self.parts = [ContentPart(self.parts[0].type, text)] if self.parts else []

    def truncate(self, played_ms: float) -> int:
        """The client has played only this much; returns how far into the reply that is."""
        assert self.audio is not None
        heard_ms = self.audio.in_reply(played_ms)
        self.limit_ms = heard_ms if self.limit_ms is None else min(self.limit_ms, heard_ms)
        if self.status != "in_progress":
            self.settle()
        return int(heard_ms)

    def settle(self) -> None:
        """Drop the unheard part of a message whose text is complete.

        Words carry no times here: the text is cut in proportion, at the end of a word.
        """
        if self.audio is None or self.limit_ms is None:
            return
        whole_ms = self.audio.end_ms if self.heard_ms is None else self.heard_ms
        if self.limit_ms < whole_ms:
            share = self.limit_ms / whole_ms
            self.say(self.text[: int(len(self.text) * share)].rpartition(" ")[0])
            self.heard_ms = self.limit_ms

    def payload(self) -> dict[str, Any]:
        """The item as the client sees it: without audio, and without keys of other types."""
        item: dict[str, Any] = {
            "id": self.id,
            "object": "realtime.item",
            "type": self.type,
            "status": self.status,
        }
        match self.type:
            case "message":
                item["role"] = self.role
                item["content"] = [part.payload() for part in self.parts]
            case "function_call":
                item["call_id"] = self.call_id
                item["name"] = self.name
                item["arguments"] = self.arguments
            case _:
                item["call_id"] = self.call_id
                item["output"] = self.output
        return item


def made(fields: ItemFields, item_id: str, where: str = "item") -> RealtimeItem:
    """The item that the client describes. Raises `ProtocolError` for one that Parley cannot have;
    `where` is the path of its fields."""
    match fields.type:
        case "message":
            return RealtimeItem(
                item_id, "message", role=_role(fields, where), parts=_parts(fields, where)
            )
        case "function_call":
            return RealtimeItem(
                item_id,
                "function_call",
                name=_needed(fields.name, f"{where}.name"),
                arguments=_needed(fields.arguments, f"{where}.arguments"),
                call_id=fields.call_id or item_id,
            )
        case "function_call_output":
            return RealtimeItem(
                item_id,
                "function_call_output",
                call_id=_needed(fields.call_id, f"{where}.call_id"),
                output=_needed(fields.output, f"{where}.output"),
            )
    known = "message, function_call, function_call_output"
    raise invalid(
        f"Items of type {fields.type[:40]!r} are not supported: {known}.", f"{where}.type"
    )


def _needed(value: str | None, path: str) -> str:
    if value is None:
        raise invalid(f"Missing required parameter: '{path}'.", path, MISSING)
    return _short(value, path)


def _short(text: str, path: str) -> str:
    if len(text.encode()) > LONGEST_TEXT_BYTES:
        raise invalid(f"'{path}' has at most {LONGEST_TEXT_BYTES} bytes.", path)
    return text


def _role(fields: ItemFields, where: str) -> Role:
    role = _needed(fields.role, f"{where}.role")
    if role not in _PARTS:
        raise invalid(f"A role is one of {', '.join(_PARTS)}.", f"{where}.role")
    return role


def _parts(fields: ItemFields, where: str) -> list[ContentPart]:
    if fields.content is None:
        path = f"{where}.content"
        raise invalid(f"Missing required parameter: '{path}'.", path, MISSING)
    allowed = _PARTS[_role(fields, where)]
    return [
        _part(content, allowed, f"{where}.content[{index}]")
        for index, content in enumerate(fields.content)
    ]


def _part(content: ContentFields, allowed: tuple[PartType, ...], where: str) -> ContentPart:
    for kind in allowed:
        if kind == content.type:
            break
    else:
        text = f"Content of type {content.type[:40]!r} is not supported: {', '.join(allowed)}."
        raise invalid(text, f"{where}.type")
    if kind not in _AUDIO:
        return ContentPart(kind, _needed(content.text, f"{where}.text"))
    if content.transcript is None:
        text = "Audio in an item needs its transcript; append speech to the input buffer."
        raise invalid(text, f"{where}.transcript", MISSING)
    return ContentPart(kind, _short(content.transcript, f"{where}.transcript"))


def messages(items: Iterable[RealtimeItem]) -> tuple[Message, ...]:
    """The conversation for a chat server.

    Calls without a result and results without a call are left out, because such servers refuse
    them; results follow their calls, wherever the client put them.
    """
    known = list(items)
    results = {item.call_id: item for item in known if item.type == "function_call_output"}
    lines: list[Message] = []
    calls: list[ToolRequest] = []
    for item in known:
        if item.type == "function_call":
            if item.call_id in results:
                calls.append(ToolRequest(item.call_id, item.name, item.arguments))
        elif item.type == "message" and (text := item.remembered) and not item.aside:
            _settle(calls, results, lines)
            lines.append(Message(item.role or "user", text))
    _settle(calls, results, lines)
    return tuple(lines)


def _settle(
    calls: list[ToolRequest], results: dict[str, RealtimeItem], lines: list[Message]
) -> None:
    if not calls:
        return
    lines.append(Message("assistant", "", calls=tuple(calls)))
    lines.extend(
        Message("tool", results[call.call_id].output, call_id=call.call_id) for call in calls
    )
    calls.clear()
