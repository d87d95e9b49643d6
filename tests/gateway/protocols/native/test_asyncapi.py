"""`/asyncapi.json`: AsyncAPI 3, with every message that the codec knows, and no other."""

import copy
import json
import re
from typing import Any, get_args

import jsonschema_rs
import pytest
from hypothesis import example as always
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocols.dialect import (
    GoingAway,
    InterviewProgress,
    Outgoing,
    ProtocolError,
    ReplyTiming,
    Resumed,
    SessionExpires,
    SessionReady,
    WireAudio,
)
from gateway.protocols.left_out import LeftOut
from gateway.protocols.native import NativeDialect
from gateway.protocols.native.asyncapi import INPUT_AUDIO, OUTPUT_AUDIO, document
from gateway.protocols.native.messages import CLIENT_MESSAGES, parse
from gateway.protocols.native.server_messages import SERVER_MESSAGES, MessageType
from pipeline import frames
from tests.support.paths import DOCS

DOCUMENT = document(title="Parley", version="1")

REFERENCE = {"type": "object", "required": ["$ref"], "properties": {"$ref": {"type": "string"}}}
ASYNCAPI_3 = {
    "type": "object",
    "required": ["asyncapi", "info", "channels", "operations", "components"],
    "additionalProperties": False,
    "properties": {
        "asyncapi": {"const": "3.0.0"},
        "info": {"type": "object", "required": ["title", "version"]},
        "defaultContentType": {"type": "string"},
        "channels": {
            "patternProperties": {
                r"^[\w.-]+$": {
                    "required": ["address", "messages"],
                    "properties": {
                        "address": {"type": "string"},
                        "messages": {"additionalProperties": REFERENCE},
                        "parameters": {"type": "object"},
                    },
                }
            },
            "additionalProperties": False,
        },
        "operations": {
            "additionalProperties": {
                "required": ["action", "channel"],
                "properties": {
                    "action": {"enum": ["send", "receive"]},
                    "channel": REFERENCE,
                    "messages": {"type": "array", "items": REFERENCE},
                },
            }
        },
        "components": {
            "additionalProperties": False,
            "properties": {
                "messages": {
                    "patternProperties": {
                        r"^[\w.-]+$": {
                            "required": ["payload"],
                            "properties": {
                                "payload": {"$ref": "http://json-schema.org/draft-07/schema#"},
                                "contentType": {"type": "string"},
                            },
                        }
                    },
                    "additionalProperties": False,
                },
                "schemas": {
                    "additionalProperties": {"$ref": "http://json-schema.org/draft-07/schema#"}
                },
            },
        },
    },
}
"""What this document uses of AsyncAPI 3.0.0, from the specification."""

CLIENT, SERVER = frozenset(CLIENT_MESSAGES), frozenset[str](SERVER_MESSAGES)


def messages_of(operation: str) -> set[str]:
    """The messages of an operation, each found through its references."""
    found = set()
    for each in DOCUMENT["operations"][operation]["messages"]:
        channel, name = re.fullmatch(r"#/channels/(\w+)/messages/(.+)", each["$ref"]).groups()  # type: ignore[union-attr]
        there = DOCUMENT["channels"][channel]["messages"][name]["$ref"]
        assert there == f"#/components/messages/{name}"
        assert name in DOCUMENT["components"]["messages"]
        found.add(name)
    return found


