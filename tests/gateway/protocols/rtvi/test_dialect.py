"""RTVI messages to commands, outputs to RTVI messages, and what is refused."""

import json
from typing import Any

import pytest

from gateway.protocols.dialect import (
    AnswerToolCall,
    Command,
    CommitTurn,
    GoingAway,
    InterruptReply,
    InterviewProgress,
    Leave,
    Outgoing,
    ProtocolError,
    Reconfigure,
    ReplyTiming,
    Send,
    SessionExpires,
    SessionReady,
    ToolCallEnded,
    TypedText,
    WireAudio,
)
from gateway.protocols.left_out import LeftOut
from gateway.protocols.request import InterviewRequest, SessionRequest
from gateway.protocols.rtvi import Rtvi
from gateway.protocols.rtvi.functions import LONGEST_CALL_ID
from gateway.protocols.rtvi.messages import LONGEST_MESSAGE_BYTES
from pipeline.frames import (
    AvatarState,
    Clear,
    Degraded,
    Fault,
    ReplyDone,
    ReplyPaused,
    ReplyResumed,
    ReplyStarted,
    ReplyText,
    SpeechStarted,
    SpeechStopped,
    StageSpan,
    ToolCall,
    Transcript,
    TurnMetrics,
    Visemes,
)

AT = 1_795_943_278.25  # 2026-11-29T09:07:58.250Z
PCM = WireAudio("pcm_s16le", 16_000)
REQUEST = SessionRequest(interview=InterviewRequest("Data Analyst"))
READY = SessionReady(
    "mine", PCM, PCM, {"stt": "whisper"}, {"currentQuestion": 1}, language="de",
    notices=(("no_voice", "No voice speaks it."),),
)  # fmt: skip


class Client:
    """A dialect's client: it sends a message and reads what comes back."""

    def __init__(self, **options: Any) -> None:
        self.dialect = Rtvi(REQUEST, lambda now: AT + now, **options)

    def send(self, kind: str, data: Any = None, id: str | None = "7e5a") -> list[Command]:
        message = {"label": "rtvi-ai", "type": kind, "id": id, "data": data}
        return list(self.dialect.parse(json.dumps(message).encode(), 1.0))

    def ready(self, version: Any = "2.1.0", **about: Any) -> list[Command]:
        return self.send("client-ready", {"version": version, "about": about})

    def gets(self, *outputs: Outgoing) -> list[dict[str, Any]]:
        found = [text for output in outputs for text in self.dialect.encode(output, 0.0)]
        messages = [json.loads(text) for text in found]
        assert {message.pop("label") for message in messages} <= {"rtvi-ai"}
        return messages

    def types(self, *outputs: Outgoing) -> list[str]:
        return [message["type"] for message in self.gets(*outputs)]


def sent(command: Command) -> dict[str, Any]:
    assert isinstance(command, Send)
    message: dict[str, Any] = json.loads(command.message)
    return message


# --- the beginning ---------------------------------------------------------------------------


def test_the_session_is_what_the_endpoint_asks_for() -> None:
    assert list(Client().dialect.begin()) == [Reconfigure(REQUEST)]


def test_bot_ready_answers_client_ready_once_the_session_stands() -> None:
    client = Client()
    assert client.ready(library="@pipecat-ai/client-js") == []
    ready, session, notice = client.gets(READY)
    about = {"version": "2.1.0", "about": {"library": "parley"}}
    assert ready == {"type": "bot-ready", "id": "7e5a", "data": about}
    assert session["data"] == {
        "t": "session",
        "d": {
            "session_id": "mine",
            "interview": {"currentQuestion": 1},
            "language": "de",
            "providers": {"stt": "whisper"},
        },
    }
    notice_data = {"t": "notice", "d": {"code": "no_voice", "message": "No voice speaks it."}}
    assert notice == {"type": "server-message", "data": notice_data}
    assert client.dialect.library == "@pipecat-ai/client-js"


