"""What each client event asks for, and what is refused with which code, param and event."""

import base64
import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocols.client_events import (
    DEEPEST,
    LONGEST_DENSE_BYTES,
    LONGEST_EVENT_BYTES,
    MOST_COMMAS,
)
from gateway.protocols.dialect import (
    AudioMessage,
    ClearAudio,
    CommitTurn,
    InterruptReply,
    OutOfBand,
    ProtocolError,
    Respond,
    RespondOutOfBand,
    Send,
    StopOutOfBand,
)
from gateway.protocols.left_out import HEAD, LeftOut
from gateway.protocols.openai_realtime import conversation
from gateway.protocols.openai_realtime.events import PLAIN_APPENDS, AppendAudio, read
from pipeline.frames import AvatarState, ReplyDone, ReplyStarted, ReplyText
from pipeline.stage import Message, Tool
from pipeline.token_usage import TokenUsage
from tests.gateway.protocols.openai_realtime.stock_client import StockClient, error, kinds, only

MANUAL: dict[str, Any] = {"audio": {"input": {"turn_detection": None}}}


def base64_of(length: int) -> str:
    return base64.b64encode(bytes(length)).decode()


def weather(**fields: Any) -> dict[str, Any]:
    return {"type": "function", "name": "weather", "parameters": {"type": "object"}, **fields}


# --- what is refused -------------------------------------------------------------------------

