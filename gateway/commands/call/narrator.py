"""The screen of `parley call --demo-barge-in`: every event of the conversation with its time."""

import textwrap
import time
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from gateway.commands.call.screen import degraded
from gateway.printable import printable

STYLES = {"You": "bold", "Parley": "green", "!": "yellow"}
TIME_WIDTH, WHO_WIDTH = 7, 6
MARGIN = TIME_WIDTH + WHO_WIDTH + 4
NARROWEST, WIDEST = 20, 100


class Narrator:
    """Implements `gateway.commands.call.screen.Screen`. Time 0 is `ready`, as in the recording."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._began: float | None = None
        self._speech: tuple[float, float] | None = None  # the person's last speech: from, until
        self._fell_silent = 0.0
        self._dropped_ms = 0
        self._paused_at_ms: float | None = None
        self._replying = False
        self._reply: list[str] = []

    def status(self, text: str) -> None:
        """Not shown."""

    def say(self, text: str) -> None:
        self._line("", text, timed=False)

    def play(self, name: str, duration_s: float) -> None:
        now = self._clock()
        self._speech = now, now + duration_s
        how = "into the reply" if self._replying else "says"
        self._line("You", f"{how}: “{name}” ({duration_s:.1f} s)")

    def cut(self, dropped_ms: int) -> None:
        self._dropped_ms = dropped_ms

    def show(self, message: Mapping[str, Any]) -> None:
        match message["type"]:
            case "ready":
                self._began = self._clock()
            case "transcript" if message["final"]:
                self._line("You", f"understood as: “{message['text']}”")
            case "reply.started":
                self._replying, self._paused_at_ms, self._reply = True, None, []
                self._line("Parley", f"begins to speak{self._after_last_word()}")
            case "reply.text":
                self._reply.append(message["text"])
                self._line("Parley", f"“{message['text']}”")
            case "clear":
                self._fell_silent = self._clock()
            case "reply.paused":
                self._paused_at_ms = message["at_ms"]
                after = self._since_first_word(self._fell_silent)
                self._line(
                    "Parley",
                    f"pauses{after}, {_seconds(message['at_ms'])} into its reply{self._cut()}",
                )
            case "reply.resumed":
                broke_off = (self._paused_at_ms or 0) > message["at_ms"]
                where = "with the word that it broke off" if broke_off else "where it stopped"
                self._paused_at_ms = None
                at = _seconds(message["at_ms"])
                self._line("Parley", f"goes on {where}, at {at}: that was no interruption")
            case "reply.done":
                self._done(message)
            case "degraded":
                self._line("!", degraded(message))
            case "error":
                self._line("!", f"the server objects: {message['message']}")

    def close(self, summary: Mapping[str, Any]) -> None:
        if summary["failure"] is not None or summary["said"] < summary["turns"]:
            return
        if not summary["resumptions"]:
            self.say("This server did not pause for the “uh-huh” and then go on.")
        if not summary["interruptions"]:
            self.say("This server did not stop for the interruption.")

    def _done(self, message: Mapping[str, Any]) -> None:
        self._replying = False
        if not message["interrupted"]:
            self._line("Parley", "has finished")
            return
        if self._paused_at_ms is not None:
            self._line(
                "Parley", f"is interrupted{self._since_first_word(self._clock())}: you go on"
            )
        else:
            self._line(
                "Parley",
                f"is interrupted{self._since_first_word(self._fell_silent)}{self._cut()}",
            )
        heard, said = message["heard"], " ".join(self._reply)
        unheard = said.removeprefix(heard).strip()
        self._line("", f"heard, and so remembered: {_quoted(heard)}")
        self._line("", f"not heard, and so dropped: {_quoted(unheard)}")

    def _cut(self) -> str:
        """The clause about audio that had been sent ahead, as over a WebSocket."""
        return f"; {self._dropped_ms} ms sent ahead are cut" if self._dropped_ms else ""

    def _since_first_word(self, at: float) -> str:
        """The clause with the time since the person's first word."""
        if self._speech is None or at < self._speech[0]:
            return ""
        return f", {(at - self._speech[0]) * 1000:.0f} ms after your first word"

    def _after_last_word(self) -> str:
        now = self._clock()
        if self._speech is None or now < self._speech[1]:
            return ""
        return f", {(now - self._speech[1]) * 1000:.0f} ms after your last word"

    def _line(self, who: str, text: str, *, timed: bool = True) -> None:
        at = ""
        if timed and self._began is not None:
            at = f"{self._clock() - self._began:.2f} s"
        style = STYLES.get(who, "dim")
        width = max(min(self._console.width, WIDEST) - MARGIN, NARROWEST)
        # Names of files are not broken.
        lines = textwrap.wrap(
            printable(text), width, break_on_hyphens=False, break_long_words=False
        )
        for line in lines:
            self._console.print(
                Text.assemble(
                    (f"{at:>{TIME_WIDTH}}  ", "dim"), (f"{who:<{WHO_WIDTH}}  {line}", style)
                ),
                soft_wrap=True,
            )
            at = who = ""


def _seconds(ms: float) -> str:
    return f"{ms / 1000:.2f} s"


def _quoted(text: str) -> str:
    return f"“{text}”" if text else "nothing"
