"""Two hundred conversations that nobody wrote by hand: whatever happens, these things hold.

A person pauses, goes on, interrupts, coughs, types and leaves; stages are slow, fail, stall or give
nothing. Virtual time, so that an hour of it takes seconds.
"""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.frames import (
    Clear,
    ReplyAudio,
    ReplyDone,
    ReplyStarted,
    ReplyText,
    SpeechStarted,
    SpeechStopped,
    Transcript,
    TurnMetrics,
    Visemes,
)
from pipeline.session import SessionPolicy
from pipeline.turns import TurnPolicy
from stages.fakes import FakeResponder, FakeSynthesizer, FakeTranscriber, Script

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("speak"), st.integers(1, 100)),
        st.tuples(st.just("pause"), st.integers(1, 100)),
        st.tuples(st.just("wait"), st.integers(1, 200)),  # no audio at all
        st.tuples(
            st.sampled_from(["type", "interrupt", "commit", "answered", "cough"]), st.just(0)
        ),
    ),
    min_size=3,
    max_size=10,
)
SECONDS = st.sampled_from([0.0, 0.0, 0.0, 0.05, 0.3, 1.0, 1.9])
SCRIPTS = st.lists(
    st.builds(
        lambda first_s, gap_s, fault, after: Script(
            first_s,
            gap_s,
            after,
            error=OSError("gone") if fault == "error" else None,
            stall=fault == "stall",
            end=fault == "end",
        ),
        SECONDS,
        st.sampled_from([0.0, 0.0, 0.1]),
        st.sampled_from([None, None, None, None, "error", "stall", "end"]),
        st.integers(0, 4),
    ),
    min_size=1,
    max_size=6,
)
TEXTS = st.lists(
    st.sampled_from(["I like tests", "let me think", "and", "that was it", "", "yes"]),
    min_size=1,
    max_size=4,
)


@settings(
    max_examples=100,
    derandomize=True,  # the same conversations every time, so that a run's length is known
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    steps=STEPS,
    stt=SCRIPTS,
    llm=SCRIPTS,
    tts=SCRIPTS,
    texts=TEXTS,
    speculate=st.booleans(),
    store_s=st.sampled_from([0.0, 0.0, 0.01, 0.4]),
    mode=st.sampled_from(["auto", "auto", "auto", "manual"]),
)
def test_whatever_happens(
    rooms: Any,
    steps: list[tuple[str, int]],
    stt: list[Script],
    llm: list[Script],
    tts: list[Script],
    texts: list[str],
    speculate: bool,
    store_s: float,
    mode: Any,
) -> None:
    room = rooms()
    room.policy = SessionPolicy(turns=TurnPolicy(mode=mode), speculate=speculate)
    room.host.accept_s = room.host.commit_s = store_s
    room.host.say = ("Thank you for that answer.", "And what did you learn from it?")
    room.transcribers = [FakeTranscriber(*stt, texts=texts, partials=True)]
    room.responders = [FakeResponder(*llm)]
    room.synthesizers = [FakeSynthesizer(*tts, ms_per_word=120)]
    typed: list[str] = []

    async def story() -> None:
        for kind, amount in steps:
            match kind:
                case "speak":
                    await room.speak(amount * 20)
                case "pause":
                    await room.pause(amount * 20)
                case "wait":
                    await asyncio.sleep(amount * 0.02)
                case "type":
                    typed.append(f"typed{len(typed)}")
                    room.session.typed(typed[-1])
                case "interrupt":
                    room.session.interrupt()
                case "commit":
                    room.session.commit()
                case "cough":
                    await room.speak(120)
                    await room.pause(200)
                case _:
                    await room.pause(3000)
        await room.pause(200)

    room.hold(story)  # also: nothing is left running
    assert room.transcribers[0].open_now == 0

    check_epochs(room)
    check_replies(room)
    check_memory(room, typed)
    check_ledger(room)


class Listener(FakeTranscriber):
    """Hears how loud it was: every spoken step has a loudness, and so a word, of its own."""

    def open(self, turn: int, on_partial: Any = None) -> Any:
        recognition = super().open(turn)
        heard: Counter[int] = Counter()

        async def finish() -> Any:
            async for transcript in self.transcripts(turn):
                words = [f"w{level}" for level, frames in heard.items() if level and frames >= 8]
                yield replace(transcript, text=" ".join(words))

        def feed(pcm: Any) -> None:
            for frame in range(0, len(pcm), 320):
                heard[int(pcm[frame])] += 1

        recognition.feed = feed
        recognition.finish = finish
        return recognition