SESSION: dict[str, Any] = {"type": "realtime"}
REFUSED: list[tuple[str, dict[str, Any], str, str | None]] = [
    ("session.upgrade", {}, "unknown_event", "type"),
    ("session.update", {}, "missing_required_parameter", "session"),
    ("session.update", {"session": {}}, "missing_required_parameter", "session.type"),
    ("session.update", {"session": {"type": "transcription"}}, "invalid_value", "session.type"),
    (
        "session.update",
        {"session": {**SESSION, "instructions": 5}},
        "invalid_value",
        "session.instructions",
    ),
    (
        "session.update",
        {"session": {**SESSION, "output_modalities": ["text", "audio"]}},
        "invalid_value",
        "session.output_modalities",
    ),
    (
        "session.update",
        {"session": {**SESSION, "audio": {"input": {"format": {"type": "audio/opus"}}}}},
        "invalid_value",
        "session.audio.input.format.type",
    ),
    (
        "session.update",
        {"session": {**SESSION, "audio": {"output": {"format": {"type": "audio/pcm", "rate": 8}}}}},
        "invalid_value",
        "session.audio.output.format",
    ),
    (
        "session.update",
        {
            "session": {
                **SESSION,
                "audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": 2}}},
            }
        },
        "invalid_value",
        "session.audio.input.turn_detection.threshold",
    ),
    (
        "session.update",
        {"session": {**SESSION, "tools": [weather(), {"type": "mcp", "server_label": "x"}]}},
        "invalid_value",
        "session.tools[1].type",
    ),
    (
        "session.update",
        {"session": {**SESSION, "tools": [weather(name="no spaces")]}},
        "invalid_value",
        "session.tools[0].name",
    ),
    (
        "session.update",
        {"session": {**SESSION, "tool_choice": {"type": "mcp", "server_label": "x"}}},
        "invalid_value",
        "session.tool_choice",
    ),
    (
        "session.update",
        {"session": {**SESSION, "max_output_tokens": 5000}},
        "invalid_value",
        "session.max_output_tokens",
    ),
    ("session.update", {"session": {**SESSION, "tracing": 1}}, "invalid_value", "session.tracing"),
    (
        "session.update",
        {"session": {**SESSION, "truncation": "some"}},
        "invalid_value",
        "session.truncation",
    ),
    (
        "session.update",
        {"session": {**SESSION, "audio": {"output": {"voice": 7}}}},
        "invalid_value",
        "session.audio.output.voice",
    ),
    ("input_audio_buffer.append", {}, "missing_required_parameter", "audio"),
    ("input_audio_buffer.append", {"audio": 5}, "invalid_value", "audio"),
    ("input_audio_buffer.append", {"audio": "no base64!"}, "invalid_value", "audio"),
    ("input_audio_buffer.append", {"audio": "é"}, "invalid_value", "audio"),
    ("input_audio_buffer.append", {"audio": base64_of(3)}, "invalid_value", "audio"),
    ("input_audio_buffer.append", {"audio": base64_of(48 * 60_020)}, "invalid_value", "audio"),
    ("input_audio_buffer.commit", {}, "input_audio_buffer_commit_empty", None),
    ("conversation.item.create", {}, "missing_required_parameter", "item"),
    ("conversation.item.create", {"item": {}}, "missing_required_parameter", "item.type"),
    ("conversation.item.create", {"item": {"type": "mcp_call"}}, "invalid_value", "item.type"),
    (
        "conversation.item.create",
        {"item": {"type": "message", "content": []}},
        "missing_required_parameter",
        "item.role",
    ),
    (
        "conversation.item.create",
        {"item": {"type": "message", "role": "critic", "content": []}},
        "invalid_value",
        "item.role",
    ),
    (
        "conversation.item.create",
        {"item": {"type": "message", "role": "user"}},
        "missing_required_parameter",
        "item.content",
    ),
    (
        "conversation.item.create",
        {"item": {"type": "message", "role": "user", "content": [{"type": "input_image"}]}},
        "invalid_value",
        "item.content[0].type",
    ),
    (
        "conversation.item.create",
        {
            "item": {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_audio", "audio": ""}],
            }
        },
        "missing_required_parameter",
        "item.content[0].transcript",
    ),
    (
        "conversation.item.create",
        {
            "item": {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "x" * 70_000}],
            }
        },
        "invalid_value",
        "item.content[0].text",
    ),
    (
        "conversation.item.create",
        {"item": {"type": "function_call_output", "call_id": "none", "output": ""}},
        "invalid_tool_call_id",
        "item.call_id",
    ),
    (
        "conversation.item.create",
        {"item": {"type": "function_call_output", "call_id": "none", "output": "x" * 70_000}},
        "invalid_value",
        "item.output",
    ),
    (
        "conversation.item.create",
        {"item": {"type": "function_call_output", "call_id": "none", "output": "x" * 5_000_000}},
        "event_too_long",
        None,
    ),
    (
        "conversation.item.create",
        {
            "previous_item_id": "none",
            "item": {"type": "message", "role": "user", "content": []},
        },
        "item_not_found",
        "previous_item_id",
    ),
    ("conversation.item.retrieve", {"item_id": "none"}, "item_not_found", "item_id"),
    ("conversation.item.delete", {"item_id": "none"}, "item_not_found", "item_id"),
    (
        "conversation.item.truncate",
        {"item_id": "none", "content_index": 0, "audio_end_ms": 0},
        "item_not_found",
        "item_id",
    ),
    (
        "conversation.item.truncate",
        {"item_id": "none"},
        "missing_required_parameter",
        "audio_end_ms",
    ),
    ("response.create", {"response": 5}, "invalid_value", "response"),
    (
        "response.create",
        {"response": {"metadata": {"k" * 65: "v"}}},
        "invalid_value",
        "response.metadata",
    ),
    (
        "response.create",
        {"response": {"input": [{"type": "item_reference", "id": "none"}]}},
        "item_not_found",
        "response.input[0].id",
    ),
    (
        "response.create",
        {
            "response": {
                "conversation": "none",
                "input": [{"type": "message", "role": "user"}],
            }
        },
        "missing_required_parameter",
        "response.input[0].content",
    ),
    ("response.cancel", {}, "response_cancel_not_active", None),
    ("response.cancel", {"response_id": "none"}, "response_cancel_not_active", "response_id"),
    ("output_audio_buffer.clear", {}, "invalid_event", "type"),
]


@pytest.mark.parametrize(("kind", "fields", "code", "param"), REFUSED)
def test_what_cannot_be_obeyed_is_refused_and_the_session_goes_on(
    kind: str, fields: dict[str, Any], code: str, param: str | None
) -> None:
    client = StockClient()
    client.taken()
    assert error(client.send(kind, **fields)) == (code, param, "client_1")
    assert client.taken() == []
    assert kinds(client.send("session.update", session=SESSION)) == ["session.updated"]


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\xff",
        b"[]",
        b"5",
        b'{"type":"response.create","response":{"metadata":{"k":"\\ud800"}}}',
        b'{"type":"session.update","x":1e999}',
        b'{"type":"session.update","x":NaN}',
        b'{"x":' * 200 + b"1" + b"}" * 200,
        b"[" * 100_000,
        b'{"x":' + b"9" * 10_000 + b"}",
    ],
)
def test_what_is_no_event_is_refused(message: bytes) -> None:
    client = StockClient()
    assert error(client.send_raw(message)) == ("invalid_json", None, None)


