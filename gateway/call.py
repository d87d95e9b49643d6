"""A caller for trying a server out: `parley call`.

It does what any client does (docs/protocol.md): a microphone that never stops, and ears.
"""

import argparse
import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import soundfile
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from gateway.audio import AudioFormat
from gateway.call_audio import Microphone, Recording, UnusableAudio, frames, read
from gateway.call_door import Door, connected
from gateway.call_screen import JsonScreen, PersonScreen, Screen
from gateway.dialogue import Dialogue
from gateway.protocols import native
from gateway.terminal import DONE, FAILED, CommandFailed, output
from pipeline.frames import INPUT_RATE_HZ, Samples

LEAVE_S = 10.0
"""How long the server may take to store the last words and to close, after `bye`."""

SAVED_AS = (".wav", ".flac", ".ogg")
CLIPS = Path("fixtures/audio")


@dataclass(frozen=True, slots=True)
class Spoken:
    """A turn that is played."""

    name: str
    pcm: Samples

    @property
    def duration_s(self) -> float:
        return len(self.pcm) / INPUT_RATE_HZ


@dataclass(frozen=True, slots=True)
class Typed:
    """A turn that is typed."""

    text: str


def call(arguments: argparse.Namespace) -> int:
    """Hold the conversation that the options of `parley call` describe; returns the exit code.

    Raises `CommandFailed` where it cannot begin.
    """
    if not arguments.turns:
        raise CommandFailed(f"name what to say: audio files or --text lines{_hint()}")
    _check_save(arguments.save)
    turns = [_turn(kind, value) for kind, value in arguments.turns]
    door = Door(arguments.url, arguments.session, arguments.role, arguments.questions)
    audio = AudioFormat(arguments.encoding, arguments.rate)
    screen: Screen
    if arguments.json:
        screen = JsonScreen(output())
    else:
        screen = PersonScreen(output(), quiet=arguments.quiet)
    held = Call(turns, audio, arguments.timeout, screen, keep=arguments.save is not None)
    try:
        asyncio.run(_hold(door, held, screen))
        if held.recording is not None:
            _save(held.recording, arguments.save, screen)
    finally:
        screen.close(held.summary())
    if held.failure is not None:
        raise CommandFailed(held.failure, FAILED)
    return DONE


async def _hold(door: Door, held: "Call", screen: Screen) -> None:
    async with connected(door, screen) as (socket, session_id):
        await held.run(socket, session_id, door.hello(held.audio))


# --- what is asked for -----------------------------------------------------------------------


def _turn(kind: str, value: Any) -> Spoken | Typed:
    if kind == "text":
        if not value.strip():
            raise CommandFailed("--text: there is nothing in it")
        if len(value.encode(errors="replace")) > native.LONGEST_TEXT_BYTES:
            raise CommandFailed(f"--text: at most {native.LONGEST_TEXT_BYTES} bytes are possible")
        return Typed(value)
    try:
        return Spoken(value.name, read(value))
    except UnusableAudio as error:
        raise CommandFailed(str(error)) from None


def _hint() -> str:
    clips = sorted(str(clip) for clip in CLIPS.glob("*.wav"))
    return f", such as {', '.join(clips)}" if clips else "; `parley call --help` has examples"


def _check_save(path: Path | None) -> None:
    if path is None:
        return
    if path.suffix.lower() not in SAVED_AS:
        raise CommandFailed(f"--save {path}: the name must end in {', '.join(SAVED_AS)}")
    folder = path.parent
    if path.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise CommandFailed(f"--save {path}: cannot be written")


def _save(recording: Recording, path: Path, screen: Screen) -> None:
    try:
        recording.save(path)
    except (OSError, soundfile.LibsndfileError) as error:
        raise CommandFailed(f"--save {path}: {error}", FAILED) from None
    screen.say(f"{path} has the interviewer's side of the call, {recording.duration_s:.1f} s.")


# --- the conversation ------------------------------------------------------------------------


