"""Whole exchanges: what the engine puts out becomes events in the documented order."""

import base64
import json
from typing import Any

import numpy as np
import pytest

from gateway.protocols.dialect import (
    CommitTurn,
    InterruptReply,
    ProtocolError,
    ReplyTiming,
    Respond,
    SessionReady,
    Start,
    Truncate,
    TypedText,
)
from gateway.protocols.openai_realtime import OpenAiRealtime, dialect, effective_session
from pipeline.frames import (
    AvatarState,
    Clear,
    Degraded,
    Fault,
    ReplyAudio,
    ReplyDone,
    ReplyPaused,
    ReplyResumed,
    ReplyStarted,
    ReplyText,
    ReplyUsage,
    SpeechStarted,
    SpeechStopped,
    ToolCall,
    Transcript,
    TurnMetrics,
)
from pipeline.ladder import CANNED, DUE
from pipeline.stage import Message, ToolRequest
from pipeline.token_usage import TokenUsage
from tests.gateway.protocols.openai_realtime.stock_client import (
    FRAME,
    WIRE,
    StockClient,
    error,
    kinds,
    only,
)

VAD = {"type": "server_vad"}
TRANSCRIBED: dict[str, Any] = {
    "audio": {"input": {"transcription": {"model": "any"}, "turn_detection": VAD}}
}
MANUAL: dict[str, Any] = {
    "audio": {"input": {"transcription": {"model": "any"}, "turn_detection": None}}
}
CLOSING = [
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
]


def metrics(turn: int) -> TurnMetrics:
    return TurnMetrics(turn, 1000, (), None)


def speak(client: StockClient, turn: int, text: str) -> None:
    """The person says something, and the engine begins to think about it."""
    client.hear(
        SpeechStarted(turn, 1000 * turn),
        SpeechStopped(turn, 1000 * turn + 800),
        AvatarState(turn, "thinking"),
        Transcript(turn, text, final=True),
    )


def reply(client: StockClient, turn: int, *sentences: str, ms: int = 400) -> None:
    """The engine begins to reply, and so much of its audio is sent."""
    client.hear(ReplyStarted(turn), AvatarState(turn, "speaking"))
    client.hear(*(ReplyText(turn, sentence) for sentence in sentences))
    client.play_ms(turn, 0, ms)


def finish(client: StockClient, turn: int, heard: str) -> None:
    client.hear(ReplyDone(turn, False, heard), metrics(turn), AvatarState(turn, "idle"))


def test_a_spoken_turn_is_told_in_the_documented_order() -> None:
    client = StockClient(**TRANSCRIBED)
    client.hear(SpeechStarted(1, 1000), AvatarState(1, "listening"))
    client.hear(Transcript(1, "Good", final=False), Transcript(1, "Good morning", final=False))
    client.hear(SpeechStopped(1, 1800), AvatarState(1, "thinking"))
    client.hear(Transcript(1, "Good morning.", final=True))
    reply(client, 1, "Hello.", "How are you?")
    finish(client, 1, "Hello. How are you?")
    assert kinds(client.events) == [
        "session.created",
        "input_audio_buffer.speech_started",
        "conversation.item.input_audio_transcription.delta",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.input_audio_transcription.completed",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
        *CLOSING,
    ]


def test_each_reply_names_its_own_message_with_its_audio() -> None:
    client = StockClient(**TRANSCRIBED)
    for turn in (1, 2):
        speak(client, turn, "Good morning.")
        client.hear(ReplyStarted(turn))
        frame = ReplyAudio(turn, np.ones(480, np.int16), 0.0)
        for _ in range(2):
            [text] = client.dialect.audio(frame, FRAME)
            event = json.loads(text)
            assert text == json.dumps(event, separators=(",", ":"))
            own = event.pop("event_id")
            assert own.startswith("event_")
            assert event == {
                "type": "response.output_audio.delta",
                "response_id": f"resp_{turn}",
                "item_id": client.events[-1]["item_id"],
                "output_index": 0,
                "content_index": 0,
                "delta": base64.b64encode(FRAME).decode(),
            }
        finish(client, turn, "")
    items = [event["item_id"] for event in client.events if "part.added" in event["type"]]
    assert len({*items}) == 2


