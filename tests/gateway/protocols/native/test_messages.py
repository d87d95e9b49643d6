"""The native dialect: every message in, every frame out, and nothing else."""

import json
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.media.format import AudioFormat
from gateway.protocols.dialect import (
    AnswerToolCall,
    CommitTurn,
    InterruptReply,
    Leave,
    ProtocolError,
    ReportPlayed,
    Start,
    TypedText,
)
from gateway.protocols.native.messages import CLIENT_MESSAGES, Ping, parse
from gateway.protocols.request import InterviewRequest, SessionRequest, TurnRequest
from gateway.protocols.tool_wish import ToolWish
from pipeline.turns import TurnPolicy


def asked_for(message: str) -> SessionRequest:
    """What a hello asks for."""
    command = parse(message)
    assert isinstance(command, Start)
    return command.request


def refused(data: bytes | str) -> tuple[str, bool]:
    with pytest.raises(ProtocolError) as caught:
        parse(data)
    assert str(caught.value) == caught.value.message
    return caught.value.code, caught.value.fatal


def test_a_bare_hello_asks_for_the_defaults() -> None:
    assert parse('{"type":"hello","version":1}') == Start(SessionRequest())
    assert SessionRequest().audio_in == AudioFormat("pcm_s16le", 16_000, 1)


def test_the_functions_of_a_hello_are_the_operators_by_name_or_the_clients() -> None:
    hello = asked_for(
        '{"type":"hello","version":1,"tools":[{"name":"weather"},'
        '{"name":"open","description":"Opens a page","parameters":null,"timeout_ms":500.0}]}'
    )
    assert hello.tools == (
        ToolWish(name="weather"),
        ToolWish(name="open", description="Opens a page", timeout_ms=500),
    )
    assert [wish.of_client for wish in hello.tools or ()] == [False, True]
    assert asked_for('{"type":"hello","version":1}').tools is None


@pytest.mark.parametrize(
    "tools",
    ["{}", '[{"description":"no name"}]', '[{"name":"a b"}]', '[{"name":"a","parameters":[]}]'],
    ids=["object", "nameless", "space", "list"],
)
def test_functions_that_cannot_be_are_refused(tools: str) -> None:
    assert refused('{"type":"hello","version":1,"tools":' + tools + "}") == ("bad_hello", True)


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        ('"result":"rain"', AnswerToolCall("c", "rain")),
        ('"result":{"sky":"grau"}', AnswerToolCall("c", '{"sky":"grau"}')),
        ('"result":"x","error":null', AnswerToolCall("c", "x")),
        ('"error":"no such city"', AnswerToolCall("c", "no such city", failed=True)),
        ('"result":null', AnswerToolCall("c", "null")),
    ],
    ids=["text", "object", "no error", "error", "null"],
)
def test_the_result_of_a_function_is_text_for_the_model(
    fields: str, answer: AnswerToolCall
) -> None:
    assert parse('{"type":"tool.result","call_id":"c",' + fields + "}") == answer


@pytest.mark.parametrize("fields", ['"result":1', '"call_id":3', '"call_id":"c","error":3'])
def test_a_result_without_a_call_is_refused(fields: str) -> None:
    assert refused('{"type":"tool.result",' + fields + "}") == ("bad_message", False)


def test_a_whole_number_may_be_written_as_a_float() -> None:
    hello = asked_for(
        '{"type":"hello","version":1.0,"audio_in":{"rate":48000.0,"channels":2.0},'
        '"audio_out":{"rate":8e3},"turn_detection":{"silence_ms":500.0,"barge_in_words":2.0},'
        '"interview":{"role":"Data Analyst","totalQuestions":3.0}}'
    )
    assert hello.audio_in == AudioFormat("pcm_s16le", 48_000, 2)
    assert hello.audio_out == AudioFormat("pcm_s16le", 8_000, 1)
    assert hello.turns == TurnRequest(silence_ms=500, barge_in_words=2)
    assert hello.interview == InterviewRequest("Data Analyst", None, 3)


def test_what_is_null_in_a_hello_was_not_given() -> None:
    nulls = '"audio_in":null,"avatar":null,"turn_detection":null,"interview":null'
    assert parse('{"type":"hello","version":1,' + nulls + "}") == Start(SessionRequest())
    inside = '"audio_in":{"rate":null,"encoding":null},"turn_detection":{"mode":null}'
    assert parse('{"type":"hello","version":1,' + inside + "}") == Start(SessionRequest())


