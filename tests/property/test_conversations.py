"""Hundreds of conversations that nobody wrote by hand: whatever happens, these things hold.

A person pauses, goes on, interrupts, coughs, types and leaves; stages are slow, fail, stall or give
nothing. Virtual time, so that an hour of it takes seconds.
"""

import asyncio
import math
from collections import Counter
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.budget import TurnBudget
from pipeline.canned import CannedLines
from pipeline.fillers import Fillers
from pipeline.frames import (
    AvatarState,
    Clear,
    Degraded,
    ReplyAudio,
    ReplyDone,
    ReplyPaused,
    ReplyResumed,
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
from tests.support.examples import examples

MS_PER_WORD = 120

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("speak"), st.integers(1, 100)),
        st.tuples(st.just("pause"), st.integers(1, 100)),
        st.tuples(st.just("wait"), st.integers(1, 200)),  # no audio at all
        st.tuples(st.just("cough"), st.integers(10, 24)),
        st.tuples(
            st.sampled_from(["played", "truncate"]), st.sampled_from([0, 100, 1000, 100_000])
        ),
        st.tuples(
            st.sampled_from(
                [
                    *("type", "interrupt", "commit", "answered", "click", "mm-hm", "silence"),
                    *("reply", "hold", "close", "disk", "respond", "reconfigure"),
                ]
            ),
            st.just(0),
        ),
    ),
    min_size=3,
    max_size=12,
)
TURNS = st.builds(
    TurnPolicy,
    mode=st.sampled_from(["auto", "auto", "auto", "manual"]),
    barge_in_ms=st.sampled_from([500, 500, 100, 2000]),
    barge_in_words=st.sampled_from([0, 0, 1, 2]),
    resume_ms=st.sampled_from([500, 500, 100, 2000]),
    prompt_ms=st.sampled_from([15_000, 15_000, 600, 0]),
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
    st.sampled_from(["I like tests", "let me think", "and", "that was it", "", "yes", "mm-hm"]),
    min_size=1,
    max_size=4,
)


ANYTHING = {
    "steps": STEPS,
    "stt": SCRIPTS,
    "llm": SCRIPTS,
    "tts": SCRIPTS,
    "texts": TEXTS,
    "speculate": st.booleans(),
    "store_s": st.sampled_from([0.0, 0.0, 0.01, 0.4]),
    "close_s": st.sampled_from([0.0, 0.0, 0.2, 3.0]),
    "turns": TURNS,
}


@examples(200)
@given(**ANYTHING)
def test_whatever_happens(conversations: Any, **anything: Any) -> None:
    hold(conversations(), **anything)


@examples(20)
@given(**ANYTHING, hard_s=st.sampled_from([6.0, 2.0]))
def test_whatever_happens_with_fillers(conversations: Any, hard_s: float, **anything: Any) -> None:
    hold_with_fillers(conversations(), hard_s, **anything)


@pytest.mark.slow
@examples(400)
@given(**ANYTHING, hard_s=st.sampled_from([6.0, 2.0]))
def test_whatever_happens_with_fillers_more_often(
    conversations: Any, hard_s: float, **anything: Any
) -> None:
    hold_with_fillers(conversations(), hard_s, **anything)


def hold_with_fillers(conversation: Any, hard_s: float, **anything: Any) -> None:
    """Fillers of 240 ms, and holding lines, which come sooner with a shorter hard limit."""
    conversation.fillers = Fillers()
    lines = CannedLines(opening="Just a", fillers=("Let me", "One moment"))
    conversation.policy = SessionPolicy(target_s=0.4, hard_s=hard_s, canned=lines)
    hold(conversation, **anything)