def test_the_values_of_a_spoken_turn() -> None:
    client = StockClient(**TRANSCRIBED)
    speak(client, 1, "Good morning.")
    reply(client, 1, "Hello.", "How are you?", ms=40)
    finish(client, 1, "Hello. How are you?")
    events = client.events
    began = only(events, "input_audio_buffer.speech_started")
    assert (began["item_id"], began["audio_start_ms"]) == ("item_1", 700)  # 300 ms of padding
    ended = only(events, "input_audio_buffer.speech_stopped")
    assert (ended["item_id"], ended["audio_end_ms"]) == ("item_1", 2300)  # and 500 ms of silence
    committed = only(events, "input_audio_buffer.committed")
    assert (committed["item_id"], committed["previous_item_id"]) == ("item_1", None)
    words = only(events, "conversation.item.input_audio_transcription.completed")
    assert words["transcript"] == "Good morning."
    assert words["usage"] == {"type": "duration", "seconds": 0.8}
    added = [event for event in events if event["type"] == "conversation.item.added"]
    assert [event["previous_item_id"] for event in added] == [None, "item_1"]
    audio = [event["delta"] for event in events if event["type"] == "response.output_audio.delta"]
    assert [base64.b64decode(delta) for delta in audio] == [FRAME, FRAME]
    deltas = [event["delta"] for event in events if "audio_transcript.delta" in event["type"]]
    assert deltas == ["Hello.", " How are you?"]
    response = only(events, "response.done")["response"]
    assert response["status"] == "completed"
    assert response["conversation_id"] == "conv_1"
    assert response["output"] == [
        {
            "id": "item_2",
            "object": "realtime.item",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_audio", "transcript": "Hello. How are you?"}],
        }
    ]
    assert response["usage"]["total_tokens"] == 0  # no model was asked
    assert "estimated" not in response["usage"]
    assert response["audio"]["output"]["format"] == {"type": "audio/pcm", "rate": 24_000}


ASKED = TokenUsage(40, 0, estimated=True)
TOLD = TokenUsage(38, 9, cached=16)


