"""What each client event of the Live API asks for, and what is refused with which code."""

import base64
import json
from typing import Any

import pytest

from gateway.media.format import AudioFormat
from gateway.protocols.client_events import DEEPEST, LONGEST_DENSE_BYTES, LONGEST_EVENT_BYTES
from gateway.protocols.dialect import (
    AudioMessage,
    InterruptReply,
    Leave,
    ProtocolError,
    Reconfigure,
    Respond,
    Start,
    TypedText,
)
from gateway.protocols.openai_live import LiveOpening, start_of
from gateway.protocols.openai_live.errors import error_of
from gateway.protocols.openai_live.fields import LONGEST_INSTRUCTIONS, LONGEST_TEXT_BYTES
from gateway.protocols.openai_live.history import MOST_CLIENT_BYTES, MOST_LINES, LiveHistory
from gateway.protocols.openai_live.requests import LONGEST_APPEND_MS, LONGEST_TYPED_BYTES
from gateway.protocols.request import AssistantRequest, InterviewRequest, SessionRequest
from pipeline.frames import Fault, ToolCall, Transcript
from pipeline.stage import Message, Tool, ToolRequest
from tests.gateway.protocols.openai_live.live_client import LiveClient, error, of


def asked(client: LiveClient) -> SessionRequest:
    [start] = client.taken()
    assert isinstance(start, Start)
    return start.request


def assistant(client: LiveClient) -> AssistantRequest:
    request = asked(client).assistant
    assert request is not None
    return request


# --- the session -----------------------------------------------------------------------------


def test_a_session_starts_with_the_defaults() -> None:
    client = LiveClient("gpt-live-1").start()
    request = asked(client)
    assert request.audio_in == request.audio_out == AudioFormat("pcm_s16le", 24_000, 1)
    assert (request.avatar, request.interview, request.language) == ("off", None, None)
    assert request.lead_ms == 100
    assert request.assistant is not None
    assert (request.assistant.model, request.assistant.voice) == ("gpt-live-1", None)
    [started] = client.started
    assert started["client_event_id"] == "c-session.start"
    assert started["session"] == {
        "id": "s-1",
        "expires_at": 1_800_000_000,
        "model": "gpt-live-1",
        "status": "active",
        "audio": {"format": {"type": "audio/pcm", "rate": 24_000}, "output": {"voice": "default"}},
        "delegation": {"type": "client"},
        "store": False,
        "triggers": [],
    }


def test_a_session_starts_as_its_client_wants_it() -> None:
    tool = {"type": "function", "name": "f", "parameters": {"type": "object"}}
    client = LiveClient(
        "gpt-live-1",
        LiveOpening(language="de"),
        audio={"format": {"type": "audio/pcmu", "rate": 8000}, "output": {"voice": {"id": "anna"}}},
        instructions="Be brief.",
        input=[{"role": "developer", "content": [{"text": "A"}]}],
        delegation={
            "type": "responses",
            "responses": {
                "model": "gpt-5",
                "instructions": "Use the tool.",
                "max_output_tokens": 50.0,
                "tools": [tool],
                "tool_choice": {"type": "function", "name": "f"},
            },
        },
        store=True,
        safety_identifier="x",
    ).start()
    request = asked(client)
    assert request.audio_in == request.audio_out == AudioFormat("mulaw", 8_000, 1)
    assert request.language == "de"
    made = request.assistant
    assert made is not None
    assert made.instructions == "Be brief.\n\nUse the tool."
    assert (made.model, made.voice, made.max_tokens, made.tool_choice) == ("gpt-5", "anna", 50, "f")
    assert made.tools == (Tool("f", "", {"type": "object"}),)
    assert made.history(0) == (Message("system", "A"),)
    session = client.started[0]["session"]
    assert session["store"] is False
    backend = session["delegation"]["responses"]
    assert backend["tool_choice"] == {"type": "function", "name": "f"}