def test_a_client_that_is_ready_later_is_answered_then() -> None:
    client = Client()
    assert client.gets(READY) == []
    assert [sent(command)["type"] for command in client.ready()] == [
        "bot-ready",
        "server-message",
        "server-message",
    ]
    assert sent(client.ready()[0])["id"] == "7e5a"


@pytest.mark.parametrize(
    ("version", "answered", "refused"),
    [
        ("2.0.0", "2.1.0", False),
        ("2.9", "2.1.0", False),
        ("1.2.0", "1.2.0", False),
        ("3.0.0", "2.1.0", True),
        ("0.3.0", "2.1.0", True),
        (None, "2.1.0", True),
        (2, "2.1.0", True),
        ("two", "2.1.0", True),
    ],
)
def test_every_version_gets_its_bot_ready(version: Any, answered: str, refused: bool) -> None:
    client = Client()
    told = client.ready(version)
    errors = [{"error": "this server speaks version 2.1.0, and 1.x"}] if refused else []
    assert [sent(command)["data"] for command in told] == errors
    assert [sent(command)["id"] for command in told] == ["7e5a"] * len(errors)
    ready, *_ = client.gets(READY)
    assert (ready["type"], ready["data"]["version"]) == ("bot-ready", answered)


def test_the_old_version_gets_its_own_form_of_bot_output() -> None:
    client = Client()
    client.ready("1.2.0")
    (output,) = [m for m in client.gets(ReplyText(0, "Hello.")) if m["type"] == "bot-output"]
    assert output["data"] == {"text": "Hello.", "aggregated_by": "sentence", "spoken": True}
    assert "bot-output" not in client.types(ReplyDone(0, interrupted=False, heard="Hello."))


# --- from the client -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "data", "commands"),
    [
        ("send-text", {"content": "I like tests"}, [TypedText("I like tests")]),
        (
            "send-text",
            {"content": "Yes", "options": {"run_immediately": True, "audio_response": False}},
            [TypedText("Yes")],
        ),
        (
            "append-to-context",
            {"role": "user", "content": "Yes", "run_immediately": True},
            [TypedText("Yes")],
        ),
        ("disconnect-bot", {}, [Leave()]),
    ],
)
def test_a_message_is_a_command(kind: str, data: Any, commands: list[Command]) -> None:
    assert Client().send(kind, data) == commands


@pytest.mark.parametrize(
    ("kind", "command"),
    [("interrupt", InterruptReply(overtakes=True)), ("commit", CommitTurn())],
)
def test_a_request_is_done_and_answered(kind: str, command: Command) -> None:
    done, answer = Client().send("client-message", {"t": kind})
    assert done == command
    assert sent(answer) == {
        "label": "rtvi-ai",
        "type": "server-response",
        "id": "7e5a",
        "data": {"t": kind, "d": None},
    }


