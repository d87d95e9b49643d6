"""The output of `parley call`: text for a person, or JSON lines for a program."""

import json
from collections.abc import Mapping
from typing import Any, Protocol

from rich.console import Console
from rich.padding import Padding
from rich.status import Status
from rich.text import Text

from gateway.commands.call.waterfall import draw
from gateway.printable import printable

STAGES = {
    "vad": "voice detection",
    "turn": "turn model",
    "stt": "recognition",
    "llm": "reply",
    "tts": "synthesis",
    "avatar": "avatar",
}
MOODS = {
    "listening": "listening…",
    "thinking": "thinking…",
    "speaking": "Parley speaks…",
}
INDENT = 8
SPINNER = 2


class Screen(Protocol):
    """The output of a call."""

    def status(self, text: str) -> None:
        """Show the present activity; the next status replaces it."""

    def say(self, text: str) -> None:
        """Print a remark about the call."""

    def play(self, name: str, duration_s: float) -> None:
        """Show that the caller begins to play a clip."""

    def show(self, message: Mapping[str, Any]) -> None:
        """Show a message of the server."""

    def cut(self, dropped_ms: int) -> None:
        """Show that a `clear` has dropped `dropped_ms` of the reply that had been sent ahead."""

    def close(self, summary: Mapping[str, Any]) -> None:
        """End the output: the call is over, well or badly. Nothing is shown afterwards."""


class PersonScreen:
    """For a person: the conversation, and a waterfall for each turn unless `quiet`.

    On a terminal, one line at the bottom shows partial transcripts and the present activity.
    """

    def __init__(self, console: Console, *, quiet: bool) -> None:
        self._console = console
        self._quiet = quiet
        self._status: Status | None = None
        if console.is_terminal:
            self._status = Status("", console=console, refresh_per_second=5)
            self._status.start()

    def status(self, text: str) -> None:
        if self._status is not None:
            self._status.update(Text(printable(text), "dim"))

    def say(self, text: str) -> None:
        if not self._quiet:
            self._line("", text, "dim")

    def play(self, name: str, duration_s: float) -> None:
        self.say(f"♪ {name}, {duration_s:.1f} s")
        self.status(f"playing {name}…")

    def cut(self, dropped_ms: int) -> None:
        """Not shown."""

    def show(self, message: Mapping[str, Any]) -> None:
        match message["type"]:
            case "transcript" if message["final"]:
                self._line("You", message["text"], "bold")
            case "transcript":
                self.status(f"listening… {self._tail(message['text'])}")
            case "reply.text":
                self._line("Parley", message["text"], "green")
            case "reply.paused":
                self.say(f"(paused {message['at_ms'] / 1000:.1f} s into the reply)")
            case "reply.resumed":
                self.say("(goes on: that was no interruption)")
            case "reply.done" if message["interrupted"]:
                self.say(f"(interrupted after: {message['heard'] or 'nothing'})")
            case "avatar.state":
                self.status(MOODS.get(message["state"], ""))
            case "turn.metrics" if not self._quiet:
                self._console.print(Padding(draw(message), (0, 0, 1, INDENT), expand=False))
            case "degraded":
                self._line("!", degraded(message), "yellow")
            case "error":
                self._line("!", f"the server objects: {message['message']}", "red")

    def close(self, summary: Mapping[str, Any]) -> None:
        if self._status is not None:
            self._status.stop()

    def _tail(self, partial: str) -> str:
        """The end of the partial transcript, as much as fits in the line."""
        width = self._console.width - SPINNER - len("listening… ") - 1
        return partial if len(partial) <= width else f"…{partial[-width + 1 :]}"

    def _line(self, who: str, text: str, style: str) -> None:
        line = Text.assemble((f"{who:<{INDENT}}", style), printable(text))
        self._console.print(line if who else Text(line.plain, style), soft_wrap=True)


class JsonScreen:
    """For a program: a line with a JSON object for each turn, then one for the whole call."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._turns: dict[int, dict[str, Any]] = {}

    def status(self, text: str) -> None:
        """Not shown."""

    def say(self, text: str) -> None:
        """Not shown."""

    def play(self, name: str, duration_s: float) -> None:
        """Not shown."""

    def cut(self, dropped_ms: int) -> None:
        """Not shown."""

    def show(self, message: Mapping[str, Any]) -> None:
        if not isinstance(message.get("turn"), int):
            return
        turn = self._turns.setdefault(message["turn"], _nothing(message["turn"]))
        match message["type"]:
            case "transcript" if message["final"]:
                turn["you"] = message["text"]
            case "reply.text":
                turn["parley"] = f"{turn['parley'] or ''} {message['text']}".strip()
            case "reply.paused":
                turn["pauses"].append({"at_ms": message["at_ms"], "resumed_at_ms": None})
            case "reply.resumed":
                turn["pauses"][-1]["resumed_at_ms"] = message["at_ms"]
            case "reply.done":
                turn["heard"], turn["interrupted"] = message["heard"], message["interrupted"]
            case "degraded" | "error":
                turn["problems"].append(_without(message, "seq", "turn"))
            case "turn.metrics":
                turn["metrics"] = _without(message, "type", "seq", "turn")
                self._write(self._turns.pop(message["turn"]))

    def close(self, summary: Mapping[str, Any]) -> None:
        for turn in self._turns.values():
            if turn != _nothing(turn["turn"]):
                self._write(turn)
        self._write({"type": "call", **summary})

    def _write(self, value: Mapping[str, Any]) -> None:
        self._console.out(json.dumps(value, ensure_ascii=False), highlight=False)


def degraded(message: Mapping[str, Any]) -> str:
    """A `degraded` message in words."""
    stage = STAGES.get(message["stage"], message["stage"])
    return f"{stage}: {message['to']} instead of {message['from']} ({message['reason']})"


def _nothing(turn: int) -> dict[str, Any]:
    return {
        "type": "turn",
        "turn": turn,
        "you": None,
        "parley": None,
        "heard": None,
        "interrupted": False,
        "pauses": [],
        "problems": [],
        "metrics": None,
    }


def _without(message: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name not in names}