class Call:
    """One conversation: says the turns one after the other, hears and shows what comes."""

    def __init__(
        self,
        turns: Sequence[Spoken | Typed],
        audio: AudioFormat,
        timeout_s: float,
        screen: Screen,
        *,
        keep: bool,
    ) -> None:
        self.audio = audio
        self.recording = Recording(audio) if keep else None
        self.failure: str | None = None
        """Why the conversation went wrong, in a sentence."""
        self._turns = list(turns)
        self._said = 0
        self._timeout_s = timeout_s
        self._screen = screen
        self._session_id: str | None = None
        self._dialogue = Dialogue()
        self._ready = asyncio.Event()
        self._complete = False
        self._leaving = False

    def summary(self) -> dict[str, Any]:
        """The call in numbers."""
        return {
            "session_id": self._session_id,
            "turns": len(self._turns),
            "said": self._said,
            "answers": self._dialogue.answers,
            "complete": self._complete,
            "failure": self.failure,
        }

    async def run(self, socket: ClientConnection, session_id: str, hello: dict[str, Any]) -> None:
        """Hold it. What went wrong is in `failure` afterwards."""
        self._session_id = session_id
        listening = asyncio.create_task(self._listen(socket))
        speaking = asyncio.create_task(self._speak(socket, hello))
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

    # --- mouth -------------------------------------------------------------------------------

    async def _speak(self, socket: ClientConnection, hello: dict[str, Any]) -> None:
        """Say everything; returns when it has been answered, or when `failure` is set."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await socket.send(json.dumps(hello))
                self._screen.status("waiting for the server…")
                await self._ready.wait()
        except TimeoutError:
            self.failure = f"the server was not ready within {self._timeout_s} s"
            return
        except ConnectionClosed:
            return  # `_listen` knows why
        clock = asyncio.get_running_loop().time
        microphone = Microphone(self.audio, clock())
        self._dialogue.end(clock())
        saying = False
        try:
            while True:
                await asyncio.sleep(max(0.0, microphone.due - clock()))
                now = clock()
                if saying and not microphone.speaking:
                    saying = False
                    self._dialogue.end(now)
                elif self._dialogue.answered(now):
                    if self._complete or self._said == len(self._turns):
                        self._leaving = True
                        await socket.send('{"type":"bye"}')
                        return
                    saying = True
                    await self._say(self._turns[self._said], microphone, socket)
                elif self._dialogue.overdue(now, self._timeout_s):
                    self.failure = self._unanswered()
                    return
                async with asyncio.timeout(self._timeout_s):
                    await socket.send(microphone.take())
        except TimeoutError:
            self.failure = f"the server has taken no audio for {self._timeout_s} s"
        except ConnectionClosed:
            return

    async def _say(
        self, turn: Spoken | Typed, microphone: Microphone, socket: ClientConnection
    ) -> None:
        self._said += 1
        self._dialogue.begin()
        match turn:
            case Spoken(name, pcm):
                self._screen.say(f"♪ {name}, {turn.duration_s:.1f} s")
                self._screen.status(f"playing {name}…")
                microphone.say(frames(pcm, self.audio))
            case Typed(text):
                await socket.send(json.dumps({"type": "text", "text": text}))

    def _unanswered(self) -> str:
        if not self._said:
            return f"the interviewer did not begin within {self._timeout_s} s"
        turn = self._turns[self._said - 1]
        what = turn.name if isinstance(turn, Spoken) else repr(turn.text[:40])
        return f"{what} was not answered within {self._timeout_s} s"

    # --- ears --------------------------------------------------------------------------------

    async def _listen(self, socket: ClientConnection) -> None:
        """Hear until the connection closes."""
        clock = asyncio.get_running_loop().time
        try:
            async for data in socket:
                if isinstance(data, bytes):
                    self._dialogue.hear(clock())
                    if self.recording is not None:
                        self.recording.add(data, clock())
                    continue
                try:
                    self._note(json.loads(data), clock())
                except (ValueError, LookupError, TypeError, RecursionError):
                    self.failure = "the server sent something that is not Parley's protocol"
                    return
        except ConnectionClosed:
            pass  # the close code says what it means
        self._closed(socket.close_code, socket.close_reason)

    def _note(self, message: Mapping[str, Any], now: float) -> None:
        self._dialogue.note(message, now)
        self._screen.show(message)
        match message["type"]:
            case "ready":
                providers = ", ".join(f"{k} {v}" for k, v in message["providers"].items())
                self._screen.say(f"session {message['session_id']}: {providers}")
                self._ready.set()
            case "clear":
                if self.recording is not None:
                    self.recording.clear(now)
            case "interview":
                self._complete = bool(message["isComplete"])
            case "error" if message["fatal"]:
                self.failure = f"the server ended the interview: {message['message']}"

    def _closed(self, code: int | None, reason: str | None) -> None:
        if self.failure is not None:
            return
        if code == native.CLOSE_FINISHED and (self._leaving or self._complete):
            unsaid = len(self._turns) - self._said
            more = f"; of your turns, {unsaid} had no place in it" if unsaid else ""
            if self._complete:
                self._screen.say(f"The interview is complete{more}.")
            return
        why = {
            native.CLOSE_RESTARTING: "the server is shutting down",
            native.CLOSE_OVERLOADED: "the server is full; try again later",
            None: "the connection broke off",
            1006: "the connection broke off",
        }.get(code, f"the server closed the connection with code {code}")
        self.failure = f"{why}{f' ({reason})' if reason else ''}"