@pytest.mark.parametrize(
    ("kind", "data", "code"),
    [
        ("dtmf", {"buttons": ["1"]}, "unknown_type"),
        ("raw-audio", {"base64Audio": "AAAA"}, "unknown_type"),
        ("client-message", {"t": "dance"}, "unknown_type"),
        ("send-text", {}, "bad_message"),
        ("send-text", {"content": 7}, "bad_message"),
        ("send-text", {"content": "\ud800"}, "bad_message"),
        ("send-text", {"content": " "}, "empty_text"),
        ("send-text", {"content": "a" * 8193}, "text_too_long"),
        ("send-text", {"content": "a", "options": []}, "bad_message"),
        ("send-text", {"content": "a", "options": {"run_immediately": 1}}, "bad_message"),
        ("send-text", {"content": "a", "options": {"run_immediately": False}}, "unsupported"),
        ("append-to-context", {"role": "user", "content": "a"}, "unsupported"),
        ("append-to-context", {"role": "system", "content": "a"}, "unsupported"),
        ("send-text", [], "bad_message"),
    ],
)
def test_what_is_refused_is_answered_with_the_messages_id(kind: str, data: Any, code: str) -> None:
    client = Client()
    with pytest.raises(ProtocolError) as refused:
        client.send(kind, data)
    assert (refused.value.code, refused.value.fatal) == (code, False)
    (answer,) = client.dialect.refuse(refused.value)
    assert json.loads(answer) == {
        "label": "rtvi-ai",
        "type": "error-response",
        "id": "7e5a",
        "data": {"error": str(refused.value)},
    }


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"no JSON", "bad_json"),
        (b"\xff", "bad_json"),
        (b"[" * 100_000, "bad_json"),
        (b"[]", "bad_json"),
        (b'{"label":"rtvi-ai","type":"client-ready","data":NaN}', "bad_json"),
        (b'{"type":"client-ready"}', "bad_message"),
        (b'{"label":"rtvi-ai","type":7}', "bad_message"),
        (b'{"label":"rtvi-ai","type":"dance"}', "unknown_type"),
        (b'{"label":"rtvi-ai","type":"dance","id":{}}', "unknown_type"),
        (b'{"label":"rtvi-ai","type":"dance","id":"\\ud800"}', "unknown_type"),
    ],
)
def test_what_has_no_id_is_an_error_event(message: bytes, code: str) -> None:
    client = Client()
    with pytest.raises(ProtocolError) as refused:
        client.dialect.parse(message, 0.0)
    assert refused.value.code == code
    (answer,) = client.dialect.refuse(refused.value)
    text = str(refused.value)
    data = {"error": text, "message": text, "fatal": False}
    assert json.loads(answer) == {"label": "rtvi-ai", "type": "error", "data": data}


def test_messages_about_the_peer_connection_are_not_the_sessions() -> None:
    status = b'{"type":"signalling","message":{"type":"trackStatus","receiver_index":0}}'
    client = Client()
    assert list(client.dialect.parse(status, 0.0)) == []
    assert list(client.dialect.parse(b"ping: 1795943278250", 0.0)) == []
    framed = Client(signalled=False)
    with pytest.raises(ProtocolError):
        framed.dialect.parse(status, 0.0)


# --- to the client ---------------------------------------------------------------------------


def test_a_turn_and_its_reply() -> None:
    client = Client()
    made = client.gets(
        SpeechStarted(1, 100),
        Transcript(1, "I like", final=False),
        SpeechStopped(1, 900),
        Transcript(1, "I like tests", final=True),
        AvatarState(1, "thinking"),
        ReplyStarted(1),
        ReplyText(1, "Well."),
        ReplyTiming(1, 0, 5),
        ReplyTiming(1, 20, 5),
        ReplyText(1, "Why?"),
        ReplyDone(1, interrupted=False, heard="Well. Why?"),
        AvatarState(1, "idle"),
    )
    said = {"user_id": "candidate", "timestamp": "2026-11-29T09:07:58.250Z"}
    new = {"aggregated_by": "sentence", "will_be_spoken": True}
    assert made == [
        {"type": "user-started-speaking"},
        {"type": "user-transcription", "data": {"text": "I like", "final": False, **said}},
        {"type": "user-stopped-speaking"},
        {"type": "user-transcription", "data": {"text": "I like tests", "final": True, **said}},
        {"type": "user-llm-text", "data": {"text": "I like tests"}},
        {"type": "bot-llm-started"},
        {"type": "bot-tts-started"},
        {"type": "bot-llm-text", "data": {"text": "Well."}},
        {"type": "bot-tts-text", "data": {"text": "Well."}},
        {"type": "bot-output", "data": {**new, **segment("Well.", 0, "new")}},
        {"type": "bot-transcription", "data": {"text": "Well."}},
        {"type": "bot-started-speaking"},
        {"type": "bot-llm-text", "data": {"text": " Why?"}},
        {"type": "bot-tts-text", "data": {"text": "Why?"}},
        {"type": "bot-output", "data": {**new, **segment("Why?", 1, "new")}},
        {"type": "bot-transcription", "data": {"text": "Why?"}},
        {"type": "bot-output", "data": {**new, **segment("Well.", 0, "completed")}},
        {"type": "bot-output", "data": {**new, **segment("Why?", 1, "completed")}},
        {"type": "bot-llm-stopped"},
        {"type": "bot-tts-stopped"},
        {"type": "bot-stopped-speaking"},
    ]