def test_an_interview_keeps_its_own_voice_and_instructions() -> None:
    opening = LiveOpening.of({"role": "Data Analyst", "language": "de-DE", "other": "x"})
    output = {"output": {"voice": "anna"}}
    client = LiveClient("interview", opening, instructions="Sing.", audio=output).start()
    request = asked(client)
    assert (request.assistant, request.language) == (None, "de")
    assert request.interview == InterviewRequest("Data Analyst")
    assert client.started[0]["session"]["audio"]["output"] == {"voice": "default"}
    assert "instructions" not in client.started[0]["session"]


def test_only_what_an_update_names_changes() -> None:
    backend = {"model": "a", "instructions": "One."}
    delegation = {"type": "responses", "acknowledgement_delay_ms": 5, "responses": backend}
    client = LiveClient(delegation=delegation).start()
    client.taken()
    change = {"type": "responses", "responses": {"model": "b"}}
    [updated] = client.send("session.update", session={"delegation": change})
    assert updated["session"]["delegation"] == {
        **delegation,
        "responses": {"model": "b", "instructions": "One."},
    }
    [command] = client.taken()
    assert isinstance(command, Reconfigure)
    assert command.request.assistant is not None
    assert command.request.assistant.model == "b"
    same = {"delegation": {"type": "responses"}, "triggers": []}
    assert of(client.send("session.update", session=same), "session.updated")
    assert client.taken() == []
    other = {"delegation": {"type": "client"}}
    refused = error(client.send("session.update", session=other))
    assert refused == ("cannot_update", "session.delegation.type")


def test_close_ends_the_session() -> None:
    client = LiveClient().start()
    client.taken()
    assert client.send("session.close") == []
    assert client.taken() == [Leave()]


# --- audio -----------------------------------------------------------------------------------


def test_audio_is_appended_in_pieces_that_the_engine_takes() -> None:
    client = LiveClient().start()
    client.taken()
    audio = bytes(range(250)) * 48  # 250 ms
    assert client.append(audio) == []
    pieces = [command.data for command in client.taken() if isinstance(command, AudioMessage)]
    assert [len(piece) for piece in pieces] == [4800, 4800, 2400]
    assert b"".join(pieces) == audio
    assert client.append(b"") == []
    assert client.taken() == []


@pytest.mark.parametrize(
    ("kind", "rate", "silent"),
    [("audio/pcm", 16_000, b"\0"), ("audio/pcmu", 8_000, b"\xff"), ("audio/pcma", 8_000, b"\xd5")],
    ids=["pcm", "mulaw", "alaw"],
)
def test_while_muted_audio_is_silence(kind: str, rate: int, silent: bytes) -> None:
    client = LiveClient(audio={"format": {"type": kind, "rate": rate}}).start()
    client.taken()
    [muted] = client.send("session.input_audio.mute")
    assert (muted["type"], muted["client_event_id"]) == (
        "session.input_audio.muted",
        "c-session.input_audio.mute",
    )
    client.append(b"\x12\x34" * 50)
    assert client.taken() == [AudioMessage(silent * 100)]
    [unmuted] = client.send("session.input_audio.unmute")
    assert unmuted["type"] == "session.input_audio.unmuted"
    client.append(b"\x12\x34")
    assert client.taken() == [AudioMessage(b"\x12\x34")]


# --- typed turns -----------------------------------------------------------------------------


def test_an_answer_in_an_interview_is_typed() -> None:
    client = LiveClient("interview").start()
    client.taken()
    assert client.put("I like") == []
    assert client.put("  ") == []
    assert client.send("response.item.create", item={"role": "user", "content": "tests"}) == []
    assert client.send("response.create") == []
    assert client.taken() == [TypedText("I like\ntests")]
    assert error(client.send("response.create")) == ("nothing_to_answer", None)
    assert error(client.put("x", "assistant")) == ("invalid_value", "item.role")
    assert error(client.put("x" * (LONGEST_TYPED_BYTES + 1))) == ("invalid_value", "item.content")
    refused = client.send("session.instructions.append", content="x", delegation_id=None)
    assert error(refused) == ("unsupported_event", "type")


