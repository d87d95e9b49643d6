"""Whatever the engine puts out, in whatever order: responses are whole and items appear once."""

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocols.dialect import ReplyTiming
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
    Visemes,
)
from pipeline.token_usage import TokenUsage
from tests.gateway.protocols.openai_realtime.stock_client import StockClient

TURNS = st.integers(0, 4)
TIMES = st.integers(0, 5000)
TEXTS = st.sampled_from(["", "Yes.", "One two three."])
OUTPUTS = st.one_of(
    st.builds(SpeechStarted, TURNS, TIMES),
    st.builds(SpeechStopped, TURNS, TIMES),
    st.builds(Transcript, TURNS, TEXTS, st.booleans()),
    st.builds(AvatarState, TURNS, st.sampled_from(["idle", "listening", "thinking", "speaking"])),
    st.builds(ReplyStarted, TURNS),
    st.builds(ReplyText, TURNS, TEXTS),
    st.builds(ReplyDone, TURNS, st.booleans(), TEXTS),
    st.builds(ReplyUsage, TURNS, st.sampled_from([TokenUsage(9, 2), TokenUsage(9, 0, True)])),
    st.builds(ReplyPaused, TURNS, TIMES),
    st.builds(ReplyResumed, TURNS, TIMES),
    st.builds(ReplyTiming, TURNS, TIMES, TIMES),
    st.builds(Clear, TURNS, TIMES),
    st.builds(ToolCall, TURNS, st.just("call"), st.just("f"), st.just("{}")),
    st.builds(
        Degraded,
        TURNS,
        st.sampled_from(["stt", "llm", "tts"]),
        st.just("a"),
        st.sampled_from(["canned line", "text"]),
        st.just("why"),
    ),
    st.builds(TurnMetrics, TURNS, st.just(1000), st.just(()), st.none()),
    st.builds(Visemes, TURNS, TIMES, st.just(())),
    st.builds(
        Fault,
        TURNS,
        st.sampled_from(["nothing_to_commit", "reply_under_way", "person_speaks", "not_stored"]),
        st.just("why"),
    ),
    st.tuples(TURNS, TIMES),  # reply audio
    st.sampled_from(["response.create", "response.cancel", "input_audio_buffer.clear", "say"]),
)
SESSIONS: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {},
        {"output_modalities": ["text"]},
        {"audio": {"input": {"turn_detection": None, "transcription": {"model": "any"}}}},
        {"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}},
    ]
)


@settings(max_examples=300)
@given(
    st.sampled_from(["interview", "gpt-realtime"]),
    st.booleans(),
    SESSIONS,
    st.lists(OUTPUTS, max_size=40),
)
def test_every_response_that_is_created_is_done_once(
    model: str, rtp: bool, session: dict[str, Any], outputs: list[Any]
) -> None:
    client = StockClient(model, rtp=rtp, **session)
    for output in outputs:
        match output:
            case (turn, at_ms):
                client.play(turn, at_ms)
            case "say":
                client.say("Hello.")
            case str(kind):
                client.send(kind)
            case _:
                client.hear(output)
    # The person speaks in a turn that is later than all: whatever is open ends.
    client.hear(SpeechStarted(9, 9000))
    _check_responses(client)
    _check_items(client)


def _check_responses(client: StockClient) -> None:
    open_now: set[str] = set()
    for event in client.events:
        kind = event["type"]
        if kind == "response.created":
            assert not open_now, "one at a time"
            open_now.add(event["response"]["id"])
        elif kind == "response.done":
            open_now.remove(event["response"]["id"])
        elif kind.startswith("response."):
            assert event["response_id"] in open_now, "nothing follows response.done"
    assert not open_now
    created = Counter(e["response"]["id"] for e in client.events if e["type"] == "response.created")
    assert set(created.values()) <= {1}


def _check_items(client: StockClient) -> None:
    for stage in ("conversation.item.added", "conversation.item.done"):
        seen = Counter(e["item"]["id"] for e in client.events if e["type"] == stage)
        assert set(seen.values()) <= {1}
    added = [e["item"]["id"] for e in client.events if e["type"] == "conversation.item.added"]
    done = [e["item"]["id"] for e in client.events if e["type"] == "conversation.item.done"]
    assert sorted(added) == sorted(done)
    known: set[str | None] = {None}
    for event in client.events:
        if event["type"] == "conversation.item.added":
            assert event["previous_item_id"] in known
            known.add(event["item"]["id"])