def segment(text: str, number: int, status: str) -> dict[str, Any]:
    said, left = ("", text) if status == "new" else (text, "")
    return {
        "text": text,
        "segment_id": number,
        "spoken_status": status,
        "spoken_progress": {"accumulated_text": said, "remaining_text": left},
    }


def test_an_interrupted_reply_stops_once() -> None:
    client = Client()
    client.gets(ReplyStarted(0), ReplyText(0, "Well."), ReplyTiming(0, 0, 5))
    assert client.types(Clear(0, 400), ReplyPaused(0, 400)) == ["bot-stopped-speaking"]
    assert client.types(ReplyResumed(0, 400)) == ["bot-started-speaking"]
    assert client.types(Clear(0, 900)) == ["bot-stopped-speaking"]
    assert client.types(ReplyDone(0, interrupted=True, heard="")) == [
        "bot-interrupted",
        "bot-llm-stopped",
        "bot-tts-stopped",
    ]
    assert client.types(AvatarState(0, "idle")) == []


def test_a_turn_without_a_reply_ends_what_it_began() -> None:
    client = Client()
    assert client.types(AvatarState(1, "thinking"), AvatarState(1, "idle")) == [
        "bot-llm-started",
        "bot-llm-stopped",
    ]


CALL = ToolCall(1, "call_1", "weather", '{"place":"Leeds"}')
RESULT = {"function_name": "weather", "tool_call_id": "call_1", "arguments": {}, "result": "rain"}
STOPPED = {"function_name": "weather", "tool_call_id": "call_1"}


def test_a_function_is_called_and_its_result_ends_the_call() -> None:
    client = Client()
    client.gets(READY)
    started, under_way = client.gets(CALL)
    assert started == {
        "type": "llm-function-call-started",
        "data": {"function_name": "weather"},
    }
    assert under_way == {
        "type": "llm-function-call-in-progress",
        "data": {**STOPPED, "arguments": {"place": "Leeds"}},
    }
    answer, stopped = client.send("llm-function-call-result", RESULT)
    assert answer == AnswerToolCall("call_1", "rain")
    assert sent(stopped)["type"] == "llm-function-call-stopped"
    assert sent(stopped)["data"] == {**STOPPED, "cancelled": False}
    again = client.send("llm-function-call-result", RESULT)
    assert again == [AnswerToolCall("call_1", "rain")]  # which the session ignores
    assert "llm-function-call-stopped" not in client.types(ReplyDone(1, False, "It rains."))


def test_a_client_of_version_1_is_called_in_its_own_form() -> None:
    client = Client()
    client.ready("1.2.0")
    client.gets(READY)
    [called] = client.gets(CALL)
    assert called == {
        "type": "llm-function-call",
        "data": {**STOPPED, "args": {"place": "Leeds"}},
    }


@pytest.mark.parametrize(
    "end",
    [ReplyDone(1, True, ""), TurnMetrics(1, 800, (), None), ReplyDone(2, False, "Well.")],
    ids=["cut off", "over without a word", "a later turn"],
)
def test_a_call_without_a_result_is_stopped_with_its_turn(end: Outgoing) -> None:
    client = Client()
    client.gets(READY, CALL)
    stopped = [m for m in client.gets(end) if m["type"] == "llm-function-call-stopped"]
    assert [message["data"] for message in stopped] == [{**STOPPED, "cancelled": True}]
    assert "llm-function-call-stopped" not in client.types(end)


def test_a_call_whose_result_is_waited_for_no_longer_is_stopped_once() -> None:
    client = Client()
    client.gets(READY, CALL)
    [stopped] = client.gets(ToolCallEnded("call_1"))
    assert stopped["type"] == "llm-function-call-stopped"
    assert stopped["data"] == {**STOPPED, "cancelled": True}
    late = client.send("llm-function-call-result", RESULT)
    assert late == [AnswerToolCall("call_1", "rain")]  # which the session ignores
    assert client.gets(ToolCallEnded("call_1")) == []
    assert "llm-function-call-stopped" not in client.types(ReplyDone(1, False, "Well."))