def closed(schema: Any) -> Any:
    """A schema that allows no field beside those that it names."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: closed(one) for name, one in schema.items()}
    if "properties" in made and "additionalProperties" not in made:
        made["additionalProperties"] = False
    return made


def validator(name: str, *, strict: bool = False) -> Any:
    """For one message. The strict one allows no field that its schema does not name."""
    kind, fields = copy.deepcopy(DOCUMENT["components"]["messages"][name]["payload"]["allOf"])
    schemas = copy.deepcopy(DOCUMENT["components"]["schemas"])
    if strict:
        while "$ref" in fields:
            fields = schemas[fields["$ref"].rpartition("/")[2]]
        fields = {**fields, "properties": {**kind["properties"], **fields.get("properties", {})}}
        fields, schemas = closed(fields), closed(schemas)
    whole = {"allOf": [kind, fields], "components": {"schemas": schemas}}
    return jsonschema_rs.Draft7Validator(whole)


VALIDATORS = {name: validator(name) for name in (*CLIENT_MESSAGES, *SERVER_MESSAGES)}


def test_the_document_has_the_structure_of_asyncapi_3() -> None:
    errors = jsonschema_rs.Draft7Validator(ASYNCAPI_3).iter_errors(DOCUMENT)
    assert [f"{error.instance_path}: {error.message}" for error in errors] == []
    (channel,) = DOCUMENT["channels"].values()
    assert set(re.findall(r"{(\w+)}", channel["address"])) == set(channel["parameters"])
    assert {each["channel"]["$ref"] for each in DOCUMENT["operations"].values()} == {
        "#/channels/session"
    }


def test_every_reference_leads_somewhere() -> None:
    def references(value: Any) -> set[str]:
        if isinstance(value, list):
            return set().union(*map(references, value))
        if not isinstance(value, dict):
            return set()
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(references, value.values()))

    for reference in references(DOCUMENT):
        at = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            at = at[part]
        assert isinstance(at, dict)


def test_every_message_that_the_codec_knows_is_in_it_and_no_other() -> None:
    assert set(get_args(MessageType)) == SERVER
    assert messages_of("receive") == CLIENT | {INPUT_AUDIO}
    assert messages_of("send") == SERVER | {OUTPUT_AUDIO}
    known = CLIENT | SERVER | {INPUT_AUDIO, OUTPUT_AUDIO}
    assert set(DOCUMENT["components"]["messages"]) == known
    assert set(DOCUMENT["channels"]["session"]["messages"]) == known


# --- the examples of docs/protocol.md ------------------------------------------------------------


def printed() -> list[tuple[str, dict[str, Any]]]:
    """Each message in the page, with who sends it."""
    page = (DOCS / "protocol.md").read_text(encoding="utf-8")
    lines = re.findall(r'^(?:([<>]) )?(\{"type":.+\})$', page, re.MULTILINE)
    inline = re.findall(r'`(\{"type": ?.+?\})`', page)
    found = [(mark or ">", json.loads(text)) for mark, text in lines]
    return found + [(">", json.loads(text)) for text in inline]


def test_every_example_of_the_page_is_a_message_of_the_document() -> None:
    examples = printed()
    assert len(examples) > 40
    for mark, example in examples:
        name = example["type"]
        assert name in (CLIENT if mark == ">" else SERVER)
        if name == "visemes":  # the page leaves most of them out
            example["cues"] = [cue for cue in example["cues"] if cue != "…"]
        validator(name, strict=True).validate(example)


# --- what the codec takes and makes -------------------------------------------------------------

PROGRESS = {"currentQuestion": 1, "totalQuestions": 5, "isComplete": False}
SPAN = frames.StageSpan("stt", "x", 1.0, None, 2.5)
OUTPUTS: tuple[Outgoing, ...] = (
    SessionReady(
        "s",
        WireAudio("mulaw", 8000, 2, "near_field"),
        WireAudio("opus", 48_000),
        {"stt": "x"},
        {"role": "Data Analyst", "model": "auto", **PROGRESS},
        language="de",
        notices=(("no_voice", "no voice here speaks German"),),
        resume="pr_x",
        resumed=Resumed(kept=True, complete=False),
    ),
    SessionReady("s", WireAudio("alaw", 8000), WireAudio("alaw", 8000), {}, None),
    SessionReady(
        "s",
        WireAudio("alaw", 8000),
        WireAudio("alaw", 8000),
        {},
        None,
        resumed=Resumed(kept=False, complete=False),
    ),
    InterviewProgress(PROGRESS),
    GoingAway(100),
    SessionExpires(100),
    ReplyTiming(2, 40, 2**32 - 1),
    frames.AvatarFrame(2, None, "image/jpeg", b"jpeg"),
    frames.AvatarFrame(2, 80, "image/jpeg", b"jpeg"),
    frames.SpeechStarted(1, 20),
    frames.SpeechStopped(1, 20),
    frames.Transcript(1, "hi", final=False),
    frames.Transcript(1, "hi", True, "en", 0.5, (frames.Word("hi", 0, 200),)),
    frames.ReplyStarted(1),
    frames.ReplyText(1, "Hm."),
    frames.Visemes(1, 40, (frames.Viseme(40, 80, "PP", 0.5),)),
    frames.ReplyDone(1, interrupted=True, heard="H"),
    frames.ReplyPaused(1, 20),
    frames.ReplyResumed(1, 20),
    frames.Clear(1, 20),
    frames.ToolCall(1, "call_1_1", "weather", '{"city":"Oslo"}'),
    frames.AvatarState(1, "idle"),
    frames.Degraded(1, "stt", "a", "b", "broke off"),
    frames.TurnMetrics(1, 1000, (SPAN,), 3.5, (frames.StageShare("stt", "x", 3.5),)),
    frames.TurnMetrics(1, 1000, (), None),
    frames.Fault(0, "bad_json", "no", fatal=True),
    LeftOut('{"type":"ready"', 70_000),
)


def test_what_the_codec_makes_is_what_the_document_says_and_nothing_more() -> None:
    dialect = NativeDialect()
    made = [json.loads(text) for output in OUTPUTS for text in dialect.encode(output, 1.0)]
    for t in (1, 1.5, "x", None, True):
        (pong,) = dialect.parse(json.dumps({"type": "ping", "t": t}).encode(), 1.0)
        made.append(json.loads(pong.message))  # type: ignore[union-attr]
    assert {message["type"] for message in made} == SERVER
    for message in made:
        validator(message["type"], strict=True).validate(message)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 2**54) | st.just(1.5) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)
FIELDS = {
    "version": st.sampled_from([1, 1.0, 2, "1"]),
    "text": st.sampled_from(["Hello.", "", " ", "x" * 9000, 3]),
    "turn": st.sampled_from([0, 3, -1, 1.0, 1.5, True, "1"]),
    "ms": st.sampled_from([0, 20, -1]),
    "t": JSON,
    "audio_in": st.fixed_dictionaries(
        {},
        optional={
            "encoding": st.sampled_from(["opus", "pcm_s16le", "mp3", 3]),
            "rate": st.sampled_from([8000, 44_100, 48_000, 96_000, "x"]),
            "channels": st.sampled_from([0, 1, 2, 3]),
            "noise_reduction": st.sampled_from(["near_field", "loud"]),
        },
    ),
    "avatar": st.sampled_from(["off", "frames", "on"]),
    "turn_detection": st.fixed_dictionaries(
        {},
        optional={
            "mode": st.sampled_from(["auto", "manual", "x"]),
            "threshold": st.sampled_from([0, 0.5, 1]),
            "silence_ms": st.sampled_from([99, 100, 10_000, 10_001]),
        },
    ),
    "interview": st.fixed_dictionaries(
        {"role": st.sampled_from(["Data Analyst", 3])},
        optional={"totalQuestions": st.sampled_from([3, 3.5])},
    ),
    "resume": st.fixed_dictionaries({"token": st.just("t")}, optional={"seq": st.integers(0, 3)}),
    "language": st.sampled_from(["de", "tlh", 3]),
    "call_id": st.sampled_from(["c", 3]),
    "result": JSON,
    "error": st.sampled_from(["gone", 3]),
    "tools": st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "name": st.sampled_from(["weather", "no name", 3]),
                "description": st.sampled_from(["The weather.", 3]),
                "parameters": st.sampled_from([{"type": "object"}, []]),
                "timeout_ms": st.sampled_from([99, 100, 1000.0]),
            },
        ),
        max_size=2,
    ),
}
BEYOND_A_SCHEMA = {"text_too_long", "unsupported_audio", "unknown_language"}
"""What depends on more than one field, on bytes, or on what is installed."""


@settings(max_examples=150)
@always("hello", {"version": 1, "turn_detection": {"mode": "auto", "silence_ms": 99}})
@always("hello", {"version": 1, "turn_detection": {"mode": "auto", "silence_ms": 10_001}})
@given(st.sampled_from(sorted(CLIENT)), st.fixed_dictionaries({}, optional=FIELDS))
def test_the_document_allows_what_the_codec_takes(name: str, fields: dict[str, Any]) -> None:
    message = {"type": name, **fields}
    allowed = VALIDATORS[name].is_valid(message)
    code = None
    try:
        parse(json.dumps(message))
    except ProtocolError as error:
        code = error.code
    assert code in BEYOND_A_SCHEMA or allowed == (code is None)


@pytest.mark.parametrize("name", sorted(CLIENT))
def test_a_type_belongs_to_its_message_alone(name: str) -> None:
    other = {"type": "other", "version": 1, "text": "x", "turn": 0, "ms": 0, "call_id": "c"}
    assert not VALIDATORS[name].is_valid(other)
    assert VALIDATORS[name].is_valid({**other, "type": name})