def test_an_event_without_a_type_is_refused_by_its_id() -> None:
    events = StockClient().send_raw(b'{"event_id":"mine"}')
    assert error(events) == ("missing_required_parameter", "type", "mine")


def test_an_event_id_that_is_none_is_not_echoed() -> None:
    for event_id in ("5", '"' + "x" * 600 + '"'):
        events = StockClient().send_raw(b'{"type":"x","event_id":' + event_id.encode() + b"}")
        assert error(events) == ("unknown_event", "type", None)


def append(audio_bytes: int, *, first: bool) -> bytes:
    """An append whose `event_id` comes before or after its audio."""
    audio = b'"audio":"' + b"A" * (audio_bytes * 4 // 3) + b'"'
    names = b'"event_id":"mine","type":"input_audio_buffer.append"'
    return b"{" + b",".join((names, audio) if first else (audio, names)) + b"}"


@pytest.mark.parametrize("first", [True, False])
def test_15_mib_of_audio_are_refused_by_their_length(first: bool) -> None:
    client = StockClient()
    client.taken()
    events = client.send_raw(append(15 * 1024 * 1024, first=first))
    assert error(events) == ("event_too_long", "audio", "mine")
    assert client.taken() == []


def test_what_is_too_long_is_refused_unread() -> None:
    events = StockClient().send_raw(b'{"event_id" : "mine", "x": {' * (LONGEST_EVENT_BYTES // 16))
    assert error(events) == ("event_too_long", None, "mine")


def test_the_id_of_an_event_that_is_too_long_is_left_out_where_it_is_not_found() -> None:
    for event_id in (b'"\\u0041"', b'"' + b"x" * 513 + b'"', b"5"):
        message = b'{"event_id":' + event_id + b',"audio":"' + b"A" * LONGEST_EVENT_BYTES
        assert error(StockClient().send_raw(message)) == ("event_too_long", None, None)


def test_many_small_values_are_refused_where_one_long_text_is_taken() -> None:
    begin = b'{"event_id":"mine","type":"input_audio_buffer.clear","x":'
    dense = begin + b"[" + b"0," * (LONGEST_DENSE_BYTES // 2) + b"0]}"
    assert error(StockClient().send_raw(dense)) == ("event_too_long", None, "mine")
    long = begin + b'"' + b"x" * len(dense) + b'"}'
    assert kinds(StockClient().send_raw(long)) == ["input_audio_buffer.cleared"]
    short = begin + b"[" + b"0," * (MOST_COMMAS + 1) + b"0]}"
    assert kinds(StockClient().send_raw(short)) == ["input_audio_buffer.cleared"]


def test_what_is_nested_as_deep_as_is_allowed_is_read() -> None:
    depth = DEEPEST - 3
    schema: Any = "x"
    for _ in range(depth - 3):
        schema = {"x": schema}
    tool = {"type": "function", "name": "f", "parameters": {"x": schema}}
    client = StockClient()
    assert kinds(client.send("session.update", session={**SESSION, "tools": [tool]})) == [
        "session.updated"
    ]


def test_an_error_that_the_gateway_found_is_told_in_the_apis_words() -> None:
    client = StockClient()
    (message,) = client.dialect.refuse(ProtocolError("internal", "the session failed", fatal=True))
    body = {"type": "server_error", "code": "internal", "message": "the session failed"}
    assert json.loads(message)["error"] == body


def test_an_answer_that_cannot_be_sent_is_an_error_by_the_event_that_it_answers() -> None:
    client = StockClient(rtp=True)

    def answer(**session: Any) -> str:
        event = {"type": "session.update", "session": {"type": "realtime", **session}}
        asked = json.dumps({**event, "event_id": "mine"}).encode()
        (send,) = [
            command for command in client.dialect.parse(asked, 0.0) if isinstance(command, Send)
        ]
        return str(send.message)

    def told(text: str) -> tuple[str, str | None, str | None]:
        return error(client.hear(LeftOut(text[:HEAD], len(text))))

    updated = answer(instructions="Be brief.")
    assert told(updated) == ("message_left_out", None, "mine")
    other = json.dumps({"type": "response.output_item.done", "event_id": "event_99"})
    assert told(other) == ("message_left_out", None, None)
    again = answer(tracing="auto")
    assert told(updated)[2] is None, "it answers an earlier event"
    assert told(again)[2] == "mine"
    client.send("session.update", session={"type": "realtime"}, event_id="another")
    assert told(again)[2] is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_no_json_raises_anything_but_a_protocol_error(value: Any) -> None:
    client = StockClient()
    client.taken()
    (event,) = client.send_raw(json.dumps(value).encode())
    assert event["type"] == "error"
    assert client.taken() == []


TYPES = sorted({kind for kind, *_ in REFUSED} | {"input_audio_buffer.clear"})
KEYS = st.sampled_from(
    [
        "session", "type", "audio", "input", "output", "format", "voice", "turn_detection", "tools",
        "item", "item_id", "previous_item_id", "content", "role", "text", "transcript", "id",
        "response", "response_id", "conversation", "metadata", "tool_choice", "audio_end_ms",
        "content_index", "output_modalities", "max_output_tokens", "instructions", "call_id",
    ]
)  # fmt: skip
WORDS = st.sampled_from(
    [
        "realtime", "message", "function_call", "function_call_output", "user", "assistant",
        "system", "input_text", "output_text", "input_audio", "root", "none", "auto", "inf",
        "server_vad", "semantic_vad", "audio/pcm", "audio/pcmu", "audio", "text", "", "mine",
    ]
)  # fmt: skip
VALUES = st.recursive(
    WORDS | st.none() | st.booleans() | st.integers(-1, 5000) | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
)
EVENTS = st.builds(
    lambda kind, fields: {**fields, "type": kind},
    st.sampled_from(TYPES),
    st.dictionaries(KEYS, VALUES, max_size=6),
)


@given(st.lists(EVENTS, max_size=6))
def test_no_sequence_of_events_raises_anything_but_a_protocol_error(
    events: list[dict[str, Any]],
) -> None:
    client = StockClient()
    for event in events:
        client.send_raw(json.dumps(event).encode())


# --- audio -----------------------------------------------------------------------------------


KIND = "input_audio_buffer.append"


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")], ids=["dense", "spaced"])
@pytest.mark.parametrize("names", [("type", "audio"), ("audio", "type")], ids=" ".join)
def test_audio_is_found_where_clients_write_it(
    names: tuple[str, str], separators: tuple[str, str]
) -> None:
    values = {"type": KIND, "audio": base64.b64encode(b"four").decode()}
    written = json.dumps({name: values[name] for name in names}, separators=separators)
    assert PLAIN_APPENDS.audio(written.encode()) == b"four"


@given(
    text=st.one_of(
        st.binary(max_size=12).map(lambda data: base64.b64encode(data).decode()),
        st.text('AQg=+/-_ \\"n,:', max_size=12),
    ),
    audio_first=st.booleans(),
    cut=st.integers(0, 8),
)
def test_what_is_read_quickly_is_what_is_read_whole(text: str, audio_first: bool, cut: int) -> None:
    kind = f'"type":"{KIND}"'
    audio = f'"audio":"{text}"'
    message = f"{{{audio},{kind}}}" if audio_first else f"{{{kind},{audio}}}"
    message = message[: len(message) - cut] if cut < 4 else message
    quick = PLAIN_APPENDS.audio(message.encode())
    if quick is not None:
        event, event_id = read(message)
        assert isinstance(event, AppendAudio)
        assert (event.audio, event_id) == (quick, None)


def test_a_long_message_is_read_whole() -> None:
    audio = base64_of(LONGEST_DENSE_BYTES)
    assert PLAIN_APPENDS.audio(f'{{"type":"{KIND}","audio":"{audio}"}}'.encode()) is None


def test_appended_audio_is_cut_into_pieces_that_the_session_takes() -> None:
    client = StockClient()
    client.taken()
    assert client.append(250) == []
    pieces = [command.data for command in client.taken() if isinstance(command, AudioMessage)]
    assert [len(piece) for piece in pieces] == [4800, 4800, 2400]


@pytest.mark.parametrize(("kind", "bytes_per_ms"), [("audio/pcm", 48), ("audio/pcmu", 8)])
def test_a_minute_of_audio_is_taken_in_one_event(kind: str, bytes_per_ms: int) -> None:
    client = StockClient(audio={"input": {"format": {"type": kind}}})
    client.taken()
    client.send("input_audio_buffer.append", audio=base64_of(bytes_per_ms * 60_000))
    assert len(client.taken()) == 600


def test_a_commit_needs_100_ms_since_the_last() -> None:
    client = StockClient(**MANUAL)
    client.taken()
    client.append(99)
    assert error(client.send("input_audio_buffer.commit"))[0] == "input_audio_buffer_commit_empty"
    client.append(1)
    assert client.send("input_audio_buffer.commit") == []
    assert client.taken()[-1] == CommitTurn()
    assert error(client.send("input_audio_buffer.commit"))[0] == "input_audio_buffer_commit_empty"


def test_a_cleared_buffer_is_empty() -> None:
    client = StockClient(**MANUAL)
    client.append(500)
    client.taken()
    assert kinds(client.send("input_audio_buffer.clear")) == ["input_audio_buffer.cleared"]
    assert client.taken() == [ClearAudio()]
    assert error(client.send("input_audio_buffer.commit"))[0] == "input_audio_buffer_commit_empty"


def test_over_webrtc_nothing_is_appended_and_commits_are_not_counted() -> None:
    client = StockClient(rtp=True, **MANUAL)
    client.taken()
    assert error(client.append(200))[:2] == ("invalid_event", "type")
    assert client.send("input_audio_buffer.commit") == []
    assert client.taken() == [CommitTurn()]


# --- items -----------------------------------------------------------------------------------


def test_items_are_added_where_the_client_says() -> None:
    client = StockClient()
    placed = [
        client.say("b", id="b"),
        client.say("c", id="c"),
        client.say("a", id="a", after="root"),
        client.say("d", id="d", after="b"),
    ]
    previous = [only(events, "conversation.item.added")["previous_item_id"] for events in placed]
    assert previous == [None, "b", None, "b"]
    client.send("response.create", response={"conversation": "none"})
    command = client.taken()[-1]
    assert isinstance(command, RespondOutOfBand)
    lines = [line.content for line in command.assistant.history(0)]
    assert lines == ["a", "b", "d", "c"]


def test_an_item_gets_an_id_if_the_client_gives_none() -> None:
    client = StockClient()
    item = only(client.say("Hello."), "conversation.item.done")["item"]
    assert item == {
        "id": "item_1",
        "object": "realtime.item",
        "type": "message",
        "status": "completed",
        "role": "user",
        "content": [{"type": "input_text", "text": "Hello."}],
    }
    taken = client.say("Hello.", id="item_1")
    assert error(taken)[:2] == ("invalid_value", "item.id")


def test_audio_with_a_transcript_is_an_item_without_its_audio() -> None:
    client = StockClient()
    content = [{"type": "input_audio", "audio": "AAAA", "transcript": "Hi."}]
    client.item(type="message", role="user", id="mine", content=content)
    found = client.send("conversation.item.retrieve", item_id="mine")
    content = only(found, "conversation.item.retrieved")["item"]["content"]
    assert content == [{"type": "input_audio", "transcript": "Hi."}]


def test_a_deleted_item_is_gone() -> None:
    client = StockClient()
    client.say("Hello.", id="mine")
    deleted = client.send("conversation.item.delete", item_id="mine")
    assert only(deleted, "conversation.item.deleted")["item_id"] == "mine"
    assert error(client.send("conversation.item.retrieve", item_id="mine"))[0] == "item_not_found"


def test_only_spoken_replies_can_be_truncated() -> None:
    client = StockClient()
    client.say("Hello.", id="mine")
    cut = {"content_index": 0, "audio_end_ms": 0}
    refused = client.send("conversation.item.truncate", item_id="mine", **cut)
    assert error(refused)[:2] == ("invalid_value", "item_id")
    client.hear(ReplyStarted(1), ReplyText(1, "Hello."))
    client.play_ms(1, 0, 100)
    reply = only(client.events, "response.output_item.added")["item"]["id"]
    other = client.send(
        "conversation.item.truncate", item_id=reply, content_index=1, audio_end_ms=0
    )
    assert error(other)[:2] == ("invalid_value", "content_index")
    for wrong in (-1, 121):
        beyond = client.send("conversation.item.truncate", item_id=reply, audio_end_ms=wrong)
        assert error(beyond)[:2] == ("invalid_value", "audio_end_ms")


def test_a_conversation_restored_by_the_client_keeps_calls_and_results_together() -> None:
    client = StockClient()
    client.item(type="function_call", id="f", call_id="c", name="weather", arguments="{}")
    client.say("Well?")
    client.item(type="function_call_output", call_id="c", output="rain")
    client.send("response.create", response={"conversation": "none"})
    command = client.taken()[-1]
    assert isinstance(command, RespondOutOfBand)
    roles = [line.role for line in command.assistant.history(0)]
    assert roles == ["assistant", "tool", "user"]


def test_a_conversation_that_is_full_refuses_the_clients_items(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conversation, "MOST_ITEMS", 2)
    client = StockClient()
    client.say("a", id="a")
    client.say("b", id="b")
    assert error(client.say("c"))[0] == "conversation_full"
    client.hear(ReplyStarted(1))  # the session's own make the oldest be forgotten
    assert error(client.send("conversation.item.delete", item_id="a"))[0] == "item_not_found"
    client.send("conversation.item.delete", item_id="b")
    assert kinds(client.say("c")) == ["conversation.item.added", "conversation.item.done"]


def test_the_clients_items_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "MOST_CLIENT_BYTES", 600)
    client = StockClient()
    client.say("a" * 100, id="a")
    assert error(client.say("b" * 100))[0] == "conversation_full"
    client.send("conversation.item.delete", item_id="a")
    assert kinds(client.say("b")) == ["conversation.item.added", "conversation.item.done"]


def test_a_typed_answer_of_an_interview_is_bounded() -> None:
    client = StockClient("interview")
    client.say("a" * 5000)
    assert error(client.say("b" * 5000))[:2] == ("invalid_value", "item.content")


# --- responses -------------------------------------------------------------------------------


def test_a_response_may_differ_from_the_session() -> None:
    client = StockClient(instructions="Be kind.", tools=[weather(description="W")])
    client.say("Hello?", id="mine")
    client.taken()
    client.send(
        "response.create",
        response={
            "instructions": "Be brief.",
            "tools": [],
            "tool_choice": "none",
            "output_modalities": ["text"],
            "max_output_tokens": 50,
            "audio": {"output": {"voice": {"id": "v1"}}},
            "input": [
                {"type": "item_reference", "id": "mine"},
                {
                    "type": "message",
                    "role": "system",
                    "content": [{"type": "input_text", "text": "Now."}],
                },
            ],
        },
    )
    (command,) = client.taken()
    assert isinstance(command, Respond)
    assistant = command.assistant
    assert assistant is not None
    assert assistant.history(9) == (Message("user", "Hello?"), Message("system", "Now."))
    assert assistant.instructions == "Be brief."
    assert (assistant.tools, assistant.tool_choice) == ((), "none")
    assert (assistant.max_tokens, assistant.voice, assistant.spoken) == (50, "v1", False)
    events = client.hear(AvatarState(1, "thinking"))
    response = only(events, "response.created")["response"]
    assert response["output_modalities"] == ["text"]
    assert response["max_output_tokens"] == 50
    assert response["audio"]["output"]["voice"] == "v1"


def test_a_response_inherits_what_it_does_not_say() -> None:
    client = StockClient(instructions="Be kind.", tools=[weather(description="W")])
    client.taken()
    client.send("response.create", response={"max_output_tokens": 50})
    (command,) = client.taken()
    assert isinstance(command, Respond)
    assert command.assistant is not None
    assert command.assistant.instructions == "Be kind."
    assert command.assistant.tools == (Tool("weather", "W", {"type": "object"}),)


def test_a_second_response_is_refused_while_one_is_active() -> None:
    client = StockClient()
    client.send("response.create")
    code = "conversation_already_has_active_response"
    assert error(client.send("response.create")) == (code, None, "client_2")
    client.hear(AvatarState(1, "thinking"))
    assert error(client.send("response.create")) == (code, None, "client_3")
    client.hear(ReplyStarted(1), ReplyDone(1, False, ""))
    assert client.send("response.create") == []


def test_a_response_beside_the_conversation_is_text_and_no_item() -> None:
    client = StockClient(instructions="Be kind.")
    client.say("Hello?")
    client.taken()
    events = client.send(
        "response.create",
        response={"conversation": "none", "instructions": "Classify.", "metadata": {"t": "1"}},
    )
    created = only(events, "response.created")["response"]
    assert (created["conversation_id"], created["metadata"]) == (None, {"t": "1"})
    (command,) = client.taken()
    assert isinstance(command, RespondOutOfBand)
    assert command.key == created["id"]
    assert command.assistant.instructions == "Classify."
    assert command.assistant.history(0) == (Message("user", "Hello?"),)
    assert not command.assistant.spoken
    events = client.hear(OutOfBand(command.key, "Gree"), OutOfBand(command.key, "ting", done=True))
    assert kinds(events) == [
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.done",
    ]
    (item,) = only(events, "response.done")["response"]["output"]
    assert item["content"] == [{"type": "output_text", "text": "Greeting"}]
    assert only(events, "response.done")["response"]["usage"]["total_tokens"] == 0
    assert error(client.send("conversation.item.retrieve", item_id=item["id"]))[0] == (
        "item_not_found"
    )


def test_a_response_beside_the_conversation_can_fail_or_be_cancelled() -> None:
    client = StockClient()
    client.send("response.create", response={"conversation": "none"})
    failed = client.hear(OutOfBand("resp_1", failed="the server is gone"))
    assert only(failed, "response.done")["response"]["status"] == "failed"
    client.send("response.create", response={"conversation": "none"})
    client.taken()
    cancelled = client.send("response.cancel", response_id="resp_2")
    assert only(cancelled, "response.done")["response"]["status"] == "cancelled"
    assert client.taken() == [StopOutOfBand("resp_2")]
    assert client.hear(OutOfBand("resp_2", "late", done=True)) == []
    usage = only(cancelled, "response.done")["response"]["usage"]
    assert usage["estimated"] is True
    client.send("response.create", response={"conversation": "none"})
    told = OutOfBand("resp_3", "Hello", done=True, tokens=TokenUsage(38, 9))
    usage = only(client.hear(told), "response.done")["response"]["usage"]
    assert (usage["total_tokens"], "estimated" in usage) == (47, False)


def test_only_so_many_responses_beside_the_conversation_run_at_once() -> None:
    client = StockClient()
    aside = {"conversation": "none"}
    for _ in range(8):
        client.send("response.create", response=aside)
    code = "conversation_already_has_active_response"
    assert error(client.send("response.create", response=aside))[0] == code
    client.hear(OutOfBand("resp_1", done=True))
    assert kinds(client.send("response.create", response=aside)) == ["response.created"]


def test_a_reply_is_cancelled_once_however_often_it_is_asked() -> None:
    client = StockClient()
    client.hear(ReplyStarted(1))
    client.taken()
    client.send("response.cancel")
    client.send("response.cancel")
    assert client.taken() == [InterruptReply(overtakes=True)]


# --- load ------------------------------------------------------------------------------------


def test_two_thousand_events_at_once_take_linear_time() -> None:
    few, many = _calls(500), _calls(2000)
    assert many < 4.1 * few


def _calls(count: int) -> int:
    """How many functions are called while so many items are created at once."""
    client = StockClient()
    content = [{"type": "input_text", "text": "Hello."}]
    item = {"type": "message", "role": "user", "content": content}
    event = json.dumps({"type": "conversation.item.create", "item": item}).encode()
    calls = 0

    def count_call(frame: Any, kind: str, argument: Any) -> None:
        nonlocal calls
        calls += 1

    before = sys.getprofile()
    sys.setprofile(count_call)
    try:
        for _ in range(count):
            client.dialect.parse(event, 0.0)
    finally:
        sys.setprofile(before)
    return calls
