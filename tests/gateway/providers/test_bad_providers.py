"""Providers that misbehave, in a live call: what people get, and what breakers hear.

The provider is a real process, so these calls are held in real time, but without a server; the
provider behind it is scripted. How long the silence may be at
most is proved in virtual time, see `tests/pipeline/test_hard_limit.py`.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pipeline.breaker import Breaker, Outcome
from pipeline.canned import CannedLines
from pipeline.guard import Candidate, Guard, Limits
from pipeline.ladder import DUE
from pipeline.session import Stages
from stages.fakes import FakeSynthesizer, FakeTranscriber
from stages.llm.openai import OpenAIResponder
from stages.llm.scripted import ScriptedInterviewer
from stages.stt.openai import OpenAITranscriber
from stages.tts.openai import OpenAISynthesizer
from tests.support.breakers import Recorder
from tests.support.calls import LocalCalls

pytestmark = pytest.mark.slow  # its servers keep their callers waiting

SUCCESS, FAILURE, NEUTRAL = Outcome.SUCCESS, Outcome.FAILURE, Outcome.NEUTRAL
CANNED = CannedLines()
QUESTION = "How do you approach debugging an issue that you cannot reproduce?"

PATIENT = Limits(first_s=10, slow_first_s=10, stall_s=0.2, total_s=10)
STERN = Limits(first_s=0.3, slow_first_s=0.2, stall_s=0.2, total_s=2)
UNLIMITED = Limits(first_s=60, slow_first_s=60, stall_s=60, total_s=60)


class Bench:
    """Calls with one provider of the fake server, and with or without another behind it."""

    def __init__(self, local: LocalCalls, url: str) -> None:
        self.local = local
        self.url = url
        self.breaker = Recorder()

    def put(
        self,
        slot: str,
        model: str,
        limits: Limits = PATIENT,
        *,
        alone: bool = False,
        **options: Any,
    ) -> None:
        make: dict[str, Callable[..., Any]] = {
            "stt": OpenAITranscriber,
            "llm": OpenAIResponder,
            "tts": OpenAISynthesizer,
        }
        voice = ("alloy",) if slot == "tts" else ()
        self.stage = make[slot](self.url, model, *voice, **options)
        fakes: dict[str, Any] = {
            "stt": FakeTranscriber(texts=("I like to build things that last",)),
            "llm": ScriptedInterviewer(),
            "tts": FakeSynthesizer(ms_per_word=2),
        }
        candidates = {
            name: [Candidate(stage.provider, stage, Breaker(), UNLIMITED)]
            for name, stage in fakes.items()
        }
        tested = Candidate(self.stage.provider, self.stage, self.breaker, limits)
        candidates[slot] = [tested] if alone else [tested, *candidates[slot]]
        stages = Stages(
            self.local.detector,
            Guard("stt", candidates["stt"]),
            Guard("llm", candidates["llm"]),
            Guard("tts", candidates["tts"]),
        )
        self.local.stages = lambda: stages

    def hold(self, story: Callable[[Any], Any]) -> None:
        async def main() -> None:
            async with self.local.call() as caller:
                try:
                    await story(caller)
                finally:
                    await self.stage.aclose()

        self.local.run_in_real_time(main)

    def talk(self, *, spoken: bool = False) -> Any:
        """Two answers, each heard out to the end of its reply."""
        collected: list[Any] = []

        async def story(caller: Any) -> None:
            collected.append(caller)
            await caller.say(type="hello", version=1)
            await caller.until("reply.done", turn=0)
            for turn in (1, 2):
                if spoken:
                    await caller.speak()
                else:
                    await caller.say(type="text", text=f"this is what I think, {turn}")
                await caller.until("reply.done", turn=turn)
                await caller.until("turn.metrics", turn=turn)

        self.hold(story)
        return collected[0]


@pytest.fixture
def bench(peer: Any) -> Bench:
    local = LocalCalls()
    local.settings |= {"speculate": "off", "budget_ms": 1000}
    return Bench(local, peer.url)


def heard(caller: Any, turn: int) -> str:
    [done] = [m for m in caller.messages if m["type"] == "reply.done" and m["turn"] == turn]
    return str(done["heard"])


def answered(caller: Any) -> bool:
    """Whether both answers were replied to, each with its own words."""
    first, second = heard(caller, 1), heard(caller, 2)
    canned = {CANNED.unheard, CANNED.speechless, CANNED.unsaved, ""}
    return first != second and not canned & {first, second}


def degraded(caller: Any, turn: int) -> list[tuple[str, str, str]]:
    events = (m for m in caller.messages if m["type"] == "degraded" and m["turn"] == turn)
    return [(m["stage"], m["to"], m["reason"]) for m in events]


# --- the next candidate ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "limits", "outcome", "reason"),
    [
        ("json", PATIENT, FAILURE, "malformed answer"),
        ("no-text", PATIENT, FAILURE, "malformed answer"),
        ("line", PATIENT, FAILURE, "malformed answer"),
        ("pages", PATIENT, FAILURE, "malformed answer"),
        ("empty", PATIENT, FAILURE, "empty answer"),
        ("tools", PATIENT, FAILURE, "empty answer"),
        ("thought", PATIENT, FAILURE, "empty answer"),
        ("broken", PATIENT, FAILURE, "server error (HTTP 500)"),
        ("busy", PATIENT, FAILURE, "at capacity"),
        ("missing", PATIENT, NEUTRAL, "refused the request (HTTP 404)"),
        ("silent", STERN, FAILURE, "too slow to begin"),
        ("keep-alive", STERN, FAILURE, "too slow to begin"),
        ("thinks", STERN, FAILURE, "too slow to begin"),
        ("bytewise", STERN, FAILURE, "too slow to begin"),
    ],
)
def test_a_model_that_says_nothing_of_use_gives_way(
    bench: Bench, model: str, limits: Limits, outcome: Outcome, reason: str
) -> None:
    bench.put("llm", model, limits)
    caller = bench.talk()
    assert degraded(caller, 1) == degraded(caller, 2) == [("llm", "scripted", reason)]
    assert answered(caller)
    asked = 1 if model == "busy" else 3  # it said when to come back: after these turns
    assert bench.breaker.settled == [outcome] * asked


@pytest.mark.parametrize(
    ("model", "limits", "outcome", "reason"),
    [
        ("list", PATIENT, FAILURE, "malformed answer"),
        ("long", PATIENT, FAILURE, "malformed answer"),
        ("error", PATIENT, FAILURE, "broke off"),
        ("sse-eof", PATIENT, FAILURE, "broke off"),
        ("missing", PATIENT, NEUTRAL, "refused the request (HTTP 404)"),
        ("silent", STERN, FAILURE, "too slow to begin"),
    ],
)
def test_a_recogniser_that_cannot_tell_gives_way(
    bench: Bench, model: str, limits: Limits, outcome: Outcome, reason: str
) -> None:
    bench.put("stt", model, limits, stream=model.startswith("sse"))
    caller = bench.talk(spoken=True)
    assert degraded(caller, 1) == degraded(caller, 2) == [("stt", "fake-stt", reason)]
    assert answered(caller)
    assert bench.breaker.settled == [outcome] * 2


@pytest.mark.parametrize(
    ("model", "limits", "outcome", "reason"),
    [
        ("json", PATIENT, FAILURE, "malformed answer"),
        ("html", PATIENT, FAILURE, "malformed answer"),
        ("page", PATIENT, FAILURE, "malformed answer"),
        ("mp3", PATIENT, FAILURE, "malformed answer"),
        ("wav-16k", PATIENT, FAILURE, "malformed answer"),
        ("rate", PATIENT, FAILURE, "malformed answer"),
        ("empty", PATIENT, FAILURE, "empty answer"),
        ("broken", PATIENT, FAILURE, "server error (HTTP 500)"),
        ("busy", PATIENT, FAILURE, "at capacity (HTTP 429)"),
        ("missing", PATIENT, NEUTRAL, "refused the request (HTTP 404)"),
        ("silent", STERN, FAILURE, "too slow to begin"),
        ("bytewise", STERN, FAILURE, "too slow to begin"),
    ],
)
def test_a_voice_that_is_not_what_it_promised_is_never_heard(
    bench: Bench, model: str, limits: Limits, outcome: Outcome, reason: str
) -> None:
    bench.put("tts", model, limits)
    caller = bench.talk()
    told = [event for turn in (0, 1, 2) for event in degraded(caller, turn)]
    # When the breaker has opened, the voice behind it is the one that is asked.
    assert {event[:2] for event in told} == {("tts", "fake-tts")}
    assert told[0][2] == reason
    assert {event[2] for event in told} <= {reason, "at capacity", "circuit open"}
    assert answered(caller)
    assert set(bench.breaker.settled) == {outcome}
    words = sum(len(heard(caller, turn).split()) for turn in (0, 1, 2))
    assert len(caller.audio) == pytest.approx(words * 2 * 32, rel=0.1)


@pytest.mark.parametrize("slot", ["stt", "llm", "tts"])
def test_no_client_reads_what_a_server_says_and_the_log_does(
    bench: Bench, slot: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "pipeline.guard")
    bench.put(slot, "back-soon", alone=True)
    caller = bench.talk(spoken=slot == "stt")
    told = [m["reason"] for m in caller.messages if m["type"] == "degraded"]
    assert told[0] == f"{slot} provider {bench.stage.provider!r}: server error (HTTP 500)"
    assert "out of memory" not in str(caller.messages)
    assert "HTTP 500: out of memory" in caplog.text


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("malformed", "malformed answer"),
        ("error", "broke off"),
        ("eof", "broke off"),
        ("reset", "broke off"),
        ("stall", "stalled"),
    ],
)
def test_a_reply_that_breaks_off_before_its_first_sentence_gives_way(
    bench: Bench, model: str, reason: str
) -> None:
    bench.put("llm", model)
    caller = bench.talk()
    assert answered(caller)
    for turn in (1, 2):
        assert degraded(caller, turn) == [("llm", "scripted", reason)]
    assert bench.breaker.settled == [FAILURE] * 3


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("tool-text", "empty answer"),
        ("refusal", "refused to answer"),
        ("refusal-stop", "refused to answer"),
        ("refusal-field", "refused to answer"),
    ],
)
def test_a_model_that_refuses_or_writes_a_call_does_not_lose_the_question(
    bench: Bench, model: str, reason: str
) -> None:
    bench.put("llm", model)
    caller = bench.talk()
    assert answered(caller)
    assert degraded(caller, 1) == degraded(caller, 2) == [("llm", "scripted", reason)]


@pytest.mark.parametrize(
    ("model", "reason"),
    [("cut", "cut at its token limit"), ("filtered", "its content is filtered")],
)
def test_the_question_follows_in_the_same_turn_where_the_reply_was_cut(
    bench: Bench, model: str, reason: str
) -> None:
    bench.put("llm", model)
    caller = bench.talk()
    for turn in (1, 2):
        lead, question = heard(caller, turn).split(". ", 1)
        assert lead == "Thank you for that"
        assert "Before we" not in question
        assert degraded(caller, turn) == [("llm", DUE, reason)]
    assert heard(caller, 1) != heard(caller, 2)
    assert bench.breaker.settled == [NEUTRAL] * 3


# --- nobody behind it ------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "limits"), [("silent", STERN), ("empty", PATIENT)])
def test_without_anybody_behind_it_a_canned_line_answers(
    bench: Bench, model: str, limits: Limits
) -> None:
    bench.put("llm", model, limits, alone=True)
    caller = bench.talk()
    assert [heard(caller, turn) for turn in (1, 2)] == [CANNED.speechless] * 2
    assert [target for _, target, _ in degraded(caller, 1)] == ["canned line"]


@pytest.mark.parametrize(("model", "limits"), [("silent", STERN), ("nothing", PATIENT)])
def test_who_was_not_understood_is_asked_again(bench: Bench, model: str, limits: Limits) -> None:
    bench.put("stt", model, limits, alone=True)
    caller = bench.talk(spoken=True)
    assert [heard(caller, turn) for turn in (1, 2)] == [CANNED.unheard] * 2
    assert [target for _, target, _ in degraded(caller, 1)] == ["canned line"]


@pytest.mark.parametrize(
    ("model", "limits"), [("silent", STERN), ("wav-16k", PATIENT), ("empty", PATIENT)]
)
def test_without_a_voice_the_text_is_shown(bench: Bench, model: str, limits: Limits) -> None:
    bench.put("tts", model, limits, alone=True)
    caller = bench.talk()
    assert answered(caller)
    assert {target for _, target, _ in degraded(caller, 1)} == {"text"}
    assert caller.audio == b""


# --- too much --------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["endless", "book"])
def test_a_model_that_never_stops_is_stopped(bench: Bench, model: str) -> None:
    bench.put("llm", f"{model}/gateway", replace(PATIENT, stall_s=2.0))
    caller = bench.talk()
    said, question = heard(caller, 1)[: -len(QUESTION)], heard(caller, 1)[-len(QUESTION) :]
    assert 1400 <= len(said) < 1530
    assert question == QUESTION
    assert degraded(caller, 1) == [("llm", DUE, "cut at the longest that a reply may be")]
    assert bench.breaker.settled == [NEUTRAL] * 3


def test_a_model_that_goes_on_for_ever_is_told_to_stop(bench: Bench, peer: Any) -> None:
    bench.put("llm", "endless/told")

    async def story(caller: Any) -> None:
        await caller.until("reply.done", turn=0)
        await peer.disconnected("endless/told")

    bench.hold(story)


@pytest.mark.slow
def test_a_model_that_never_ends_a_sentence_is_spoken_all_the_same(bench: Bench) -> None:
    bench.local.settings["budget_ms"] = 420
    limits = Limits(first_s=2, slow_first_s=2, stall_s=2, total_s=1.8)
    bench.put("llm", "crawls", limits, alone=True)
    caller = bench.talk()
    for turn in (1, 2):
        said = heard(caller, turn)
        assert said.startswith("and so on and so on")
        assert CANNED.speechless not in said
        assert [target for _, target, _ in degraded(caller, turn)] == [DUE]


# --- the server sees that nobody listens any more --------------------------------------------


async def asked(peer: Any, model: str) -> None:
    async with asyncio.timeout(20):
        while not await asyncio.to_thread(peer.requests, model):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("slot", "model"),
    [
        ("stt", "silent/stt-gone"),
        ("llm", "silent/llm-gone"),
        ("llm", "stall/llm-gone"),
        ("tts", "silent/tts-gone"),
        ("tts", "stall/tts-gone"),
    ],
)
def test_an_interrupted_turn_is_cancelled_upstream(
    bench: Bench, peer: Any, slot: str, model: str
) -> None:
    bench.put(slot, model, UNLIMITED)

    async def story(caller: Any) -> None:
        if slot == "stt":
            await caller.until("reply.done", turn=0)
            await caller.speak()
        else:
            await caller.say(type="text", text="this is what I think")
        await asked(peer, model)
        await caller.say(type="interrupt")
        await peer.disconnected(model)

    bench.hold(story)


@pytest.mark.parametrize(
    ("slot", "model"), [("stt", "silent/early-stt"), ("llm", "stall/early-llm")]
)
def test_what_was_prepared_for_nothing_is_cancelled_upstream(
    bench: Bench, peer: Any, slot: str, model: str
) -> None:
    bench.local.settings |= {"speculate": "on", "silence_ms": 5000}
    bench.put(slot, model, UNLIMITED)

    async def story(caller: Any) -> None:
        await caller.say(type="interrupt")
        await caller.speak(600, 400)
        await asked(peer, model)
        await caller.speak(400, 0)
        await peer.disconnected(model)
        assert not [m for m in caller.messages if m["type"] == "degraded"]

    bench.hold(story)


def test_what_comes_after_the_end_of_a_turn_is_not_heard(bench: Bench, peer: Any) -> None:
    bench.put("llm", "late/gateway", UNLIMITED)

    async def story(caller: Any) -> None:
        await caller.say(type="text", text="this is what I think")
        await caller.until("reply.started", turn=1)
        await caller.say(type="interrupt")
        await caller.until("reply.done", turn=1, interrupted=True)
        await peer.disconnected("late/gateway")
        await caller.say(type="text", text="and this, too")
        await caller.until("reply.started", turn=2)
        types = [(m["type"], m.get("turn")) for m in caller.messages]
        after = types[types.index(("reply.done", 1)) :]
        assert ("reply.text", 1) not in after
        assert ("visemes", 1) not in after

    bench.hold(story)