def test_a_text_of_8_kib_may_be_escaped() -> None:
    text = "é" * 4096
    assert parse(json.dumps({"type": "text", "text": text})) == TypedText(text)


def test_a_full_hello() -> None:
    hello = asked_for(
        json.dumps(
            {
                "type": "hello",
                "version": 1,
                "ticket": "t",
                "audio_in": {"encoding": "mulaw", "rate": 8000, "channels": 2},
                "audio_out": {"encoding": "alaw", "rate": 48000},
                "avatar": "off",
                "turn_detection": {"mode": "manual", "threshold": 0.7, "silence_ms": 400},
                "resume": {"token": "x", "seq": 4},
                "interview": {"role": "Data Analyst", "totalQuestions": 3},
                "from_the_future": True,
            }
        )
    )
    assert hello.audio_in == AudioFormat("mulaw", 8000, 2)
    assert hello.audio_out == AudioFormat("alaw", 48_000, 1)
    assert hello.avatar == "off"
    assert hello.turns == TurnRequest(mode="manual", threshold=0.7, silence_ms=400)
    assert hello.interview == InterviewRequest("Data Analyst", None, 3)


@pytest.mark.parametrize(
    ("tag", "language"), [("de", "de"), ("de-DE", "de"), ("EN-us", "en"), ("auto", "auto")]
)
def test_a_hello_may_name_a_language(tag: str, language: str) -> None:
    assert asked_for(f'{{"type":"hello","version":1,"language":"{tag}"}}').language == language


def test_what_a_client_can_ask_of_turn_detection_is_what_turn_taking_knows() -> None:
    asked = asked_for(
        '{"type":"hello","version":1,"turn_detection":{"prefix_ms":0,"barge_in_ms":700,'
        '"barge_in_words":2,"resume_ms":300,"adaptive":false}}'
    )
    policy = TurnPolicy(**{k: v for k, v in asdict(asked.turns).items() if v is not None})
    assert policy == TurnPolicy(
        prefix_ms=0, barge_in_ms=700, barge_in_words=2, resume_ms=300, adaptive=False
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"type":"text","text":" hi "}', TypedText(" hi ")),
        ('{"type":"interrupt"}', InterruptReply(overtakes=True)),
        ('{"type":"commit"}', CommitTurn()),
        ('{"type":"played","turn":3,"ms":250}', ReportPlayed(3, 250)),
        ('{"type":"played","turn":3.0,"ms":500.0}', ReportPlayed(3, 500)),
        ('{"type":"played","turn":1,"ms":1e3}', ReportPlayed(1, 1000)),
        ('{"type":"ping","t":17.5}', Ping(17.5)),
        ('{"type":"ping"}', Ping(None)),
        ('{"type":"bye"}', Leave()),
    ],
)
def test_every_other_message(text: str, message: object) -> None:
    assert parse(text) == message
    assert parse(text.encode()) == message


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "bad_json"),
        (b"hello", "bad_json"),
        (b"\xff\xfe", "bad_json"),
        (b'{"type":"text","text":"\xed\xa0\x80"}', "bad_json"),
        ('{"type":"commit"}'.encode("utf-16-le"), "bad_json"),
        (b"[1]", "bad_json"),
        (b'"hello"', "bad_json"),
        (b"[" * 500 + b"]" * 500, "bad_json"),
        (b'{"type":' + b'{"a":' * 500 + b"1" + b"}" * 501, "unknown_type"),
        (b"[" * 16_000, "bad_json"),
        (b'{"type":"ping","t":NaN}', "bad_json"),
        (b'{"type":"ping","t":' + b"9" * 5000 + b"}", "bad_json"),
        (b'{"type":"text","text":"' + b"x" * 8193 + b'"}', "text_too_long"),
        (b'{"type":"text","text":"   "}', "empty_text"),
        (b'{"type":"text","text":5}', "bad_message"),
        (b'{"type":"text","text":"\\ud800"}', "bad_message"),
        (b'{"type":"text"}', "bad_message"),
        (b'{"type":"played","turn":-1,"ms":0}', "bad_message"),
        (b'{"type":"played","turn":true,"ms":0}', "bad_message"),
        (b'{"type":"played","turn":1,"ms":500.5}', "bad_message"),
        (b'{"type":"played","turn":1,"ms":1e999}', "bad_message"),
        (b'{"type":"ping","t":{}}', "bad_message"),
        (b'{"type":"ping","t":1e999}', "bad_message"),
        (b'{"type":"sing"}', "unknown_type"),
        (b'{"type":7}', "unknown_type"),
        (b"{}", "unknown_type"),
    ],
)
def test_what_is_wrong_gets_a_code_and_the_session_goes_on(data: bytes, code: str) -> None:
    assert refused(data) == (code, False)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"version": 2}, "bad_hello"),
        ({"version": "1"}, "bad_hello"),
        ({"avatar": "hologram"}, "bad_hello"),
        ({"audio_in": {"rate": "16000"}}, "bad_hello"),
        ({"audio_in": {"rate": 16000.5}}, "bad_hello"),
        ({"audio_in": {"channels": True}}, "bad_hello"),
        ({"turn_detection": {"silence_ms": 500.25}}, "bad_hello"),
        ({"audio_in": {"rate": 0}}, "unsupported_audio"),
        ({"audio_in": {"rate": 7999}}, "unsupported_audio"),
        ({"audio_in": {"rate": 2**31 - 1}}, "unsupported_audio"),
        ({"audio_in": {"channels": 0}}, "unsupported_audio"),
        ({"audio_in": {"channels": 1024}}, "unsupported_audio"),
        ({"audio_in": {"encoding": "flac"}}, "unsupported_audio"),
        ({"audio_in": {"encoding": "opus", "rate": 44_100}}, "unsupported_audio"),
        ({"audio_in": {"encoding": "opus", "channels": 3}}, "unsupported_audio"),
        ({"audio_out": {"encoding": "opus", "rate": 32_000}}, "unsupported_audio"),
        ({"audio_out": {"rate": 48_001}}, "unsupported_audio"),
        ({"turn_detection": {"threshold": 1.5}}, "bad_hello"),
        ({"turn_detection": {"silence_ms": 5}}, "bad_hello"),
        ({"turn_detection": {"barge_in_words": -1}}, "bad_hello"),
        ({"turn_detection": {"resume_ms": 99}}, "bad_hello"),
        ({"interview": {}}, "bad_hello"),
        ({"interview": {"role": "\ud800"}}, "bad_hello"),
        ({"language": 5}, "bad_hello"),
        ({"language": "xx"}, "unknown_language"),
        ({"language": "fr"}, "unknown_language"),
        ({"language": ""}, "unknown_language"),
        ({"language": "en; DROP"}, "unknown_language"),
        ({"language": "de" * 2_000}, "unknown_language"),
    ],
)
def test_a_hello_that_cannot_be_met_ends_the_session(fields: dict[str, Any], code: str) -> None:
    message = {"type": "hello", "version": 1, **fields}
    assert refused(json.dumps(message)) == (code, True)