def test_a_line_for_an_assistant_stops_its_reply() -> None:
    client = LiveClient().start()
    history = assistant(client).history
    client.put("Hello")
    client.put("Be kind.", "developer")
    client.put("Hm.", "assistant")
    assert client.taken() == []
    client.send("response.create")
    assert client.taken() == [InterruptReply(), Respond()]
    assert history(0) == (
        Message("user", "Hello"),
        Message("system", "Be kind."),
        Message("assistant", "Hm."),
    )


def test_the_result_of_a_function_waits_for_the_reply_that_called_it() -> None:
    client = LiveClient().start()
    history = assistant(client).history
    client.hear(Transcript(1, "Look it up", True))
    events = client.hear(ToolCall(1, "c1", "f", "{}"), ToolCall(1, "c2", "g", "{}"))
    [created] = of(events, "session.delegation.created")
    assert (created["delegation"]["target"], created["offset_ms"]) == ("responses", 1000)
    called = of(events, "response.event")
    assert {event["delegation_id"] for event in called} == {created["delegation"]["id"]}
    assert [event["event"]["item"]["call_id"] for event in called] == ["c1", "c2"]
    result = {"type": "function_call_output", "call_id": "c1", "output": "42"}
    assert client.send("response.item.create", item=result) == []
    client.send("response.create")
    assert client.taken() == [Respond(waits=True)]
    assert history(2) == (
        Message("user", "Look it up"),
        Message("assistant", "", calls=(ToolRequest("c1", "f", "{}"),)),
        Message("tool", "42", call_id="c1"),
    )
    unknown = client.send("response.item.create", item={**result, "call_id": "c9"})
    assert error(unknown) == ("invalid_tool_call_id", "item.call_id")
    long = client.send("response.item.create", item={**result, "output": "x" * 70_000})
    assert error(long) == ("invalid_value", "item.output")
    longer = client.send("response.item.create", item={**result, "output": "x" * 5_000_000})
    assert error(longer) == ("event_too_long", None)
    assert of(client.hear(ToolCall(2, "c3", "f", "{}")), "session.delegation.created")


def test_context_is_put_into_the_conversation() -> None:
    client = LiveClient().start()
    history = assistant(client).history
    for kind in ("instructions", "thinking", "commentary"):
        assert client.taken() == []
        [told] = client.send(f"session.{kind}.append", content=kind, delegation_id=None)
        assert told["type"] == f"session.{kind}.appended"
        assert (told["start_ms"], told["end_ms"]) == (1000, 1000)
    assert client.taken() == [Respond(waits=True)]
    assert [line.content for line in history(0)] == ["instructions", "thinking", "commentary"]
    own = client.send("session.thinking.append", content="x", delegation_id="d")
    assert error(own) == ("invalid_value", "delegation_id")


REFUSALS = {
    "reply_under_way": "conversation_already_has_active_response",
    "person_speaks": "response_create_while_person_speaks",
    "too_many_turns": "too_many_turns",
}


@pytest.mark.parametrize("code", REFUSALS)
def test_a_reply_that_is_not_made_names_what_asked_for_it(code: str) -> None:
    client = LiveClient().start()
    client.send("response.create", event_id="mine")
    [event] = client.hear(Fault(1, code, "no"))
    assert event["error"]["code"] == REFUSALS[code]
    assert event["client_event_id"] == event["error"]["client_event_id"] == "mine"
    [event] = client.hear(Fault(1, code, "no"))
    assert "client_event_id" not in event


# --- bad input -------------------------------------------------------------------------------

