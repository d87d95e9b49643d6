import io
import json
from typing import Any

from rich.console import Console

from gateway.commands.call.screen import JsonScreen, PersonScreen, degraded

METRICS = {
    "type": "turn.metrics",
    "seq": 9,
    "turn": 1,
    "budget_ms": 1000,
    "stages": [{"stage": "llm", "provider": "scripted", "start": 0, "first": 1, "end": 2}],
    "voice_to_voice_ms": 10.0,
}
GAVE_WAY = {
    "type": "degraded",
    "turn": 1,
    "stage": "stt",
    "from": "whisper",
    "to": "pocketsphinx",
    "reason": "stall",
}
TURN: list[dict[str, Any]] = [
    {"type": "transcript", "turn": 1, "text": "i spent", "final": False},
    {"type": "transcript", "turn": 1, "text": "i spent years", "final": True},
    GAVE_WAY,
    {"type": "reply.text", "turn": 1, "text": "Good."},
    {"type": "reply.text", "turn": 1, "text": "And \x1b[2Jthen?"},
    {"type": "reply.paused", "turn": 1, "at_ms": 740},
    {"type": "reply.resumed", "turn": 1, "at_ms": 700},
    {"type": "reply.paused", "turn": 1, "at_ms": 1960},
    {"type": "reply.done", "turn": 1, "interrupted": True, "heard": "Good."},
    {"type": "error", "turn": 1, "code": "odd_audio", "message": "half a sample", "fatal": False},
    METRICS,
]


def shown(*, quiet: bool = False, terminal: bool = False) -> str:
    written = io.StringIO()
    screen = PersonScreen(
        Console(file=written, width=90, force_terminal=terminal, color_system=None), quiet=quiet
    )
    screen.status("connecting…")
    screen.play("clip.wav", 2.0)
    for message in TURN:
        screen.show(message)
    screen.close({})
    return written.getvalue()


def test_a_person_reads_who_said_what() -> None:
    lines = [line.rstrip() for line in shown().splitlines() if line.strip()]
    assert lines[:10] == [
        "        ♪ clip.wav, 2.0 s",
        "You     i spent years",
        "!       recognition: pocketsphinx instead of whisper (stall)",
        "Parley  Good.",
        "Parley  And  [2Jthen?",
        "        (paused 0.7 s into the reply)",
        "        (goes on: that was no interruption)",
        "        (paused 2.0 s into the reply)",
        "        (interrupted after: Good.)",
        "!       the server objects: half a sample",
    ]
    assert lines[10].strip() == "turn 1: voice to voice 10 ms, budget 1000 ms, 990 ms to spare"


def test_quiet_leaves_the_conversation_and_what_went_wrong() -> None:
    assert [line.split()[0] for line in shown(quiet=True).splitlines()] == [
        "You",
        "!",
        "Parley",
        "Parley",
        "!",
    ]


def test_partials_are_shown_in_place_on_a_terminal_only() -> None:
    assert "listening… i spent" in shown(terminal=True)
    assert "listening…" not in shown(terminal=False)
    assert "connecting" not in shown(terminal=False)


def test_of_a_long_partial_the_end_is_shown_in_one_line() -> None:
    written = io.StringIO()
    screen = PersonScreen(
        Console(file=written, width=40, force_terminal=True, color_system=None), quiet=False
    )
    screen.show({"type": "transcript", "turn": 1, "text": "x" * 60 + " end", "final": False})
    screen.close({})
    assert f"listening… …{'x' * 21} end" in written.getvalue()


def test_a_stage_without_a_name_for_people_keeps_its_own() -> None:
    assert degraded(GAVE_WAY | {"stage": "new"}) == "new: pocketsphinx instead of whisper (stall)"


def test_a_program_gets_an_object_for_each_turn_and_one_for_the_call() -> None:
    written = io.StringIO()
    screen = JsonScreen(Console(file=written, width=20))
    screen.status("connecting…")
    screen.say("♪")
    screen.play("clip.wav", 2.0)
    screen.cut(120)
    screen.show({"type": "ready", "session_id": "a"})
    for message in TURN:
        screen.show(message)
    screen.show({"type": "reply.text", "turn": 2, "text": "Cut off"})
    screen.show({"type": "speech.started", "turn": 3, "at_ms": 0})
    screen.close({"answers": 1})
    first, second, last = (json.loads(line) for line in written.getvalue().splitlines())
    assert first == {
        "type": "turn",
        "turn": 1,
        "you": "i spent years",
        "parley": "Good. And \x1b[2Jthen?",
        "heard": "Good.",
        "interrupted": True,
        "pauses": [
            {"at_ms": 740, "resumed_at_ms": 700},
            {"at_ms": 1960, "resumed_at_ms": None},
        ],
        "problems": [
            {k: v for k, v in GAVE_WAY.items() if k != "turn"},
            {"type": "error", "code": "odd_audio", "message": "half a sample", "fatal": False},
        ],
        "metrics": {k: METRICS[k] for k in ("budget_ms", "stages", "voice_to_voice_ms")},
    }
    assert (second["turn"], second["parley"], second["metrics"]) == (2, "Cut off", None)
    assert last == {"type": "call", "answers": 1}