def hold(
    conversation: Any,
    *,
    steps: list[tuple[str, int]],
    stt: list[Script],
    llm: list[Script],
    tts: list[Script],
    texts: list[str],
    speculate: bool,
    store_s: float,
    close_s: float,
    turns: TurnPolicy,
) -> None:
    """Hold a conversation, and check what has to hold in every one."""
    conversation.policy = replace(conversation.policy, turns=turns, speculate=speculate)
    conversation.host.accept_s = conversation.host.commit_s = store_s
    conversation.host.say = ("Thank you for that answer.", "And what did you learn from it?")
    recogniser = FakeTranscriber(*stt, texts=texts, partials=True)
    responder = FakeResponder(*llm)
    synthesizer = FakeSynthesizer(*tts, ms_per_word=MS_PER_WORD)
    recogniser.transcripts = reluctant(recogniser.transcripts, close_s)  # type: ignore[method-assign]
    responder.reply = reluctant(responder.reply, close_s)  # type: ignore[method-assign]
    synthesizer.speak = reluctant(synthesizer.speak, close_s)  # type: ignore[method-assign]
    conversation.transcribers = [recogniser]
    conversation.responders = [responder]
    conversation.synthesizers = [synthesizer]
    conversation.host.prompts = ("Take your time.",)
    typed: list[str] = []
    budgets: list[TurnBudget] = []

    async def story() -> None:
        for kind, amount in steps:
            match kind:
                case "speak":
                    await conversation.speak(amount * 20)
                case "pause":
                    await conversation.pause(amount * 20)
                case "wait":
                    await asyncio.sleep(amount * 0.02)
                case "type":
                    typed.append(f"typed{len(typed)}")
                    conversation.session.typed(typed[-1])
                case "interrupt":
                    conversation.session.interrupt()
                case "commit":
                    conversation.session.commit()
                case "click":
                    await conversation.speak(120)
                    await conversation.pause(200)
                case "cough":
                    await conversation.speak(amount * 20)
                    await conversation.pause(turns.resume_ms + 100)
                case "reply":
                    for _ in range(300):
                        if len(conversation.all(ReplyStarted)) > len(conversation.all(ReplyDone)):
                            break
                        await conversation.pause(20)
                case "hold":
                    paused = len(conversation.all(ReplyPaused))
                    for _ in range(20):
                        if len(conversation.all(ReplyPaused)) > paused:
                            break
                        await conversation.speak(20)
                case "played":
                    conversation.session.played(newest(conversation), amount)
                case "truncate":
                    conversation.session.truncate(newest(conversation), amount)
                case "respond":
                    conversation.session.respond()
                case "reconfigure":
                    replying = conversation.session.policy.turns.replies
                    conversation.session.reconfigure(replace(turns, replies=not replying))
                case "close":
                    conversation.host.closes = not conversation.host.closes
                case "disk":
                    conversation.host.error = (
                        None if conversation.host.error else OSError("disk full")
                    )
                case "mm-hm":
                    await conversation.speak(700)
                    await conversation.pause(600)
                case "silence":
                    await conversation.pause(16_000)
                case _:
                    await conversation.pause(3000)
        await conversation.pause(200)
        if left_in_peace:
            conversation.host.error = None
            await conversation.pause(40_000)

    kinds = {kind for kind, _ in steps}
    left_in_peace = turns.mode == "auto" and turns.prompt_ms == 0 and "close" not in kinds

    def budget(*arguments: Any, **options: Any) -> TurnBudget:
        budgets.append(TurnBudget(*arguments, **options))
        return budgets[-1]

    with mock.patch("pipeline.replies.TurnBudget", budget):
        conversation.run(story)  # also: nothing is left running, and the journal replays
    assert recogniser.open_now == 0
    assert not left_in_peace or conversation.all(AvatarState)[-1].state == "idle"

    check_epochs(conversation)
    check_replies(conversation)
    check_memory(conversation, [] if kinds & {"close", "disk"} else typed)
    # A synthesizer that leaves out half is believed, and so is a client.
    if not kinds & {"played", "truncate"} and not any(script.end for script in tts):
        check_ears(conversation)
    check_ledgers(conversation, budgets)


def reluctant(call: Any, close_s: float) -> Any:
    """The call, but its stream takes so long to close."""

    async def begin(*arguments: Any) -> Any:
        stream = call(*arguments)
        try:
            async for item in stream:
                yield item
        finally:
            await stream.aclose()
            if close_s:
                await asyncio.sleep(close_s)

    return begin


def newest(conversation: Any) -> int:
    return max((frame.turn for frame in conversation.all(ReplyStarted)), default=0)


class Listener(FakeTranscriber):
    """Hears how loud it was: every spoken step has a loudness, and so a word, of its own."""

    def open(self, turn: int, on_partial: Any = None, hints: Any = (), language: Any = None) -> Any:
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
    conversations: Any,
    steps: list[tuple[str, int]],
    stt_s: float,
    llm_s: float,
    store_s: float,
    speculate: bool,
) -> None:
    conversation = conversations()
    conversation.policy = SessionPolicy(speculate=speculate)
    conversation.host.accept_s = conversation.host.commit_s = store_s
    conversation.transcribers = [Listener(Script(first_s=stt_s))]
    conversation.responders = [FakeResponder(Script(first_s=llm_s))]
    said: list[str] = []

    async def story() -> None:
        for number, (kind, amount) in enumerate(steps):
            match kind:
                case "speak":
                    said.append(f"w{4000 + number}")
                    await conversation.feed(amount * 20, 4000 + number)
                case "pause":
                    await conversation.pause(amount * 20)
                case "interrupt":
                    conversation.session.interrupt()
                case _:
                    said.append(f"t{number}")
                    conversation.session.typed(said[-1])

    conversation.run(story)
    accepted = " ".join(entry[2] for entry in conversation.host.log if entry[0] == "accept").split()
    assert [word for word in said if word not in accepted] == []


def check_epochs(conversation: Any) -> None:
    """No stale frame is ever sent after its epoch ended."""
    newest = 0
    ended: set[int] = set()
    for _, frame in conversation.frames:
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


