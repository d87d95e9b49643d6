"""The Python client reads every message of the gateway, and says what it cannot read."""

import json
import re
from dataclasses import fields

import parley_client
import pytest
from parley_client.events import CLASSES, Unknown, decoded
from parley_client.options import Options
from parley_client.wishes import Wishes

from tests.support.paths import ROOT

WHOLE_SESSION = re.findall(r"^< (\{.*\})$", (ROOT / "docs/protocol.md").read_text(), re.MULTILINE)


def test_every_message_of_the_documented_session_is_an_event_of_its_kind() -> None:
    assert len(WHOLE_SESSION) > 30
    for line in WHOLE_SESSION:
        text = line.replace(',"…"', "")  # the documentation leaves cues out
        event, seq = decoded(text)
        assert type(event) is CLASSES[json.loads(text)["type"]]
        assert seq == json.loads(text)["seq"]


def test_the_classes_are_those_of_the_documented_messages() -> None:
    text = (ROOT / "docs/protocol.md").read_text()
    table = text.partition("## From the server")[2].partition("\n### ")[0]
    rows = re.findall(r"^\| ((?:`[a-z.]+`(?:, )?)+|`[a-z_.]+`) \|", table, re.MULTILINE)
    documented = {name for row in rows for name in re.findall(r"`([a-z._]+)`", row)}
    assert documented - {"reply.audio"} == set(CLASSES)  # over WebRTC only


def test_from_is_a_field_with_an_underscore() -> None:
    event, _ = decoded(
        '{"type":"degraded","seq":3,"turn":1,"stage":"tts","from":"a","to":"b","reason":"c"}'
    )
    assert event == parley_client.Degraded(stage="tts", from_="a", to="b", reason="c", turn=1)


def test_what_a_newer_gateway_adds_breaks_nothing() -> None:
    event, seq = decoded('{"type":"reply.text","seq":7,"turn":1,"text":"Hi","colour":"red"}')
    assert (event, seq) == (parley_client.ReplyText(1, "Hi"), 7)
    event, seq = decoded('{"type":"weather","seq":8,"rain":true}')
    assert (event, seq) == (Unknown("weather", {"type": "weather", "seq": 8, "rain": True}), 8)


def test_a_binary_message_is_reply_audio_without_a_number() -> None:
    assert decoded(b"\1\2") == (parley_client.ReplyAudio(b"\1\2"), None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "has no type"),
        ('{"type":3}', "has no type"),
        ('{"type":"pong","seq":"1","now":1}', "seq of pong"),
        ('{"type":"pong","seq":true,"now":1}', "seq of pong"),
        ('{"type":"reply.text","turn":1}', "reply.text has no text"),
        ('{"type":"reply.text","turn":1,"text":null}', "text of reply.text"),
        ('{"type":"reply.text","turn":true,"text":""}', "turn of reply.text"),
        ('{"type":"visemes","turn":1,"start_ms":0,"cues":[1]}', "cues of visemes"),
        ('{"type":"ready","session_id":"a","audio_in":[]}', "audio_in of ready"),
    ],
    ids=lambda value: value[:24],
)
def test_what_is_no_message_is_refused_in_words(text: str, problem: str) -> None:
    with pytest.raises(parley_client.MessageError, match=problem):
        decoded(text)


def test_connect_takes_exactly_the_options() -> None:
    assert set(Wishes.__annotations__) == {field.name for field in fields(Options)}


def test_hello_has_only_what_was_wished_for() -> None:
    assert Options().hello(None, 0) == {
        "type": "hello",
        "version": 1,
        "audio_in": {"encoding": "pcm_s16le", "rate": 16_000},
        "audio_out": {"encoding": "pcm_s16le", "rate": 16_000},
        "avatar": "visemes",
    }
    wishes = Options(role="Data Analyst", questions=3, language="de", ticket="t")
    assert wishes.hello(None, 0)["interview"] == {"role": "Data Analyst", "totalQuestions": 3}
    assert wishes.hello(None, 0)["ticket"] == "t"
    alone = Options(questions=1).hello(None, 0)["interview"]
    assert alone == {"role": "Software Engineer", "totalQuestions": 1}
    back = wishes.hello("pr_1", 41)
    assert (back["resume"], "ticket" in back) == ({"token": "pr_1", "seq": 41}, False)
