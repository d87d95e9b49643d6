"""The session object: updates merge, the effective session is told, the engine gets its wishes."""

from typing import Any

import pytest

from gateway.media.format import AudioFormat
from gateway.protocols.dialect import ProtocolError, Reconfigure, Start
from gateway.protocols.openai_realtime.requests import effective_session
from gateway.protocols.request import InterviewRequest, TurnRequest
from pipeline.frames import ReplyStarted
from pipeline.stage import Tool
from tests.gateway.protocols.openai_realtime.stock_client import StockClient, error, only

SERVER_VAD = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 500,
    "idle_timeout_ms": None,
    "create_response": True,
    "interrupt_response": True,
}


def update(client: StockClient, **fields: Any) -> dict[str, Any]:
    events = client.send("session.update", session={"type": "realtime", **fields})
    session: dict[str, Any] = only(events, "session.updated")["session"]
    return session


def detection(**fields: Any) -> dict[str, Any]:
    return {"audio": {"input": {"turn_detection": fields or None}}}


def test_a_session_begins_with_every_default_filled_in() -> None:
    (created,) = StockClient("gpt-realtime").events
    assert created["session"] == {
        "id": "s-1",
        "type": "realtime",
        "object": "realtime.session",
        "model": "gpt-realtime",
        "output_modalities": ["audio"],
        "instructions": "",
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24_000},
                "noise_reduction": None,
                "transcription": None,
                "turn_detection": SERVER_VAD,
            },
            "output": {
                "format": {"type": "audio/pcm", "rate": 24_000},
                "voice": "default",
                "speed": 1.0,
            },
        },
        "include": None,
        "max_output_tokens": "inf",
        "tools": [],
        "tool_choice": "auto",
        "prompt": None,
        "tracing": None,
        "truncation": "auto",
    }


def test_a_whole_number_may_be_written_as_a_float() -> None:
    client = StockClient("gpt-realtime")
    found = detection(type="server_vad", silence_duration_ms=700.0, prefix_padding_ms=100.0)
    turns = update(client, **found, max_output_tokens=200.0)["audio"]["input"]["turn_detection"]
    assert (turns["silence_duration_ms"], turns["prefix_padding_ms"]) == (700, 100)
    (changed,) = [taken for taken in client.taken() if isinstance(taken, Reconfigure)]
    assert changed.request.turns.silence_ms == 700
    wrong = client.send(
        "session.update",
        session={"type": "realtime", **detection(type="server_vad", silence_duration_ms=700.5)},
    )
    assert error(wrong)[0] == "invalid_value"


def test_the_session_starts_as_it_was_asked_for() -> None:
    client = StockClient(
        "gpt-realtime",
        instructions="Be kind.",
        tools=[{"type": "function", "name": "f"}],
        audio={"output": {"format": {"type": "audio/pcma"}, "voice": "marin"}},
    )
    (start,) = client.taken()
    assert isinstance(start, Start)
    request = start.request
    assert request.audio_in == AudioFormat("pcm_s16le", 24_000)
    assert request.audio_out == AudioFormat("alaw", 8_000)
    assert request.interview is None
    assert request.assistant is not None
    assert request.assistant.model == "gpt-realtime"
    assert request.assistant.instructions == "Be kind."
    assert request.assistant.tools == (Tool("f", "", {}),)
    assert request.assistant.voice == "marin"


def test_an_interview_is_parleys_own() -> None:
    interview = InterviewRequest("Data Engineer")
    session = effective_session("interview", interview=interview)
    request = session.request(lambda turn: ())
    assert (request.interview, request.assistant) == (interview, None)
    assert request.turns == TurnRequest(max_wait_ms=4_000)


def test_an_interview_keeps_its_instructions_and_tools_and_says_so() -> None:
    client = StockClient("interview")
    tool = {"type": "function", "name": "f"}
    session = update(
        client,
        instructions="Tell jokes.",
        tools=[tool],
        output_modalities=["text"],
        **detection(type="server_vad", create_response=False),
    )
    assert "interview" in session["instructions"]
    assert (session["tools"], session["output_modalities"]) == ([], ["audio"])
    assert session["audio"]["input"]["turn_detection"]["create_response"] is True