def check_replies(conversation: Any) -> None:
    """Every reply that began is closed once; a cleared one is silent unless it goes on; a pause is
    over before the next one."""
    began = [frame.turn for frame in conversation.all(ReplyStarted)]
    assert began == sorted(set(began))
    assert [frame.turn for frame in conversation.all(ReplyDone)] == began
    silent: set[int] = set()
    paused: set[int] = set()
    for _, frame in conversation.frames:
        match frame:
            case Clear(turn):
                assert turn not in silent
                silent.add(turn)
            case ReplyPaused(turn):
                assert turn in silent
                assert not paused
                paused.add(turn)
            case ReplyResumed(turn):
                silent.remove(turn)
                paused.remove(turn)
            case ReplyAudio(turn):
                assert turn not in silent
            case ReplyDone(turn, interrupted):
                assert turn in silent or not interrupted  # nothing but silence may be cleared
                paused.discard(turn)
    assert not paused
    stopped = [frame.turn for frame in conversation.all(SpeechStopped)]
    assert stopped == sorted(set(stopped))


def check_memory(conversation: Any, typed: list[str]) -> None:
    """What was said is stored, once and in order; what is remembered is what was heard."""
    accepted = [entry for entry in conversation.host.log if entry[0] == "accept"]
    committed = [entry for entry in conversation.host.log if entry[0] == "commit"]
    turns = [entry[1] for entry in accepted]
    assert turns == sorted(set(turns))
    finals = [(t.turn, t.text) for t in conversation.all(Transcript) if t.final]
    assert finals == [(t, text) for _, t, text in accepted if (t, text) in finals]
    for _, turn, user_text, _ in committed:
        if user_text:
            accept = conversation.host.log.index(("accept", turn, user_text))
            assert accept < next(
                i for i, e in enumerate(conversation.host.log) if e[0] == "commit" and e[1] == turn
            )
    for index, entry in enumerate(conversation.host.log):
        if entry[0] == "correct":
            # A turn without a reply leaves the reply before it correctable.
            replied = [
                other[1]
                for other in conversation.host.log[:index]
                if other[0] == "commit" and (other[3] or other[1] == entry[1])
            ]
            assert max(replied) == entry[1], "corrected too early or too late"
    said = " ".join(text for _, _, text in accepted)
    for word in typed:
        assert said.split().count(word) == 1, f"{word} was lost or stored twice"
    heard = {frame.turn: frame.heard for frame in conversation.all(ReplyDone)}
    waited = {f.turn for f in conversation.all(Degraded) if f.target in ("filler", "holding line")}
    for _, turn, _, remembered in committed:
        if turn in waited:  # what filled the wait was heard before it, and is not remembered
            assert remembered in heard.get(turn, "")
        else:
            assert heard.get(turn, "").startswith(remembered)


def check_ears(conversation: Any) -> None:
    """What a reply is said to have been heard is what a client that plays it has played."""
    spoilt = {frame.turn for frame in conversation.all(Degraded)}
    ears = Ears()
    for at, frame in conversation.frames:
        match frame:
            case ReplyAudio(turn, pcm, at_ms):
                ears.play(turn, at, at_ms, len(pcm) // 16)
            case Clear():
                ears.clear(at)
            case ReplyDone(turn, _, heard) if turn not in spoilt:
                position = ears.position_ms(turn, at)
                words = len(heard.split())
                assert words * MS_PER_WORD <= position + 1
                assert position - 1 < (words + 1) * MS_PER_WORD


class Ears:
    """A client that plays what comes, in order, from when it comes."""

    def __init__(self) -> None:
        self.played: dict[int, list[tuple[float, int, int]]] = {}  # from when, where, how long
        self.free_at = 0.0

    def play(self, turn: int, at: float, at_ms: int, duration_ms: int) -> None:
        begins = max(at, self.free_at)
        self.free_at = begins + duration_ms / 1000
        self.played.setdefault(turn, []).append((begins, at_ms, duration_ms))

    def clear(self, at: float) -> None:
        for turn, parts in self.played.items():
            self.played[turn] = [
                (begins, at_ms, min(duration_ms, round((at - begins) * 1000)))
                for begins, at_ms, duration_ms in parts
                if begins < at
            ]
        self.free_at = at

    def position_ms(self, turn: int, at: float) -> float:
        return max(
            (
                at_ms + min(duration_ms, (at - begins) * 1000)
                for begins, at_ms, duration_ms in self.played.get(turn, [])
                if begins < at
            ),
            default=0.0,
        )


def check_ledgers(conversation: Any, budgets: list[TurnBudget]) -> None:
    """The shares of a turn's stages add up to its voice-to-voice time, and none is negative."""
    for metrics in conversation.all(TurnMetrics):
        starts = [span.start for span in metrics.stages]
        assert starts[:1] in ([], [0.0])
    heard = [budget for budget in budgets if budget.voice_to_voice_s is not None]
    assert len(
        [m for m in conversation.all(TurnMetrics) if m.voice_to_voice_ms is not None]
    ) == len(heard)
    for metrics in conversation.all(TurnMetrics):
        shares = [share.ms for share in metrics.shares]
        assert round(math.fsum(shares), 1) == (metrics.voice_to_voice_ms or 0.0)
        assert min(shares, default=1) > 0
