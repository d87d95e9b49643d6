"""One conversation of `parley call`: it sends the microphone without a pause, and receives.

It does the same as any client (docs/protocol.md).
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.commands.call.audio import Microphone, frames
from gateway.commands.call.dialogue import Dialogue
from gateway.commands.call.line import CallLine, LineClosed, Sound
from gateway.commands.call.recording import CallRecording
from gateway.commands.call.screen import Screen
from gateway.media.format import AudioFormat
from gateway.protocols.dialect import CloseCode
from pipeline.frames import INPUT_RATE_HZ, Samples

LEAVE_S = 10.0
"""How long the server may take after `bye` to store the last words and to close."""


@dataclass(frozen=True, slots=True)
class SpokenTurn:
    """A turn that is played: after the reply, or at a position in it.

    An `aside` is no turn: it gets no answer, and is skipped if the reply is over.
    """

    name: str
    pcm: Samples
    into_reply_ms: int | None = None
    aside: bool = False

    @property
    def duration_s(self) -> float:
        return len(self.pcm) / INPUT_RATE_HZ


@dataclass(frozen=True, slots=True)
class TypedTurn:
    """A turn that is typed."""

    text: str


class Call:
    """One conversation: plays the turns one after the other, receives and shows the messages."""

    def __init__(
        self,
        turns: Sequence[SpokenTurn | TypedTurn],
        audio: AudioFormat,
        timeout_s: float,
        screen: Screen,
        *,
        keep: bool,
    ) -> None:
        self.audio = audio
        self.interviewer = CallRecording(audio) if keep else None
        self.person = CallRecording(audio) if keep else None
        self.failure: str | None = None
        """Why the conversation went wrong, in a sentence."""
        self._turns = list(turns)
        self._said = 0
        self._timeout_s = timeout_s
        self._screen = screen
        self._session_id: str | None = None
        self._dialogue = Dialogue()
        self._ready = asyncio.Event()
        self._began = 0.0
        self._complete = False
        self._leaving = False

    def summary(self) -> dict[str, Any]:
        """The call in numbers."""
        return {
            "session_id": self._session_id,
            "turns": len(self._turns),
            "said": self._said,
            "answers": self._dialogue.answers,
            "interruptions": self._dialogue.interruptions,
            "resumptions": self._dialogue.resumptions,
            "complete": self._complete,
            "failure": self.failure,
        }

    async def run(self, line: CallLine, session_id: str, hello: dict[str, Any]) -> None:
        """Hold the conversation. Afterwards `failure` says what went wrong, if anything."""
        self._session_id = session_id
        listening = asyncio.create_task(self._listen(line))
        speaking = asyncio.create_task(self._speak(line, hello))
        try:
            await asyncio.wait({listening, speaking}, return_when=asyncio.FIRST_COMPLETED)
            if speaking.done() and not listening.done() and self.failure is None:
                await asyncio.wait({listening}, timeout=LEAVE_S)
        finally:
            for task in (listening, speaking):
                task.cancel()
            ends = await asyncio.gather(listening, speaking, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end

    # --- sending -----------------------------------------------------------------------------

    async def _speak(self, line: CallLine, hello: dict[str, Any]) -> None:
        """Play all turns; returns when they have been answered, or when `failure` is set."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await line.send(json.dumps(hello))
                self._screen.status("waiting for the server…")
                await self._ready.wait()
        except TimeoutError:
            self.failure = f"the server was not ready within {self._timeout_s} s"
            return
        except LineClosed:
            return  # `_listen` knows why
        clock = asyncio.get_running_loop().time
        microphone = Microphone(self.audio, self._began)
        self._dialogue.end(clock())
        saying = False
        try:
            while True:
                await asyncio.sleep(max(0.0, microphone.due - clock()))
                now = clock()
                if saying:
                    if not microphone.speaking:
                        saying = False
                        self._dialogue.end(now)
                elif self._finished(now):
                    self._leaving = True
                    await line.send('{"type":"bye"}')
                    return
                elif self._may_speak(now):
                    saying = True
                    await self._say(self._turns[self._said], microphone, line)
                elif self._dialogue.overdue(now, self._timeout_s):
                    self.failure = self._unanswered()
                    return
                due, speaking = microphone.due, microphone.speaking
                frame = microphone.take()
                if speaking and self.person is not None:
                    self.person.add(frame, due)
                async with asyncio.timeout(self._timeout_s):
                    await line.send(frame)
        except TimeoutError:
            self.failure = f"the server has taken no audio for {self._timeout_s} s"
        except LineClosed:
            return

    def _finished(self, now: float) -> bool:
        over = self._complete or self._said == len(self._turns)
        return over and self._dialogue.answered(now)

    def _may_speak(self, now: float) -> bool:
        """Whether it is time for the next turn. Asides whose time has passed are skipped."""
        answered = self._dialogue.answered(now)
        while self._said < len(self._turns):
            turn = self._turns[self._said]
            if not isinstance(turn, SpokenTurn) or turn.into_reply_ms is None:
                return answered
            if self._dialogue.heard_s(now) * 1000 >= turn.into_reply_ms:
                return True
            if not answered:
                return False
            if not turn.aside:
                return True
            self._said += 1
        return False

    async def _say(
        self, turn: SpokenTurn | TypedTurn, microphone: Microphone, line: CallLine
    ) -> None:
        self._said += 1
        match turn:
            case SpokenTurn(name, pcm):
                if not turn.aside:
                    self._dialogue.begin()
                self._screen.play(name, turn.duration_s)
                microphone.say(frames(pcm, self.audio))
            case TypedTurn(text):
                self._dialogue.begin()
                await line.send(json.dumps({"type": "text", "text": text}))

    def _unanswered(self) -> str:
        if not self._said:
            return f"the interviewer did not begin within {self._timeout_s} s"
        turn = self._turns[self._said - 1]
        if isinstance(turn, SpokenTurn) and turn.aside:
            return f"after {turn.name!r} the interviewer did not go on within {self._timeout_s} s"
        what = turn.name if isinstance(turn, SpokenTurn) else repr(turn.text[:40])
        return f"{what} was not answered within {self._timeout_s} s"

    # --- receiving ---------------------------------------------------------------------------

    async def _listen(self, line: CallLine) -> None:
        """Receive until the connection closes."""
        clock = asyncio.get_running_loop().time
        async for data in line:
            if not isinstance(data, str):
                self._hear(data, clock())
                continue
            try:
                self._note(json.loads(data), clock())
            except (ValueError, LookupError, TypeError, RecursionError):
                self.failure = "the server sent something that is not Parley's protocol"
                return
        self._closed(line.close_code, line.close_reason)

    def _hear(self, data: bytes | Sound, now: float) -> None:
        if isinstance(data, bytes):
            self._dialogue.hear(now)
            if self.interviewer is not None:
                self.interviewer.add(data, now)
            return
        if data.audible:
            self._dialogue.hear(now)
        if self.interviewer is not None:
            self.interviewer.place(data.pcm, data.at)

    def _note(self, message: Mapping[str, Any], now: float) -> None:
        self._dialogue.note(message, now)
        self._screen.show(message)
        match message["type"]:
            case "ready":
                providers = ", ".join(f"{k} {v}" for k, v in message["providers"].items())
                self._screen.say(f"session {message['session_id']}: {providers}")
                for notice in message.get("notices") or ():
                    self._screen.say(notice["message"])
                self._begin(now)
            case "reply.started" if self.interviewer is not None:
                self.interviewer.reply()
            case "clear" if self.interviewer is not None:
                self._screen.cut(self.interviewer.clear(message["at_ms"]))
            case "reply.resumed" if self.interviewer is not None:
                self.interviewer.resume(message["at_ms"])
            case "interview":
                self._complete = bool(message["isComplete"])
            case "error" if message["fatal"]:
                self.failure = f"the server ended the interview: {message['message']}"

    def _begin(self, now: float) -> None:
        """Set time 0 for the microphone, both sides of the recording and the screen."""
        self._began = now
        for side in (self.person, self.interviewer):
            if side is not None:
                side.start(now)
        self._ready.set()

    def _closed(self, code: int | None, reason: str | None) -> None:
        if self.failure is not None:
            return
        if code == CloseCode.FINISHED and (self._leaving or self._complete):
            unsaid = len(self._turns) - self._said
            more = f"; of your turns, {unsaid} had no place in it" if unsaid else ""
            if self._complete:
                self._screen.say(f"The interview is complete{more}.")
            return
        why = {
            CloseCode.RESTARTING: "the server is shutting down",
            CloseCode.OVERLOADED: "the server is full; try again later",
            None: "the connection broke off",
            1006: "the connection broke off",
        }.get(code, f"the server closed the connection with code {code}")
        self.failure = f"{why}{f' ({reason})' if reason else ''}"