@settings(
    max_examples=100,
    derandomize=True,  # the same conversations every time, so that a run's length is known
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["speak", "pause", "interrupt", "type"]), st.integers(36, 120)),
        min_size=3,
        max_size=12,
    ),
    stt_s=st.sampled_from([0.0, 0.3, 1.5]),
    llm_s=st.sampled_from([0.0, 0.3, 1.5]),
    store_s=st.sampled_from([0.0, 0.01, 0.4]),
    speculate=st.booleans(),
)
def test_nothing_that_was_said_is_lost(
    rooms: Any,
    steps: list[tuple[str, int]],
    stt_s: float,
    llm_s: float,
    store_s: float,
    speculate: bool,
) -> None:
    room = rooms()
    room.policy = SessionPolicy(speculate=speculate)
    room.host.accept_s = room.host.commit_s = store_s
    room.transcribers = [Listener(Script(first_s=stt_s))]
    room.responders = [FakeResponder(Script(first_s=llm_s))]
    said: list[str] = []

    async def story() -> None:
        for number, (kind, amount) in enumerate(steps):
            match kind:
                case "speak":
                    said.append(f"w{4000 + number}")
                    await room.feed(amount * 20, 4000 + number)
                case "pause":
                    await room.pause(amount * 20)
                case "interrupt":
                    room.session.interrupt()
                case _:
                    said.append(f"t{number}")
                    room.session.typed(said[-1])

    room.hold(story)
    accepted = " ".join(entry[2] for entry in room.host.log if entry[0] == "accept").split()
    assert [word for word in said if word not in accepted] == []


def check_epochs(room: Any) -> None:
    """No stale frame is ever sent after its epoch ended."""
    newest = 0
    ended: set[int] = set()
    for _, frame in room.frames:
        if isinstance(frame, SpeechStarted):
            assert frame.turn > newest
            newest = frame.turn
        elif isinstance(frame, ReplyStarted | ReplyText | ReplyAudio | Visemes):
            assert frame.turn not in ended
            assert frame.turn >= newest
            newest = frame.turn
        elif isinstance(frame, ReplyDone):
            assert frame.turn not in ended
            ended.add(frame.turn)
        elif isinstance(frame, Transcript) and not frame.final:
            assert frame.turn >= newest


def check_replies(room: Any) -> None:
    """Every reply that began is closed once; an interrupted one is cleared before."""
    began = [frame.turn for frame in room.all(ReplyStarted)]
    assert began == sorted(set(began))
    assert [frame.turn for frame in room.all(ReplyDone)] == began
    cleared = [frame.turn for frame in room.all(Clear)]
    assert cleared == [frame.turn for frame in room.all(ReplyDone) if frame.interrupted]
    stopped = [frame.turn for frame in room.all(SpeechStopped)]
    assert stopped == sorted(set(stopped))


def check_memory(room: Any, typed: list[str]) -> None:
    """What was said is stored, once and in order; what is remembered is what was heard."""
    accepted = [entry for entry in room.host.log if entry[0] == "accept"]
    committed = [entry for entry in room.host.log if entry[0] == "commit"]
    turns = [entry[1] for entry in accepted]
    assert turns == sorted(set(turns))
    finals = [(t.turn, t.text) for t in room.all(Transcript) if t.final]
    assert finals == [(t, text) for _, t, text in accepted if (t, text) in finals]
    for _, turn, user_text, _ in committed:
        if user_text:
            accept = room.host.log.index(("accept", turn, user_text))
            assert accept < next(
                i for i, e in enumerate(room.host.log) if e[0] == "commit" and e[1] == turn
            )
    said = " ".join(text for _, _, text in accepted)
    for word in typed:
        assert said.split().count(word) == 1, f"{word} was lost or stored twice"
    heard = {frame.turn: frame.heard for frame in room.all(ReplyDone)}
    for _, turn, _, remembered in committed:
        assert heard.get(turn, "").startswith(remembered)


def check_ledger(room: Any) -> None:
    """A turn that was heard says where its time went, in order."""
    for metrics in room.all(TurnMetrics):
        starts = [span.start for span in metrics.stages]
        assert starts[:1] in ([], [0.0])
        if metrics.voice_to_voice_ms is not None:
            assert metrics.voice_to_voice_ms >= 0