def test_only_fields_that_are_present_change() -> None:
    client = StockClient()
    tool = {"type": "function", "name": "f", "parameters": {"type": "object"}}
    update(
        client,
        instructions="Be kind.",
        tools=[tool],
        max_output_tokens=100,
        audio={"input": {"transcription": {"model": "whisper-9"}}},
    )
    session = update(client, tracing="auto")
    assert session["instructions"] == "Be kind."
    assert session["tools"] == [tool]
    assert session["max_output_tokens"] == 100
    assert session["tracing"] == "auto"
    assert session["audio"]["input"]["transcription"] == {"model": "whisper-9"}
    assert session["audio"]["input"]["turn_detection"] == SERVER_VAD
    session = update(client, instructions="", tools=[], audio={"input": {"transcription": None}})
    assert (session["instructions"], session["tools"]) == ("", [])
    assert session["audio"]["input"]["transcription"] is None
    assert session["tracing"] == "auto"


def test_the_two_updates_of_agents_js_may_come_in_either_order() -> None:
    config = {
        "model": "another",
        "output_modalities": ["audio"],
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24_000},
                "noise_reduction": None,
                "transcription": {"model": "gpt-4o-mini-transcribe"},
                "turn_detection": {"type": "semantic_vad"},
            },
            "output": {"format": {"type": "audio/pcm", "rate": 24_000}, "speed": 1},
        },
    }
    ends = []
    for first, second in ((config, {"tracing": "auto"}), ({"tracing": "auto"}, config)):
        client = StockClient("gpt-realtime")
        update(client, **first)
        ends.append(update(client, **second))
    assert ends[0] == ends[1]
    assert ends[0]["model"] == "gpt-realtime"
    assert ends[0]["audio"]["input"]["turn_detection"] == {
        "type": "semantic_vad",
        "eagerness": "auto",
        "create_response": True,
        "interrupt_response": True,
    }


@pytest.mark.parametrize(
    ("fields", "turns"),
    [
        (
            detection(type="server_vad"),
            TurnRequest(
                adaptive=False, threshold=0.5, prefix_ms=300, silence_ms=500, max_wait_ms=500
            ),
        ),
        (
            detection(
                type="server_vad",
                threshold=1,
                prefix_padding_ms=9000,
                silence_duration_ms=10,
                create_response=False,
                interrupt_response=False,
            ),
            TurnRequest(
                adaptive=False,
                threshold=0.99,
                prefix_ms=2000,
                silence_ms=100,
                max_wait_ms=100,
                replies=False,
                interruptible=False,
            ),
        ),
        (detection(type="semantic_vad", eagerness="low"), TurnRequest(max_wait_ms=8000)),
        (detection(type="semantic_vad", eagerness="medium"), TurnRequest(max_wait_ms=4000)),
        (detection(type="semantic_vad", eagerness="auto"), TurnRequest(max_wait_ms=4000)),
        (detection(type="semantic_vad", eagerness="high"), TurnRequest(max_wait_ms=2000)),
        (detection(), TurnRequest(mode="manual", replies=False)),
    ],
)
def test_turn_detection_becomes_turn_taking(fields: dict[str, Any], turns: TurnRequest) -> None:
    request = effective_session("any", {"type": "realtime", **fields}).request(lambda turn: ())
    assert request.turns == turns


def test_the_engine_hears_of_an_update_only_where_it_changes_something() -> None:
    client = StockClient()
    client.taken()
    update(client, tracing="auto", audio={"input": {"transcription": {"model": "any"}}})
    assert client.taken() == []
    update(client, instructions="Be kind.")
    (command,) = client.taken()
    assert isinstance(command, Reconfigure)
    assert command.request.assistant is not None
    assert command.request.assistant.instructions == "Be kind."