def test_an_error_in_a_hello_names_the_field() -> None:
    with pytest.raises(ProtocolError, match=r"turn_detection\.silence_ms: .*100"):
        parse('{"type":"hello","version":1,"turn_detection":{"silence_ms":5}}')


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused_with_a_code(data: bytes) -> None:
    assert refused(data)[0] in {"bad_json", "unknown_type"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
TYPES = st.sampled_from([*CLIENT_MESSAGES, "x"])
FIELDS = st.sampled_from(
    ["version", "text", "turn", "ms", "t", "audio_in", "avatar", "turn_detection", "interview"]
)


# Nested JSON takes a busy machine long to draw.
@given(TYPES, st.dictionaries(FIELDS, JSON, max_size=5))
def test_any_object_gives_a_message_or_a_documented_error(
    kind: str, fields: dict[str, Any]
) -> None:
    codes = {
        *("bad_json", "unknown_type", "bad_message", "bad_hello", "unsupported_audio"),
        *("text_too_long", "empty_text"),
    }
    code = None
    try:
        parse(json.dumps({"type": kind, **fields}))
    except ProtocolError as error:
        code = error.code
    assert code is None or code in codes


@pytest.mark.parametrize("rate", [8000, 12_000, 16_000, 24_000, 48_000])
def test_opus_at_its_rates(rate: int) -> None:
    hello = asked_for(
        json.dumps(
            {
                "type": "hello",
                "version": 1,
                "audio_in": {"encoding": "opus", "rate": rate, "channels": 2},
                "audio_out": {"encoding": "opus", "rate": rate},
            }
        )
    )
    assert hello.audio_in == AudioFormat("opus", rate, 2)
    assert hello.audio_out == AudioFormat("opus", rate, 1)
