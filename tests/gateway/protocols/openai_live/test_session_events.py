"""The engine's outputs as events of the Live API: transcripts, their times, and the end."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.protocols.dialect import (
    CloseCode,
    GoingAway,
    InterviewProgress,
    SentenceSpoken,
    SessionExpires,
    SessionOver,
    Start,
)
from gateway.protocols.openai_live.captions import Captions, Fragment
from gateway.protocols.openai_live.timeline import InputTimeline, OutputTimeline
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
    ReplyUsage,
    SpeechStarted,
    SpeechStopped,
    ToolCall,
    Transcript,
    TurnMetrics,
)
from pipeline.ladder import CANNED, DUE, HOLDING
from pipeline.stage import Message
from pipeline.token_usage import TokenUsage
from tests.gateway.protocols.openai_live.live_client import READY, LiveClient, of, words


def started(model: str = "assistant", **session: Any) -> LiveClient:
    return LiveClient(model, **session).start()


def remembered(client: LiveClient) -> tuple[Message, ...]:
    [start] = [command for command in client.commands if isinstance(command, Start)]
    assert start.request.assistant is not None
    return start.request.assistant.history(10**6)


# --- the person ------------------------------------------------------------------------------


def test_words_have_the_place_of_their_speech() -> None:
    client = started()
    client.now = 103.0  # three seconds after the session's start
    client.append(bytes(48 * 2000))  # it was recorded from the first second on
    assert client.hear(SpeechStarted(1, 300), SpeechStopped(1, 1200)) == []
    assert client.hear(Transcript(1, "I like", False)) == []
    [event] = client.hear(Transcript(1, " I like tests ", True))
    assert (event["type"], event["delta"]) == ("session.input_transcript.delta", "I like tests")
    assert (event["start_ms"], event["end_ms"]) == (1300, 2200)
    client.hear(SpeechStarted(2, 1500), SpeechStopped(2, 1900))
    [event] = client.hear(Transcript(2, "And you?", True))
    assert event["delta"] == " And you?"
    assert remembered(client) == (Message("user", " I like tests "), Message("user", "And you?"))


def test_speech_that_goes_on_has_the_place_of_its_beginning() -> None:
    client = started()
    client.append(bytes(48 * 1000))
    client.hear(
        SpeechStarted(1, 100), SpeechStopped(1, 300), TurnMetrics(1, 0, (), None, carried=True)
    )
    client.hear(SpeechStarted(2, 500), SpeechStopped(2, 900))
    [event] = client.hear(Transcript(2, "All of it", True))
    assert event["end_ms"] - event["start_ms"] == 800


def test_what_was_not_understood_is_forgotten() -> None:
    client = started()
    client.append(bytes(48 * 1000))
    client.hear(SpeechStarted(1, 100), SpeechStopped(1, 300), TurnMetrics(1, 0, (), None))
    client.hear(SpeechStarted(2, 500), SpeechStopped(2, 900))
    [event] = client.hear(Transcript(2, "Now", True))
    assert event["end_ms"] - event["start_ms"] == 400


def test_typed_and_empty_words_have_no_place_in_the_audio() -> None:
    client = started()
    assert client.hear(Transcript(1, "typed", True)) == []
    assert client.hear(SpeechStarted(2, 0), SpeechStopped(2, 9), Transcript(2, " ", True)) == []
    assert client.hear(SpeechStarted(3, 0), Transcript(3, "too early", True)) == []
    assert client.hear(SpeechStopped(4, 20)) == []  # without a beginning
    [event] = client.hear(Transcript(4, "late", True))
    assert event["start_ms"] == event["end_ms"]


def test_gaps_between_what_is_appended_are_kept() -> None:
    timeline = InputTimeline()
    assert timeline.at(50) == 50
    timeline.append(100, 1100)
    timeline.append(100, 1210)  # ten milliseconds of the network's
    timeline.append(100, 5000)
    assert [timeline.at(ms) for ms in (0, 150, 199, 200, 250)] == [1000, 1150, 1199, 4900, 4950]
    for second in range(200):  # each with a gap before it
        timeline.append(100, 10_000 + 1000 * second)
    assert timeline.at(0) >= 0


def test_a_clip_that_is_sent_at_once_lies_one_after_the_other() -> None:
    timeline = InputTimeline()
    timeline.append(1000, 100)
    timeline.append(1000, 110)
    assert [timeline.at(ms) for ms in (0, 1000, 1999)] == [0, 1000, 1999]


# --- the reply -------------------------------------------------------------------------------


def test_words_are_shown_with_their_audio() -> None:
    client = started()
    assert client.says(1, "One two three", 0, 300) == []
    first = client.play(1, 0, 100)
    assert [event["type"] for event in first[:2]] == [
        "session.output_audio.delta",
        "session.output_transcript.delta",
    ]
    assert words(first) == [("One", 1000, 1069), (" two", 1092, 1162)]
    assert words(client.play(1, 100, 300)) == [(" three", 1185, 1300)]
    assert words(client.hear(ReplyDone(1, False, "One two three"))) == []
    client.says(2, "Four", 0, 100)
    assert words(client.play(2, 0, 20)) == [(" Four", 1300, 1400)]
    assert remembered(client) == (Message("assistant", "One two three"),)


def test_a_sentence_whose_end_is_not_known_is_shown_once_it_is() -> None:
    client = started()
    client.hear(ReplyStarted(1), ReplyText(1, "One two"))
    assert words(client.play(1, 0, 60)) == []
    assert words(client.hear(SentenceSpoken(1, 0, 100))) == [("One two", 1000, 1100)]


def test_what_was_not_heard_of_an_interrupted_reply_is_not_shown() -> None:
    client = started()
    client.says(1, "One two three four", 0, 400)
    shown = words(client.play(1, 0, 100))
    assert [text for text, _, _ in shown] == ["One", " two"]
    assert client.hear(Clear(1, 80), ReplyDone(1, True, "One")) == []
    assert remembered(client) == (Message("assistant", "One"),)
    client.says(2, "Yes", 0, 100)
    assert words(client.play(2, 0, 20)) == [(" Yes", 1100, 1200)]


def test_a_reply_that_goes_on_after_a_pause_says_no_word_twice() -> None:
    client = started()
    client.says(1, "One two three", 0, 300)
    shown = words(client.play(1, 0, 200))
    assert client.hear(Clear(1, 150), ReplyPaused(1, 150)) == []
    client.now += 1
    assert client.hear(ReplyResumed(1, 100)) == []
    shown += words(client.play(1, 100, 300))
    shown += words(client.hear(ReplyDone(1, False, "One two three")))
    assert "".join(text for text, _, _ in shown) == "One two three"


def test_what_no_voice_can_say_is_shown_between_its_neighbours() -> None:
    client = started()
    client.says(1, "One", 0, 100)
    client.hear(ReplyText(1, "(…)"))
    client.says(1, "two", 100, 200)
    shown = words(client.play(1, 0, 200))
    assert [text for text, _, _ in shown] == ["One", " (…) two"]


def test_a_reply_in_text_alone_is_shown_at_its_end() -> None:
    client = started()
    client.hear(ReplyStarted(1), ReplyText(1, "No voice today."))
    assert words(client.hear(ReplyDone(1, False, "No voice today."))) == [
        ("No voice today.", 1000, 1000)
    ]


def test_what_comes_without_a_place_after_a_spoken_sentence_is_shown_at_its_end() -> None:
    client = started()
    client.says(1, "One", 0, 100)
    client.play(1, 0, 100)
    client.hear(ReplyText(1, "two"))
    assert words(client.hear(ReplyDone(1, False, "One two"))) == [(" two", 1100, 1100)]


def test_captions_without_a_sentence_show_nothing() -> None:
    captions = Captions()
    assert captions.lies(0, 10) == []
    assert captions.play(20) == []
    assert captions.rest("word", 20) == [Fragment("word", 0, 20)]


def test_a_frame_is_heard_behind_the_one_before_it() -> None:
    timeline = OutputTimeline()
    timeline.play(0, 20, 1000)
    timeline.play(20, 20, 1000)
    assert timeline.at(25) == 1025
    timeline.play(40, 20, 1500)  # it came late
    assert timeline.at(45) == 1505
    timeline.stop(1510)
    timeline.play(0, 20, 1512)
    assert timeline.at(0) == 1512


def test_lines_that_are_no_part_of_the_conversation_are_not_remembered() -> None:
    client = started()
    client.hear(Degraded(1, "stt", "a", HOLDING, "late"), ReplyStarted(1))
    client.hear(ReplyText(1, "One moment."), ReplyText(1, "Please wait."))
    client.hear(Transcript(1, "My words", True), ReplyText(1, "I see."))
    client.hear(ReplyDone(1, False, "One moment. Please wait. I see."))
    client.hear(Degraded(2, "llm", "a", CANNED, "down"), ReplyStarted(2), ReplyText(2, "Sorry."))
    client.hear(ReplyDone(2, False, "Sorry."))
    client.hear(Degraded(3, "stt", "a", HOLDING, "late"), ReplyText(3, "One moment."))
    client.hear(ReplyDone(3, True, "One"))
    client.hear(ReplyDone(4, False, "Late."))
    lines = [(line.role, line.content) for line in remembered(client)]
    assert lines == [("user", "My words"), ("assistant", "I see."), ("assistant", "Late.")]


def test_what_a_client_adds_during_a_reply_comes_after_it() -> None:
    client = started()
    client.hear(ReplyStarted(1))
    client.put("Another one")
    client.hear(ReplyDone(1, True, "One two"))
    lines = [line.content for line in remembered(client)]
    assert lines == ["One two", "Another one"]


# --- the session -----------------------------------------------------------------------------


def test_usage_is_told_with_each_turn_and_at_the_end() -> None:
    client = started()
    client.now = 102.9
    [usage] = client.hear(TurnMetrics(1, 800, (), 500.0))
    assert (usage["type"], usage["usage"]) == ("session.usage.updated", {"seconds": 2})
    client.send("session.close", event_id="bye")
    client.now = 103.5
    [closed] = client.hear(SessionOver(CloseCode.FINISHED))
    assert (closed["reason"], closed["client_event_id"]) == ("close_requested", "bye")
    assert closed["usage"] == {"seconds": 3}
    assert closed["session"] == client.started[0]["session"]
    assert client.hear(SessionOver(CloseCode.FINISHED)) == []


def test_the_tokens_of_a_reply_are_told_as_those_of_a_response() -> None:
    client = started()
    client.hear(ReplyUsage(1, TokenUsage(40, 0, estimated=True)), ReplyStarted(1))
    client.hear(ReplyText(1, "Well."), ReplyUsage(1, TokenUsage(38, 9, cached=16)))
    [event] = of(client.hear(ReplyDone(1, False, "Well.")), "response.event")
    assert event["delegation_id"] is None
    assert event["event"]["type"] == "response.completed"
    assert event["event"]["response"]["usage"] == {
        "input_tokens": 38,
        "input_tokens_details": {"cached_tokens": 16},
        "output_tokens": 9,
        "total_tokens": 47,
    }
    assert of(client.hear(ReplyStarted(2), ReplyDone(2, False, "")), "response.event") == []


def test_a_reply_that_was_stopped_unheard_has_taken_tokens_too() -> None:
    client = started()
    client.hear(ReplyUsage(1, TokenUsage(40, 0, estimated=True)))
    event, usage = client.hear(TurnMetrics(1, 800, (), None))
    assert event["event"]["type"] == "response.incomplete"
    assert event["event"]["response"]["usage"]["input_tokens"] == 40
    assert usage["type"] == "session.usage.updated"
    assert of(client.hear(TurnMetrics(1, 800, (), None)), "response.event") == []


@pytest.mark.parametrize(
    "said",
    [
        (ReplyText(1, "One moment, let me see.", filler=True), ReplyText(1, "Yes.")),
        (ReplyText(1, "Yes."), Degraded(1, "llm", "a", DUE, "broke off"), ReplyText(1, "And you?")),
    ],
    ids=["a filler", "a due line"],
)
def test_what_no_model_wrote_is_not_in_the_estimate(said: tuple[Any, ...]) -> None:
    client = started()
    client.hear(ReplyUsage(1, TokenUsage(40, 0, estimated=True)), ReplyStarted(1), *said)
    [event] = of(client.hear(ReplyDone(1, False, "Yes.")), "response.event")
    assert event["event"]["response"]["usage"]["output_tokens"] == 1


def test_of_a_reply_that_called_and_was_cut_off_the_tokens_are_estimated() -> None:
    client = started()
    client.hear(ReplyText(1, "not counted, by no model"))
    client.hear(ReplyUsage(2, TokenUsage(40, 0, estimated=True)), ReplyText(2, "One moment."))
    events = client.hear(ToolCall(2, "c", "f", '{"a":1}'))
    delegation = of(events, "session.delegation.created")[0]["delegation"]
    [event] = of(client.hear(ReplyDone(2, True, "One")), "response.event")
    assert event["delegation_id"] == delegation["id"]
    assert event["event"]["type"] == "response.incomplete"
    assert event["event"]["sequence_number"] == 1
    response = event["event"]["response"]
    assert (response["id"], response["status"]) == (delegation["response_id"], "incomplete")
    usage = response["usage"]
    assert (usage["output_tokens"], usage["estimated"]) == (5, True)  # of 18 characters


ENDS: dict[str, tuple[list[Any], CloseCode, str]] = {
    "restart": ([], CloseCode.RESTARTING, "connection_lost"),
    "hangup": ([], CloseCode.FINISHED, "remote_hangup"),
    "expired": (
        [Fault(0, "session_expired", "over", fatal=True)],
        CloseCode.POLICY,
        "expired",
    ),
}


@pytest.mark.parametrize("name", ENDS)
def test_the_end_has_a_reason(name: str) -> None:
    before, code, reason = ENDS[name]
    client = started()
    client.hear(*before)
    [closed] = client.hear(SessionOver(code))
    assert closed["reason"] == reason


def test_a_session_that_never_started_is_not_closed() -> None:
    client = LiveClient()
    assert client.hear(SessionOver(CloseCode.POLICY), AvatarState(0, "idle")) == []
    [event] = client.hear(Fault(0, "flooding", "too much", fatal=True))
    assert event["error"]["code"] == "flooding"
    client.send("session.start", session={"model": "m"})
    [event] = client.hear(Fault(0, "model_not_found", "none", fatal=True))
    assert event["error"]["code"] == "model_not_found"
    assert client.hear(SessionOver(CloseCode.POLICY)) == []


def test_notices_are_information() -> None:
    client = LiveClient()
    client.send("session.start", session={"model": "m"})
    events = client.hear(replace(READY, notices=(("no_voice", "There is no voice."),)))
    assert [event["type"] for event in events] == ["session.started", "info"]
    events = client.hear(GoingAway(500), SessionExpires(900))
    assert [event["code"] for event in events] == ["going_away", "session_expires"]
    assert client.hear(AvatarState(0, "idle"), InterviewProgress({})) == []


def test_audio_before_the_session_is_sent_as_it_is() -> None:
    client = LiveClient()
    assert of(client.play(0, 0, 20), "session.output_audio.delta")