def usage_of(*outputs: Any) -> dict[str, Any]:
    """The usage of the response to what was said in turn 1, with these outputs in it."""
    client = StockClient(**TRANSCRIBED)
    events = client.hear(
        SpeechStarted(1, 1000),
        SpeechStopped(1, 1800),
        Transcript(1, "Hello", True),
        *outputs,
    )
    usage: dict[str, Any] = only(events, "response.done")["response"]["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["input_token_details"]["text_tokens"] == usage["input_tokens"]
    assert usage["output_token_details"]["text_tokens"] == usage["output_tokens"]
    return usage


def test_the_tokens_that_the_models_server_tells_are_those_of_the_response() -> None:
    usage = usage_of(
        ReplyUsage(1, ASKED),
        ReplyStarted(1),
        ReplyText(1, "Well, thank you."),
        ReplyUsage(1, TOLD),
        ReplyDone(1, False, "Well, thank you."),
    )
    assert (usage["input_tokens"], usage["output_tokens"]) == (38, 9)
    assert usage["input_token_details"]["cached_tokens"] == 16
    assert "estimated" not in usage


def test_what_the_server_does_not_tell_is_estimated_and_says_so() -> None:
    said = "Well, thank you. Tell me more."
    cut_off = [Clear(1, 300), ReplyDone(1, True, "Well,"), SpeechStarted(2, 3000)]
    usage = usage_of(ReplyUsage(1, ASKED), ReplyStarted(1), ReplyText(1, said), *cut_off)
    assert (usage["input_tokens"], usage["output_tokens"]) == (40, 8)  # a token for 4 characters
    assert usage["estimated"] is True


@pytest.mark.parametrize(
    "said",
    [
        (ReplyText(1, "One moment, let me see.", filler=True), ReplyText(1, "Yes")),
        (ReplyText(1, "Yes."), Degraded(1, "llm", "a", DUE, "broke off"), ReplyText(1, "And you?")),
    ],
    ids=["a filler", "a due line"],
)
def test_what_no_model_wrote_is_not_in_the_estimate(said: tuple[Any, ...]) -> None:
    usage = usage_of(ReplyUsage(1, ASKED), ReplyStarted(1), *said, ReplyDone(1, False, "Yes."))
    assert (usage["output_tokens"], usage["estimated"]) == (1, True)


def test_what_a_failed_reply_has_taken_is_an_estimate() -> None:
    usage = usage_of(
        ReplyUsage(1, ASKED),
        Degraded(1, "llm", "a", CANNED, "down"),
        ReplyStarted(1),
        ReplyText(1, "Sorry, I lost my thread."),
        ReplyDone(1, False, ""),
    )
    assert (usage["input_tokens"], usage["output_tokens"]) == (40, 0)  # the line is no model's
    assert usage["estimated"] is True


def test_what_was_told_before_the_voice_failed_is_no_estimate() -> None:
    failed = Degraded(1, "tts", "a", CANNED, "down")
    usage = usage_of(ReplyUsage(1, TOLD), failed, ReplyText(1, "Sorry."), ReplyDone(1, False, ""))
    assert (usage["total_tokens"], "estimated" in usage) == (47, False)


def test_another_turns_tokens_are_not_the_responses() -> None:
    usage = usage_of(
        ReplyUsage(0, TOLD),
        ReplyStarted(1),
        ReplyText(1, "Well."),
        ReplyUsage(2, TOLD),
        ReplyDone(1, False, "Well."),
    )
    assert usage["total_tokens"] == 0


def test_words_are_not_shown_where_no_transcription_was_asked_for() -> None:
    client = StockClient()
    speak(client, 1, "Good morning.")
    assert not [event for event in client.events if "transcription" in event["type"]]
    found = client.send("conversation.item.retrieve", item_id="item_1")
    content = only(found, "conversation.item.retrieved")["item"]["content"]
    assert content == [{"type": "input_audio", "transcript": "Good morning."}]


def test_a_partial_that_takes_words_back_is_not_shown() -> None:
    client = StockClient(**TRANSCRIBED)
    client.hear(
        SpeechStarted(1, 0),
        Transcript(1, "I scream", final=False),
        Transcript(1, "Ice", final=False),
        SpeechStopped(1, 900),
        Transcript(1, "Ice cream", final=True),
    )
    deltas = [event["delta"] for event in client.events if event["type"].endswith("ion.delta")]
    assert deltas == ["I scream"]
    words = only(client.events, "conversation.item.input_audio_transcription.completed")
    assert words["transcript"] == "Ice cream"


def test_speech_that_nobody_could_recognise_fails_and_the_reply_goes_on() -> None:
    client = StockClient(**TRANSCRIBED)
    client.hear(SpeechStarted(1, 0), SpeechStopped(1, 900), AvatarState(1, "thinking"))
    client.hear(Degraded(1, "stt", "whisper", "canned line", "nothing was recognised"))
    failed = only(client.events, "conversation.item.input_audio_transcription.failed")
    assert failed["error"]["code"] == "audio_unintelligible"
    reply(client, 1, "Sorry, I did not catch that.")
    finish(client, 1, "Sorry, I did not catch that.")
    assert only(client.events, "response.done")["response"]["status"] == "completed"
    assert history(client, 2) == ()


def test_a_turn_of_nothing_but_echo_fails_with_the_reason_and_ends() -> None:
    client = StockClient(**TRANSCRIBED)
    client.hear(SpeechStarted(1, 0), SpeechStopped(1, 900), AvatarState(1, "thinking"))
    client.hear(Degraded(1, "stt", "whisper", "no text", "echo"), metrics(1))
    client.hear(AvatarState(1, "idle"))
    failed = only(client.events, "conversation.item.input_audio_transcription.failed")
    assert failed["error"]["message"] == "echo"
    assert only(client.events, "response.done")["response"]["output"] == []
    assert history(client, 2) == ()


def test_words_that_come_after_the_holding_line_are_shown_and_answered() -> None:
    client = StockClient(**TRANSCRIBED)
    client.hear(SpeechStarted(1, 0), SpeechStopped(1, 900), AvatarState(1, "thinking"))
    client.hear(Degraded(1, "stt", "whisper", "holding line", "still recognising"))
    client.hear(ReplyStarted(1), ReplyText(1, "One moment."))
    client.hear(Transcript(1, "I like tests", final=True), ReplyText(1, "Why?"))
    finish(client, 1, "One moment. Why?")
    words = only(client.events, "conversation.item.input_audio_transcription.completed")
    assert words["transcript"] == "I like tests"
    response = only(client.events, "response.done")["response"]
    assert response["status"] == "completed"
    assert history(client, 2) == (Message("user", "I like tests"), Message("assistant", "Why?"))


def test_a_holding_line_that_was_cut_off_is_not_remembered() -> None:
    client = StockClient(**TRANSCRIBED)
    client.hear(SpeechStarted(1, 0), SpeechStopped(1, 900), AvatarState(1, "thinking"))
    client.hear(Degraded(1, "stt", "whisper", "holding line", "still recognising"))
    client.hear(ReplyStarted(1), ReplyText(1, "One moment."), ReplyText(1, "Thank you."))
    client.hear(ReplyDone(1, interrupted=True, heard="One moment. Thank"))
    client.hear(TurnMetrics(1, 1000, (), None, carried=True), SpeechStarted(2, 3000))
    assert history(client, 3) == ()
    deleted = only(client.events, "conversation.item.deleted")
    assert deleted["item_id"], "the words belong to the next turn"


def history(client: StockClient, turn: int) -> tuple[Message, ...]:
    (start,) = client.dialect.begin()
    assistant = start.request.assistant  # type: ignore[union-attr]
    assert assistant is not None
    return assistant.history(turn)


def test_a_reply_that_failed_is_told_as_such_and_not_remembered() -> None:
    client = StockClient()
    speak(client, 1, "Hello?")
    client.hear(Degraded(1, "llm", "chat", "canned line", "the server is gone"))
    reply(client, 1, "Sorry, I lost my thread.")
    finish(client, 1, "Sorry, I lost my thread.")
    response = only(client.events, "response.done")["response"]
    assert response["status"] == "failed"
    error = {"type": "server_error", "code": "llm_unavailable"}
    assert response["status_details"] == {"type": "failed", "error": error}
    assert history(client, 2) == (Message("user", "Hello?"),)


def test_the_history_holds_what_was_heard_before_a_turn() -> None:
    client = StockClient()
    speak(client, 1, "Hello?")
    reply(client, 1, "Good morning.")
    assert history(client, 1) == ()
    finish(client, 1, "Good morning.")
    speak(client, 2, "Who are you?")
    expected = (Message("user", "Hello?"), Message("assistant", "Good morning."))
    assert history(client, 2) == expected
    assert history(client, 3) == (*expected, Message("user", "Who are you?"))


# --- barge-in --------------------------------------------------------------------------------


def test_a_barge_in_is_told_before_the_reply_is_closed() -> None:
    client = StockClient()
    speak(client, 1, "Hello?")
    reply(client, 1, "One two three four five.", ms=1000)
    paused = client.hear(Clear(1, 800), ReplyPaused(1, 800), AvatarState(1, "listening"))
    assert paused == []
    assert client.hear(ReplyDone(1, True, "One two three"), metrics(1)) == []
    events = client.hear(SpeechStarted(2, 5000), AvatarState(2, "listening"))
    assert kinds(events) == ["input_audio_buffer.speech_started", *CLOSING]
    response = only(events, "response.done")["response"]
    assert response["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    (message,) = response["output"]
    assert message["status"] == "incomplete"
    assert message["content"] == [{"type": "output_audio", "transcript": "One two three"}]


def test_a_truncation_after_a_barge_in_cuts_what_is_remembered() -> None:
    client = StockClient()
    speak(client, 1, "Hello?")
    reply(client, 1, "One two three four five.", ms=1000)
    client.hear(Clear(1, 800), ReplyDone(1, True, "One two three four"), metrics(1))
    client.hear(SpeechStarted(2, 5000))
    client.taken()
    item = only(client.events, "response.output_item.added")["item"]["id"]
    events = client.send(
        "conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=500
    )
    assert client.taken() == [Truncate(1, 500)]
    (event,) = events
    event.pop("event_id")
    assert event == {
        "type": "conversation.item.truncated",
        "item_id": item,
        "content_index": 0,
        "audio_end_ms": 500,
    }
    assert history(client, 2) == (Message("user", "Hello?"), Message("assistant", "One two"))


def test_a_completed_reply_may_be_truncated_while_the_client_still_plays_it() -> None:
    client = StockClient()
    speak(client, 1, "Hello?")
    reply(client, 1, "One two three four five.", ms=1000)
    finish(client, 1, "One two three four five.")
    item = only(client.events, "response.output_item.added")["item"]["id"]
    client.taken()
    client.send("conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=600)
    assert client.taken() == [Truncate(1, 600)]
    assert history(client, 2)[-1] == Message("assistant", "One two three")


def test_a_reply_under_way_may_be_truncated_before_it_is_closed() -> None:
    client = StockClient()
    speak(client, 1, "Hello?")
    reply(client, 1, "One two three four five.", ms=1000)
    item = only(client.events, "response.output_item.added")["item"]["id"]
    client.send("conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=400)
    client.send("response.cancel")
    client.hear(Clear(1, 800), ReplyDone(1, True, "One two three four"), metrics(1))
    (message,) = only(client.events, "response.done")["response"]["output"]
    assert message["content"][0]["transcript"] == "One two"


def test_after_a_pause_the_repeated_word_counts_as_played_audio() -> None:
    client = StockClient()
    speak(client, 1, "Hello?")
    reply(client, 1, "One two three four five.", ms=1000)
    # The person coughs: the client plays all that it has, and gets the last word once more.
    client.hear(Clear(1, 800), ReplyPaused(1, 800), ReplyResumed(1, 700))
    client.play_ms(1, 700, 1500)
    finish(client, 1, "One two three four five.")
    item = only(client.events, "response.output_item.added")["item"]["id"]
    client.taken()
    for played_ms, heard_ms in ((900, 900), (1100, 1000), (1700, 1400)):
        item_cut = {"item_id": item, "content_index": 0, "audio_end_ms": played_ms}
        client.send("conversation.item.truncate", **item_cut)
        assert client.taken() == [Truncate(1, heard_ms)]
    too_far = client.send("conversation.item.truncate", item_id=item, audio_end_ms=1900)
    assert error(too_far)[:2] == ("invalid_value", "audio_end_ms")


def test_speech_that_goes_on_takes_the_place_of_its_beginning() -> None:
    client = StockClient()
    client.hear(SpeechStarted(1, 1000), SpeechStopped(1, 1800), AvatarState(1, "thinking"))
    events = client.hear(SpeechStarted(2, 2300))  # nothing was recognised yet, nothing replied
    assert kinds(events) == [
        "input_audio_buffer.speech_started",
        "response.done",
        "conversation.item.deleted",
    ]
    assert only(events, "response.done")["response"]["status"] == "cancelled"
    assert only(events, "conversation.item.deleted")["item_id"] == "item_1"
    ended = client.hear(SpeechStopped(2, 3000), Transcript(2, "all of it", final=True))
    assert only(ended, "input_audio_buffer.committed")["previous_item_id"] is None
    assert history(client, 3) == (Message("user", "all of it"),)


def test_a_response_that_never_spoke_is_cancelled_by_speech() -> None:
    client = StockClient()
    speak(client, 1, "Hello?")
    client.hear(metrics(1))
    events = client.hear(SpeechStarted(2, 2300))
    assert kinds(events) == ["input_audio_buffer.speech_started"]
    response = only(client.events, "response.done")["response"]
    assert (response["status"], response["output"]) == ("cancelled", [])


# --- over WebRTC -----------------------------------------------------------------------------


def test_over_webrtc_no_event_carries_audio_and_the_buffer_is_told() -> None:
    client = StockClient(rtp=True)
    speak(client, 1, "Hello?")
    client.hear(ReplyStarted(1), ReplyText(1, "Good morning."))
    assert kinds(client.hear(ReplyTiming(1, 0, 960))) == ["output_audio_buffer.started"]
    assert client.play_ms(1, 0, 400) == []
    events = client.hear(ReplyDone(1, False, "Good morning."), metrics(1))
    assert kinds(events) == [*CLOSING, "output_audio_buffer.stopped"]


def test_over_webrtc_a_barge_in_truncates_by_itself() -> None:
    client = StockClient(rtp=True)
    speak(client, 1, "Hello?")
    reply(client, 1, "One two three four five.", ms=1000)
    client.hear(Clear(1, 800), ReplyPaused(1, 800))
    client.hear(ReplyDone(1, True, "One two three"), metrics(1))
    events = client.hear(SpeechStarted(2, 5000))
    assert kinds(events) == [
        "input_audio_buffer.speech_started",
        *CLOSING,
        "output_audio_buffer.cleared",
        "conversation.item.truncated",
    ]
    assert only(events, "conversation.item.truncated")["audio_end_ms"] == 800


def test_over_webrtc_clearing_the_output_stops_what_is_heard_and_never_fails() -> None:
    client = StockClient(rtp=True)
    assert client.send("output_audio_buffer.clear") == []
    speak(client, 1, "Hello?")
    reply(client, 1, "One two three.", ms=200)
    client.taken()
    assert client.send("output_audio_buffer.clear") == []
    assert client.taken() == [InterruptReply(overtakes=True)]
    events = client.hear(Clear(1, 100), ReplyDone(1, True, "One"), metrics(1))
    assert kinds(events)[-3:] == [
        "response.done",
        "output_audio_buffer.cleared",
        "conversation.item.truncated",
    ]
    assert client.send("output_audio_buffer.clear") == []
    assert client.taken() == []


# --- turns that the client ends --------------------------------------------------------------


def test_a_manual_turn_is_committed_and_then_replied_to() -> None:
    client = StockClient(**MANUAL)
    client.taken()
    client.append(1000)
    client.hear(SpeechStarted(1, 100), AvatarState(1, "listening"))
    client.hear(Transcript(1, "Good", final=False))
    assert client.send("input_audio_buffer.commit") == []
    assert client.send("response.create") == []
    assert client.taken()[-2:] == [CommitTurn(), Respond()]
    client.hear(SpeechStopped(1, 900), AvatarState(1, "thinking"))
    client.hear(Transcript(1, "Good day.", final=True), metrics(1), AvatarState(1, "idle"))
    client.hear(AvatarState(2, "thinking"))
    reply(client, 2, "Hello.")
    finish(client, 2, "Hello.")
    assert kinds(client.events) == [
        "session.created",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.input_audio_transcription.completed",
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
        *CLOSING,
    ]
    assert history(client, 2) == (Message("user", "Good day."),)


def test_a_turn_without_a_reply_has_no_response() -> None:
    detection = {**VAD, "create_response": False}
    client = StockClient(audio={"input": {"turn_detection": detection}})
    speak(client, 1, "Hello?")
    client.hear(metrics(1), AvatarState(1, "idle"))
    assert not [event for event in client.events if event["type"].startswith("response.")]


def test_a_commit_without_speech_is_refused_by_its_event_id() -> None:
    client = StockClient(**MANUAL)
    client.append(300)
    client.send("input_audio_buffer.commit")
    refused = client.hear(Fault(0, "nothing_to_commit", "there is no speech to commit"))
    assert error(refused) == ("input_audio_buffer_commit_empty", None, "client_2")


def test_a_reply_that_the_engine_refuses_is_refused_by_its_event_id() -> None:
    client = StockClient()
    client.hear(SpeechStarted(1, 0))
    client.send("response.create")
    refused = client.hear(Fault(1, "person_speaks", "the person speaks"))
    assert error(refused) == ("response_create_while_person_speaks", None, "client_1")
    assert client.send("response.create") == []  # and the next one is not refused


# --- the interview ---------------------------------------------------------------------------


def test_the_opening_of_an_interview_is_a_response_without_an_item_before_it() -> None:
    client = StockClient("interview")
    client.hear(AvatarState(0, "thinking"))
    reply(client, 0, "Welcome.")
    finish(client, 0, "Welcome.")
    added = only(client.events, "conversation.item.added")
    assert (added["previous_item_id"], added["item"]["role"]) == (None, "assistant")


def test_a_prompt_into_silence_is_a_response() -> None:
    client = StockClient("interview")
    reply(client, 3, "Are you still there?")
    finish(client, 3, "Are you still there?")
    assert only(client.events, "response.done")["response"]["status"] == "completed"


def test_a_typed_answer_is_given_with_the_response() -> None:
    client = StockClient("interview")
    client.taken()
    assert kinds(client.say("First.")) == ["conversation.item.added", "conversation.item.done"]
    client.say("Second.")
    assert client.taken() == []
    client.send("response.create", response={"metadata": {"k": "v"}})
    assert client.taken() == [TypedText("First.\nSecond.")]
    client.hear(AvatarState(1, "thinking"), Transcript(1, "First.\nSecond.", final=True))
    reply(client, 1, "Thank you.")
    assert only(client.events, "response.created")["response"]["metadata"] == {"k": "v"}


def test_a_typed_answer_that_was_deleted_is_not_given() -> None:
    client = StockClient("interview")
    client.say("First.", id="mine")
    client.send("conversation.item.delete", item_id="mine")
    client.taken()
    client.send("response.create")
    assert client.taken() == [Respond()]


def test_a_manual_turn_of_an_interview_is_replied_to_in_the_same_turn() -> None:
    client = StockClient("interview", **MANUAL)
    client.append(1000)
    client.send("input_audio_buffer.commit")
    client.taken()
    client.hear(SpeechStarted(1, 100), SpeechStopped(1, 900), AvatarState(1, "thinking"))
    assert not [event for event in client.events if event["type"] == "response.created"]
    assert kinds(client.send("response.create")) == ["response.created"]
    assert client.taken() == []
    reply(client, 1, "Thank you.")
    finish(client, 1, "Thank you.")
    assert only(client.events, "response.done")["response"]["status"] == "completed"


def test_a_response_asked_for_before_the_manual_turn_has_ended_is_that_turns() -> None:
    client = StockClient("interview", **MANUAL)
    client.append(1000)
    client.send("input_audio_buffer.commit")
    client.send("response.create", response={"metadata": {"k": "v"}})
    client.taken()
    client.hear(SpeechStarted(1, 100), SpeechStopped(1, 900), AvatarState(1, "thinking"))
    assert only(client.events, "response.created")["response"]["metadata"] == {"k": "v"}


def test_a_manual_turn_without_speech_refuses_the_response_that_waited_for_it() -> None:
    client = StockClient("interview", **MANUAL)
    client.append(300)
    client.send("input_audio_buffer.commit")
    client.send("response.create")
    refused = client.hear(Fault(0, "nothing_to_commit", "there is no speech to commit"))
    assert [event["error"]["event_id"] for event in refused] == ["client_2", "client_3"]


# --- text and functions ----------------------------------------------------------------------


def test_a_text_reply_has_text_events() -> None:
    client = StockClient(output_modalities=["text"])
    client.say("Hello?")
    client.send("response.create")
    client.hear(AvatarState(1, "thinking"), ReplyStarted(1))
    client.hear(ReplyText(1, "Good"), ReplyText(1, "morning."))
    client.hear(ReplyDone(1, False, "Good morning."))
    assert kinds(client.events)[3:] == [
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ]
    assert only(client.events, "response.output_text.done")["text"] == "Good morning."
    part = only(client.events, "response.content_part.done")["part"]
    assert part == {"type": "text", "text": "Good morning."}


def test_a_function_call_goes_to_the_client_and_its_result_to_the_model() -> None:
    client = StockClient()
    speak(client, 1, "Weather?")
    client.hear(ToolCall(1, "call_1", "weather", '{"city":"Bonn"}'))
    client.hear(ReplyDone(1, False, ""), metrics(1), AvatarState(1, "idle"))
    since = kinds(client.events).index("response.created")
    assert kinds(client.events)[since:] == [
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ]
    done = only(client.events, "response.output_item.done")["item"]
    assert (done["status"], done["call_id"], done["name"]) == ("completed", "call_1", "weather")
    client.item(type="function_call_output", call_id="call_1", output="rain")
    client.send("response.create")
    assert client.taken()[-1] == Respond()
    call = ToolRequest("call_1", "weather", '{"city":"Bonn"}')
    assert history(client, 2) == (
        Message("user", "Weather?"),
        Message("assistant", "", calls=(call,)),
        Message("tool", "rain", call_id="call_1"),
    )


def test_a_call_beside_spoken_text_is_an_item_of_its_own() -> None:
    client = StockClient()
    speak(client, 1, "Weather?")
    reply(client, 1, "One moment.", ms=40)
    client.hear(ToolCall(1, "call_1", "weather", "{}"))
    finish(client, 1, "One moment.")
    response = only(client.events, "response.done")["response"]
    assert [item["type"] for item in response["output"]] == ["message", "function_call"]
    done = [e for e in client.events if e["type"] == "response.output_item.done"]
    assert [event["output_index"] for event in done] == [1, 0]


def test_a_call_without_a_result_is_not_told_to_the_model() -> None:
    client = StockClient()
    speak(client, 1, "Weather?")
    client.hear(ToolCall(1, "call_1", "weather", "{}"), ReplyDone(1, False, ""), metrics(1))
    assert history(client, 2) == (Message("user", "Weather?"),)


def test_a_request_that_waits_for_a_reply_with_a_call_goes_with_it_when_that_is_cut_off() -> None:
    client = StockClient()
    speak(client, 1, "Weather?")
    reply(client, 1, "Let me look.", ms=200)
    client.hear(ToolCall(1, "call_1", "weather", "{}"))
    client.taken()
    assert client.send("response.create") == []
    assert client.taken() == [Respond(waits=True)]
    client.send("response.cancel")
    events = client.hear(Clear(1, 100), ReplyDone(1, True, "Let me"), metrics(1))
    ended = [e["response"]["status"] for e in events if e["type"] == "response.done"]
    assert ended == ["cancelled", "cancelled"]
    client.taken()
    assert client.send("response.create") == []
    assert client.taken() == [Respond()]


# --- cancelling ------------------------------------------------------------------------------


def test_a_cancelled_reply_ends_with_the_engines() -> None:
    client = StockClient()
    speak(client, 1, "Hello?")
    reply(client, 1, "One two three.", ms=200)
    client.taken()
    assert client.send("response.cancel") == []
    assert client.taken() == [InterruptReply(overtakes=True)]
    events = client.hear(Clear(1, 100), ReplyDone(1, True, "One"), metrics(1))
    assert kinds(events) == CLOSING
    details = only(events, "response.done")["response"]["status_details"]
    assert details == {"type": "cancelled", "reason": "client_cancelled"}
    assert error(client.send("response.cancel")) == (
        "response_cancel_not_active",
        None,
        "client_2",
    )


def test_a_reply_that_was_only_thought_about_ends_when_the_engine_is_idle() -> None:
    client = StockClient()
    client.hear(SpeechStarted(1, 0), SpeechStopped(1, 900), AvatarState(1, "thinking"))
    client.send("response.cancel", response_id="resp_1")
    events = client.hear(AvatarState(1, "idle"))
    assert only(events, "response.done")["response"]["status"] == "cancelled"


def test_a_response_that_has_not_begun_is_withdrawn() -> None:
    client = StockClient()
    client.send("response.create")
    events = client.send("response.cancel")
    assert kinds(events) == ["response.created", "response.done"]
    assert client.taken()[-1] == InterruptReply()


def test_the_end_of_a_reply_is_told_with_the_next_message_where_no_speech_follows() -> None:
    client = StockClient()
    speak(client, 1, "Hello?")
    reply(client, 1, "One two three.", ms=200)
    client.hear(Clear(1, 100), ReplyDone(1, True, "One"), metrics(1))
    events = client.send("response.cancel")
    assert kinds(events) == [*CLOSING, "error"]


# --- the beginning ---------------------------------------------------------------------------


def test_session_created_comes_first_whatever_the_client_sends_before_it() -> None:
    early = OpenAiRealtime(effective_session("any"), new_id=lambda kind: f"{kind}_0")
    update = b'{"type":"session.update","session":{"type":"realtime","instructions":"Be brief."}}'
    (command,) = early.parse(update, 0.0)
    ready = SessionReady("s-2", WIRE, WIRE, {}, None)
    created, updated = early.encode(ready, 0.0)
    assert '"type":"session.created"' in created
    assert '"type":"session.updated"' in updated
    assert command.request.assistant.instructions == "Be brief."  # type: ignore[union-attr]


def test_what_waits_for_session_created_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialect, "MOST_EARLY_BYTES", 2000)
    early = OpenAiRealtime(effective_session("any"), new_id=lambda kind: f"{kind}_0")
    event = b'{"type":"input_audio_buffer.clear"}'
    length = len('{"type":"input_audio_buffer.cleared","event_id":"event_0"}')
    accepted = 2000 // length + 1
    for _ in range(accepted):
        early.parse(event, 0.0)
    with pytest.raises(ProtocolError) as caught:
        early.parse(event, 0.0)
    assert (caught.value.code, caught.value.fatal) == ("too_many_events", True)
    messages = early.encode(SessionReady("s-2", WIRE, WIRE, {}, None), 0.0)
    assert len(messages) == 1 + accepted
    assert early.parse(event, 0.0)


@pytest.mark.parametrize("rtp", [False, True])
def test_a_fault_of_the_server_is_told_and_the_session_goes_on(rtp: bool) -> None:
    client = StockClient(rtp=rtp)
    (event,) = client.hear(Fault(1, "storage_slow", "the answer is still being stored"))
    body = {"type": "server_error", "code": "storage_slow"}
    assert event["error"] == {**body, "message": "the answer is still being stored"}


def test_a_person_who_is_silent_too_long_gets_a_response() -> None:
    detection = {"type": "server_vad", "idle_timeout_ms": 6000}
    client = StockClient(audio={"input": {"turn_detection": detection}})
    [start] = client.taken()
    assert isinstance(start, Start)
    assert start.request.turns.prompt_ms == 6000
    client.append(9000)
    events = client.hear(AvatarState(1, "thinking"))
    assert kinds(events) == [
        "input_audio_buffer.timeout_triggered",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
    ]
    silence = only(events, "input_audio_buffer.timeout_triggered")
    assert (silence["audio_start_ms"], silence["audio_end_ms"]) == (3000, 9000)
    assert only(events, "input_audio_buffer.committed")["item_id"] == silence["item_id"]
    assert client.hear(AvatarState(1, "thinking")) == []
    client.hear(ReplyStarted(1), ReplyText(1, "Still there?"), ReplyDone(1, False, "Still there?"))
    client.send("response.create")  # what is asked for comes of no silence
    assert kinds(client.hear(AvatarState(2, "thinking"))) == ["response.created"]


@pytest.mark.parametrize(
    ("model", "detection"),
    [
        ("assistant", {"type": "server_vad"}),
        ("assistant", {"type": "server_vad", "idle_timeout_ms": 0}),
        ("assistant", {"type": "semantic_vad"}),
        ("interview", {"type": "server_vad", "idle_timeout_ms": 6000}),
    ],
    ids=["left-out", "zero", "semantic", "interview"],
)
def test_without_an_idle_timeout_silence_is_no_event(model: str, detection: Any) -> None:
    client = StockClient(model, audio={"input": {"turn_detection": detection}})
    [start] = client.taken()
    assert isinstance(start, Start)
    assert start.request.turns.prompt_ms is None
    assert kinds(client.hear(AvatarState(1, "thinking"))) == ["response.created"]


def test_over_rtp_the_silence_lies_where_the_session_is() -> None:
    detection = {"type": "server_vad", "idle_timeout_ms": 6000}
    client = StockClient(rtp=True, audio={"input": {"turn_detection": detection}})
    messages = client.dialect.encode(AvatarState(1, "thinking"), 7.5)
    silence = json.loads(messages[0])
    assert (silence["audio_start_ms"], silence["audio_end_ms"]) == (1500, 7500)