def test_a_result_that_is_too_long_is_refused_by_the_id_of_its_message() -> None:
    with pytest.raises(ProtocolError) as refused:
        Client().send("llm-function-call-result", {**RESULT, "result": "x" * LONGEST_MESSAGE_BYTES})
    assert (refused.value.code, refused.value.event_id) == ("message_too_long", "7e5a")
    assert not refused.value.fatal


def test_calls_of_the_turn_under_way_outlive_the_end_of_an_older_one() -> None:
    client = Client()
    client.gets(READY, CALL)
    assert "llm-function-call-stopped" not in client.types(TurnMetrics(0, 800, (), None))


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ("rain", "rain"),
        ({"sky": "grau, trüb"}, '{"sky":"grau, trüb"}'),
        (None, "null"),
        ([1, 2.5], "[1,2.5]"),
        ("\ud800", '"\\ud800"'),
        ({"half": "\ud800"}, '{"half": "\\ud800"}'),
    ],
    ids=["text", "object", "null", "list", "half a character", "half a character inside"],
)
def test_a_result_is_any_json(result: Any, told: str) -> None:
    [answer] = Client().send("llm-function-call-result", {"tool_call_id": "c", "result": result})
    assert answer == AnswerToolCall("c", told)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"tool_call_id": "c"},
        {"result": "x"},
        {"tool_call_id": 7, "result": "x"},
        {"tool_call_id": "c" * (LONGEST_CALL_ID + 1), "result": "x"},
    ],
    ids=["nothing", "no result", "no id", "a number", "too long"],
)
def test_what_is_no_result_is_refused(data: Any) -> None:
    with pytest.raises(ProtocolError) as refused:
        Client().send("llm-function-call-result", data)
    assert (refused.value.code, refused.value.event_id) == ("bad_message", "7e5a")


def test_metrics_are_seconds_by_stage() -> None:
    stages = (
        StageSpan("stt", "whisper", 10.0, None, 210.04),
        StageSpan("tts", "hibari", 210.0, 300.0, None),
    )
    (metrics,) = Client().gets(TurnMetrics(1, 1000, stages, 512.3))
    assert metrics["data"] == {
        "ttfb": [
            {"processor": "tts", "model": "hibari", "value": 0.09},
            {"processor": "voice-to-voice", "value": 0.5123},
        ],
        "processing": [{"processor": "stt", "model": "whisper", "value": 0.2}],
    }
    (silent,) = Client().gets(TurnMetrics(1, 1000, (), None))
    assert silent["data"] == {"ttfb": [], "processing": []}


def test_errors_have_the_name_that_clients_and_the_one_that_servers_use() -> None:
    (error,) = Client().gets(Fault(0, "internal", "the session failed", fatal=True))
    text = "the session failed"
    assert error == {"type": "error", "data": {"error": text, "message": text, "fatal": True}}
    (error,) = Client().gets(LeftOut('{"label":"rtvi-ai","type":"bot-output","data":{', 70_000))
    assert error["data"]["message"].startswith("A message of the type bot-output was left out")
    assert error["data"]["fatal"] is False


def test_what_rtvi_has_no_event_for_is_a_server_message_or_nothing() -> None:
    client = Client()
    made = client.gets(
        InterviewProgress({"currentQuestion": 2}),
        GoingAway(30_000),
        SessionExpires(20_000),
        Degraded(1, "stt", "whisper", "canned line", "timeout"),
        Visemes(1, 0, ()),
        AvatarState(1, "listening"),
    )
    assert [message["data"] for message in made] == [
        {"t": "interview", "d": {"currentQuestion": 2}},
        {"t": "going-away", "d": {"in_ms": 30_000}},
        {"t": "session-expires", "d": {"in_ms": 20_000}},
        {
            "t": "degraded",
            "d": {
                "turn": 1, "stage": "stt", "from": "whisper", "to": "canned line",
                "reason": "timeout",
            },
        },
    ]  # fmt: skip
