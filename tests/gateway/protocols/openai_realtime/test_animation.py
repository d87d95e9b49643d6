"""Mouth shapes on the channel of OpenAI's events, for front ends of Azure's Voice Live API and of
Hugging Face's speech-to-speech."""

import json
from typing import Any

import pytest

from gateway.protocols.openai_realtime.animation import DELTA, DONE, VISEME_IDS
from gateway.protocols.openai_realtime.animation import VISEMES as CUES_OF
from pipeline.frames import (
    VISEMES,
    ReplyDone,
    ReplyStarted,
    ReplyText,
    SpeechStarted,
    SpeechStopped,
    Transcript,
    Viseme,
    Visemes,
)
from tests.gateway.protocols.openai_realtime.stock_client import StockClient, error, only

CUES = (Viseme(0, 80, "PP", 0.9), Viseme(80, 120, "aa"))
MORE = (Viseme(200, 60, "sil"),)
ASKED = {"outputs": ["viseme_id"]}


def reply(client: StockClient) -> list[dict[str, Any]]:
    """The events of a reply with mouth shapes; OpenAI's types know none of these, so they are not
    checked by them."""
    outputs = (
        SpeechStarted(1, 1000),
        SpeechStopped(1, 1800),
        Transcript(1, "Hello", True),
        ReplyStarted(1),
        ReplyText(1, "Bah."),
        Visemes(1, 0, CUES),
        Visemes(1, 200, MORE),
        ReplyDone(1, False, "Bah."),
    )
    return [json.loads(text) for out in outputs for text in client.dialect.encode(out, 0.0)]


@pytest.mark.parametrize("rtp", [False, True], ids=["websocket", "webrtc"])
def test_a_client_that_asks_for_them_gets_mouth_shapes_with_their_times(rtp: bool) -> None:
    client = StockClient(rtp=rtp, animation=ASKED)
    events = reply(client)
    shapes = [event for event in events if event["type"] == DELTA]
    assert [(shape["viseme_id"], shape["audio_offset_ms"]) for shape in shapes] == [
        (21, 0),
        (2, 80),
        (0, 200),
    ]
    types = [event["type"] for event in events]
    part = types.index("response.content_part.added")
    assert part < types.index(DELTA)
    done = events[types.index(DONE)]
    assert types.index(DONE) < types.index("response.content_part.done")
    assert types.count(DONE) == 1
    message = only(events, "response.done")["response"]["output"][0]
    for event in (*shapes, done):
        assert event["item_id"] == message["id"]
        assert event["response_id"] == only(events, "response.done")["response"]["id"]
        assert (event["output_index"], event["content_index"]) == (0, 0)
        assert event["event_id"].startswith("event_")


@pytest.mark.parametrize("rtp", [False, True], ids=["websocket", "webrtc"])
def test_front_ends_of_speech_to_speech_get_theirs_as_intervals_in_seconds(rtp: bool) -> None:
    client = StockClient(rtp=rtp, animation={"outputs": ["speech_to_speech"]})
    events = reply(client)
    told = [event for event in events if event["type"] == CUES_OF]
    assert [event["visemes"] for event in told] == [
        [
            {"viseme": 21, "start_s": 0.0, "end_s": 0.08},
            {"viseme": 2, "start_s": 0.08, "end_s": 0.2},
        ],
        [{"viseme": 0, "start_s": 0.2, "end_s": 0.26}],
    ]
    types = [event["type"] for event in events]
    assert types.index("response.content_part.added") < types.index(CUES_OF)
    assert not {DELTA, DONE} & set(types)
    response = only(events, "response.done")["response"]
    for event in told:
        assert event["response_id"] == response["id"]
        assert event["item_id"] == response["output"][0]["id"]
        assert (event["output_index"], event["content_index"]) == (0, 0)
        assert event["event_id"].startswith("event_")


def test_a_client_may_have_the_events_of_both() -> None:
    outputs = ["speech_to_speech", "viseme_id"]
    types = [event["type"] for event in reply(StockClient(animation={"outputs": outputs}))]
    assert (types.count(DELTA), types.count(DONE), types.count(CUES_OF)) == (3, 1, 2)


def test_nobody_else_gets_any() -> None:
    types = {event["type"] for event in reply(StockClient())}
    assert types & {DELTA, DONE, CUES_OF} == set()


def test_a_reply_that_is_written_has_no_mouth() -> None:
    both = {"outputs": ["viseme_id", "speech_to_speech"]}
    client = StockClient(animation=both, output_modalities=["text"])
    assert {event["type"] for event in reply(client)} & {DELTA, DONE, CUES_OF} == set()


def test_they_can_be_switched_on_and_off() -> None:
    client = StockClient()
    for wanted, shown in (
        (ASKED, ASKED),
        ({"model_name": "default", **ASKED}, ASKED),
        ({"outputs": []}, None),
        ({"outputs": ["speech_to_speech", "viseme_id"]},) * 2,
        (ASKED, ASKED),
        (None, None),
    ):
        session = {"type": "realtime", "animation": wanted}
        updated = only(client.send("session.update", session=session), "session.updated")
        assert updated["session"].get("animation") == shown
    client.send("session.update", session={"type": "realtime", "animation": ASKED})
    kept = client.send("session.update", session={"type": "realtime", "tracing": "auto"})
    assert only(kept, "session.updated")["session"]["animation"] == ASKED


@pytest.mark.parametrize(
    "outputs",
    [["blendshapes"], ["viseme_id", "viseme_id"], ["speech_to_speech"] * 3, "viseme_id", [7]],
)
def test_what_is_not_to_be_had_is_refused(outputs: Any) -> None:
    session = {"type": "realtime", "animation": {"outputs": outputs}}
    code, param, _ = error(StockClient().send("session.update", session=session))
    assert code == "invalid_value"
    assert (param or "").startswith("session.animation.outputs")


def test_every_shape_has_an_id_of_its_own() -> None:
    assert VISEME_IDS.keys() == set(VISEMES)
    assert len(set(VISEME_IDS.values())) == len(VISEMES)
    assert set(VISEME_IDS.values()) <= set(range(22))