WRONG: dict[str, tuple[Any, str, str | None]] = {
    "no-json": (b"{", "invalid_json", None),
    "no-object": (b"[]", "invalid_json", None),
    "not-utf8": (b"\xff", "invalid_json", None),
    "infinity": (b'{"type":1e999}', "invalid_json", None),
    "constant": (b'{"type":NaN}', "invalid_json", None),
    "half-a-pair": (b'{"type":"\\ud800"}', "invalid_json", None),
    "deep": (b'{"a":' * DEEPEST + b"1" + b"}" * DEEPEST, "invalid_json", None),
    "very-deep": (b"[" * 100_000, "invalid_json", None),
    "no-type": ({}, "missing_required_parameter", "type"),
    "odd-type": ({"type": 1}, "missing_required_parameter", "type"),
    "unknown": ({"type": "dance"}, "unknown_event", "type"),
    "realtime": ({"type": "input_audio_buffer.append"}, "unknown_event", "type"),
    "fixture": ({"type": "session.output_audio.fixture.play"}, "unsupported_event", "type"),
    "decision": ({"type": "decision.create"}, "unsupported_event", "type"),
    "no-audio": ({"type": "session.input_audio.append"}, "missing_required_parameter", "audio"),
    "odd-audio": ({"type": "session.input_audio.append", "audio": 1}, "invalid_value", "audio"),
    "bad-audio": ({"type": "session.input_audio.append", "audio": "?"}, "invalid_value", "audio"),
    "half-sample": (
        {"type": "session.input_audio.append", "audio": "AA=="},
        "invalid_value",
        "audio",
    ),
    "again": (
        {"type": "session.start", "session": {"model": "m"}},
        "session_already_started",
        "type",
    ),
    "no-item": ({"type": "response.item.create"}, "missing_required_parameter", "item"),
    "odd-item": (
        {"type": "response.item.create", "item": {"type": "reasoning"}},
        "invalid_value",
        "item.type",
    ),
    "odd-kind": (
        {"type": "response.item.create", "item": {"type": 7}},
        "invalid_value",
        "item.type",
    ),
    "no-content": (
        {"type": "response.item.create", "item": {"role": "user"}},
        "missing_required_parameter",
        "item.content",
    ),
    "image": (
        {
            "type": "response.item.create",
            "item": {"role": "user", "content": [{"type": "input_image", "text": "x"}]},
        },
        "invalid_value",
        "item.content[0].type",
    ),
    "long-text": (
        {
            "type": "response.item.create",
            "item": {"role": "user", "content": "x" * (LONGEST_TEXT_BYTES + 1)},
        },
        "invalid_value",
        "item.content[0].text",
    ),
    "voice": (
        {"type": "session.update", "session": {"audio": {}}},
        "cannot_update",
        "session.audio",
    ),
    "no-session": ({"type": "session.update"}, "missing_required_parameter", "session"),
    "triggers": (
        {"type": "session.update", "session": {"triggers": [{}]}},
        "invalid_value",
        "session.triggers",
    ),
    "no-context": (
        {"type": "session.thinking.append"},
        "missing_required_parameter",
        "content",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_refused_and_the_session_goes_on(name: str) -> None:
    message, code, param = WRONG[name]
    client = LiveClient().start()
    client.taken()
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    assert error(client.send_raw(data)) == (code, param)
    assert client.taken() == []
    assert of(client.send("session.input_audio.mute"), "session.input_audio.muted")


SESSIONS: dict[str, tuple[Any, str]] = {
    "model": ({"model": ""}, "session.model"),
    "rate": ({"audio": {"format": {"type": "audio/pcm", "rate": 8000}}}, "session.audio.format"),
    "no-rate": ({"audio": {"format": {"type": "audio/pcm"}}}, "session.audio.format"),
    "mulaw-rate": (
        {"audio": {"format": {"type": "audio/pcmu", "rate": 16_000}}},
        "session.audio.format",
    ),
    "opus": ({"audio": {"format": {"type": "audio/opus"}}}, "session.audio.format.type"),
    "voice": ({"audio": {"output": {"voice": 7}}}, "session.audio.output.voice"),
    "input": (
        {"input": [{"role": "user", "content": [{"text": "a"}, {"text": "b"}]}]},
        "session.input[0].content",
    ),
    "many": (
        {"input": [{"role": "user", "content": [{"text": "a"}]}] * 129},
        "session.input",
    ),
    "instructions": ({"instructions": "x" * (LONGEST_INSTRUCTIONS + 1)}, "session.instructions"),
    "triggers": ({"triggers": [{}]}, "session.triggers"),
    "delegation": ({"delegation": {"type": "decisions"}}, "session.delegation.type"),
    "tools": (
        {"delegation": {"type": "responses", "responses": {"tools": [{"type": "mcp"}]}}},
        "session.delegation.responses.tools[0].type",
    ),
    "tokens": (
        {"delegation": {"type": "responses", "responses": {"max_output_tokens": True}}},
        "session.delegation.responses.max_output_tokens",
    ),
    "choice": (
        {"delegation": {"type": "responses", "responses": {"tool_choice": "f"}}},
        "session.delegation.responses.tool_choice",
    ),
}


@pytest.mark.parametrize("name", SESSIONS)
def test_a_session_that_cannot_be_is_refused(name: str) -> None:
    fields, path = SESSIONS[name]
    client = LiveClient()
    found = error(client.send("session.start", session={"model": "m", **fields}))
    assert found == ("invalid_value", path)
    assert client.taken() == []


def test_before_the_session_only_audio_and_its_end_are_taken() -> None:
    client = LiveClient()
    assert error(client.append(b"")) == ("session_not_started", "type")
    assert client.send("session.start", session={"model": "m"}) == []
    client.taken()
    assert error(client.send("session.input_audio.mute")) == ("session_not_started", "type")
    assert client.append(bytes(4)) == []
    assert client.send("session.close") == []
    assert client.taken() == [AudioMessage(bytes(4)), Leave()]


def test_what_is_too_long_is_refused() -> None:
    client = LiveClient().start()
    client.taken()
    audio = base64.b64encode(bytes(48 * (LONGEST_APPEND_MS + 1))).decode()
    assert error(client.send("session.input_audio.append", audio=audio)) == (
        "invalid_value",
        "audio",
    )
    longer = base64.b64encode(bytes(LONGEST_EVENT_BYTES)).decode()
    assert error(client.send("session.input_audio.append", audio=longer)) == (
        "event_too_long",
        "audio",
    )
    dense = [1] * LONGEST_DENSE_BYTES
    assert error(client.send("session.close", more=dense)) == ("event_too_long", None)
    long_id = client.send("session.input_audio.mute", event_id="x" * 513)
    assert "client_event_id" not in long_id[0]


def test_a_client_puts_no_more_into_a_conversation_than_it_may() -> None:
    history = LiveHistory()
    line = "x" * 65_000
    for _ in range(MOST_CLIENT_BYTES // (len(line) + 256)):
        history.put("user", line)
    with pytest.raises(ProtocolError) as full:
        history.put("user", line)
    assert full.value.code == "conversation_full"


def test_the_oldest_lines_of_a_long_conversation_are_forgotten() -> None:
    history = LiveHistory()
    history.called(ToolCall(0, "c", "f", "{}"))
    for turn in range(MOST_LINES + 1):
        history.heard(turn, f"line {turn}")
    lines = history.messages(10**9)
    assert len(lines) == MOST_LINES
    assert lines[0].content == "line 1"
    with pytest.raises(ProtocolError):
        history.answered("c", "late")


def test_the_first_event_is_read_before_the_session() -> None:
    start = start_of(b'{"type":"session.start","session":{"model":"m"}}')
    assert isinstance(start, Start)
    with pytest.raises(ProtocolError) as refused:
        start_of(b'{"type":"session.close","event_id":"mine"}')
    assert (refused.value.code, refused.value.event_id) == ("session_not_started", "mine")


def test_a_url_with_an_unknown_language_is_refused() -> None:
    with pytest.raises(ProtocolError) as refused:
        LiveOpening.of({"language": "klingonese"})
    assert refused.value.param == "language"
    assert LiveOpening.of({"language": "auto"}).language == "auto"


def test_errors_of_the_server_are_told_apart() -> None:
    assert error_of("internal", "x")["type"] == "server_error"
    assert error_of("invalid_value", "x", param="p") == {
        "type": "invalid_request_error",
        "code": "invalid_value",
        "message": "x",
        "param": "p",
    }