def test_the_voice_is_frozen_once_it_was_heard() -> None:
    client = StockClient()
    assert update(client, audio={"output": {"voice": "cedar"}})["audio"]["output"]["voice"] == (
        "cedar"
    )
    client.hear(ReplyStarted(1))
    client.play(1, 0)
    session = {"type": "realtime", "audio": {"output": {"voice": "marin"}}}
    refused = client.send("session.update", session=session)
    assert error(refused)[:2] == ("cannot_update_voice", "session.audio.output.voice")
    update(client, audio={"output": {"voice": "cedar"}})  # the same again is no change


def test_what_parley_accepts_without_using_it_is_echoed() -> None:
    ratio = {"type": "retention_ratio", "retention_ratio": 0.8}
    session = update(
        StockClient(),
        include=["item.input_audio_transcription.logprobs"],
        prompt={"id": "pmpt_1", "version": "2"},
        reasoning={"effort": "low"},
        parallel_tool_calls=False,
        truncation=ratio,
        audio={"output": {"speed": 1.2}},
        unknown={"x": 1},
    )
    assert session["include"] == ["item.input_audio_transcription.logprobs"]
    assert session["prompt"] == {"id": "pmpt_1", "version": "2"}
    assert session["reasoning"] == {"effort": "low"}
    assert session["parallel_tool_calls"] is False
    assert session["truncation"] == ratio
    assert session["audio"]["output"]["speed"] == 1.0  # what holds, not what was wished for
    assert "unknown" not in session


def test_a_tool_choice_names_the_function() -> None:
    choice = {"type": "function", "name": "f"}
    session = effective_session("any", {"type": "realtime", "tool_choice": choice})
    assert session.payload()["tool_choice"] == choice
    assert session.assistant(lambda turn: ()).tool_choice == "f"


def test_a_session_that_cannot_be_is_refused_with_its_path() -> None:
    with pytest.raises(ProtocolError) as caught:
        effective_session("any", {"type": "realtime", "tools": 5})
    assert (caught.value.code, caught.value.param) == ("invalid_value", "session.tools")


@pytest.mark.parametrize("kind", ["near_field", "far_field"])
def test_noise_reduction_is_asked_for_and_taken_back(kind: str) -> None:
    client = StockClient()
    session = update(client, audio={"input": {"noise_reduction": {"type": kind}}})
    assert session["audio"]["input"]["noise_reduction"] == {"type": kind}
    session = update(client, audio={"input": {"noise_reduction": None}})
    assert session["audio"]["input"]["noise_reduction"] is None


def test_an_unknown_kind_of_noise_reduction_is_refused_with_its_path() -> None:
    wrong = {"type": "realtime", "audio": {"input": {"noise_reduction": {"type": "loud"}}}}
    with pytest.raises(ProtocolError) as caught:
        effective_session("any", wrong)
    assert caught.value.code == "invalid_value"
    assert caught.value.param == "session.audio.input.noise_reduction.type"


@pytest.mark.parametrize(("tag", "language"), [("de-DE", "de"), ("FR", "fr"), ("yue", "yue")])
def test_the_language_of_the_transcription_is_that_of_the_session(tag: str, language: str) -> None:
    client = StockClient()
    client.taken()
    session = update(client, audio={"input": {"transcription": {"language": tag}}})
    assert session["audio"]["input"]["transcription"] == {"language": tag}
    (command,) = client.taken()
    assert isinstance(command, Reconfigure)
    assert command.request.language == language


@pytest.mark.parametrize("tag", [5, "xx", "", "auto", "en; DROP", "de" * 5_000])
def test_a_language_that_no_recogniser_knows_is_refused(tag: Any) -> None:
    session = {"type": "realtime", "audio": {"input": {"transcription": {"language": tag}}}}
    refused = StockClient().send("session.update", session=session)
    assert error(refused)[:2] == ("invalid_value", "session.audio.input.transcription.language")
