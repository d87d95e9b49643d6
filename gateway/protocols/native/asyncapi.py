"""The AsyncAPI 3 document of the native dialect, made from the tables of its messages. Pure."""

from typing import Any, Literal

from pydantic import TypeAdapter

from gateway.protocols.native.messages import CLIENT_MESSAGES, VERSION
from gateway.protocols.native.server_messages import SERVER_MESSAGES

INPUT_AUDIO = "audio.in"
OUTPUT_AUDIO = "audio.out"
"""The keys of the binary messages, which have no type."""

_BINARY = {
    INPUT_AUDIO: "The microphone: whole samples, or one Opus packet; at most 100 ms",
    OUTPUT_AUDIO: "Reply audio: 20 ms, in Opus one packet",
}
_SCHEMAS = "#/components/schemas/"
_Mode = Literal["validation", "serialization"]


def document(*, title: str, version: str) -> dict[str, Any]:
    """The document, as JSON values; `version` is the server's."""
    schemas, definitions = _schemas()
    messages: dict[str, Any] = {
        **{
            name: _message(name, row.summary, schemas[name, "validation"], CLIENT_EXTRA)
            for name, row in CLIENT_MESSAGES.items()
        },
        **{
            str(name): _message(name, row.summary, schemas[name, "serialization"], SERVER_EXTRA)
            for name, row in SERVER_MESSAGES.items()
        },
        **{name: _audio(summary) for name, summary in _BINARY.items()},
    }
    received = [*CLIENT_MESSAGES, INPUT_AUDIO]
    sent = [*SERVER_MESSAGES, OUTPUT_AUDIO]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": title,
            "version": version,
            "description": f"Parley's own dialect, version {VERSION}, over a WebSocket or a data"
            " channel; docs/protocol.md describes it in words. Clients ignore fields and types that"
            " they do not know.",
            "license": {"name": "Apache 2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "session": {
                "address": "/ws/{session_id}",
                "description": "One connection is one session. Text messages are JSON objects,"
                " binary messages are audio.",
                "parameters": {
                    "session_id": {"description": "1 to 64 of A-Z a-z 0-9 _ -"},
                },
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
            }
        },
        "operations": {
            "receive": _operation("receive", "What a client may send", received),
            "send": _operation("send", "What a client is sent", sent),
        },
        "components": {"messages": messages, "schemas": definitions},
    }


CLIENT_EXTRA: dict[str, Any] = {}
SERVER_EXTRA: dict[str, Any] = {
    "seq": {"type": "integer", "minimum": 1, "description": "Counts the text messages from 1"}
}
"""The fields of every message, beside its type, by who sends it."""


def _schemas() -> tuple[dict[tuple[str, _Mode], Any], dict[str, Any]]:
    """The schema of each message's fields, and the definitions that they refer to."""
    validation: _Mode = "validation"
    serialization: _Mode = "serialization"
    made, definitions = TypeAdapter.json_schemas(
        [
            *((name, validation, TypeAdapter(row.fields)) for name, row in CLIENT_MESSAGES.items()),
            *(
                (name, serialization, TypeAdapter(row.fields))
                for name, row in SERVER_MESSAGES.items()
            ),
        ],
        by_alias=True,
        ref_template=_SCHEMAS + "{model}",
    )
    return {(str(name), mode): schema for (name, mode), schema in made.items()}, definitions[
        "$defs"
    ]


def _message(name: str, summary: str, schema: Any, extra: dict[str, Any]) -> dict[str, Any]:
    kind = {
        "type": "object",
        "properties": {"type": {"const": name}, **extra},
        "required": ["type", *extra],
    }
    return {
        "name": name,
        "summary": summary,
        "contentType": "application/json",
        "payload": {"allOf": [kind, schema]},
    }


def _audio(summary: str) -> dict[str, Any]:
    return {
        "summary": summary,
        "contentType": "application/octet-stream",
        "payload": {"type": "string", "format": "binary"},
    }


def _operation(
    action: Literal["send", "receive"], summary: str, messages: list[str]
) -> dict[str, Any]:
    """`action` is the server's."""
    return {
        "action": action,
        "summary": summary,
        "channel": {"$ref": "#/channels/session"},
        "messages": [{"$ref": f"#/channels/session/messages/{name}"} for name in messages],
    }
