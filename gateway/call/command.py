"""`parley call`: a caller for trying a server out. What is asked for, shown and saved."""

import argparse
import asyncio
import os
from pathlib import Path
from typing import Any

import soundfile

from gateway.audio import AudioFormat
from gateway.call import demo
from gateway.call.audio import UnusableAudio, read
from gateway.call.conversation import Call, Spoken, Typed
from gateway.call.door import Door, connected
from gateway.call.narrator import Narrator
from gateway.call.recording import save
from gateway.call.screen import JsonScreen, PersonScreen, Screen
from gateway.protocols import native
from gateway.terminal import DONE, FAILED, CommandFailed, output

SAVED_AS = (".wav", ".flac", ".ogg")
CLIPS = Path("fixtures/audio")


def call(arguments: argparse.Namespace) -> int:
    """Hold the conversation that the options of `parley call` describe; returns the exit code.

    Raises `CommandFailed` where it cannot begin.
    """
    as_demo: bool = arguments.demo_barge_in
    path: Path | None = arguments.save or (demo.SAVED if as_demo else None)
    _check_save(path)
    turns = _demo(arguments.turns) if as_demo else _turns(arguments.turns)
    door = Door(arguments.url, arguments.session, arguments.role, arguments.questions)
    audio = AudioFormat(arguments.encoding, arguments.rate)
    screen = _screen(arguments)
    saved: str | None = None
    held = Call(turns, audio, arguments.timeout, screen, keep=path is not None)
    try:
        asyncio.run(_hold(door, held, screen))
        if path is not None:
            _save(held, path, screen, both=as_demo)
            saved = str(path)
    finally:
        screen.close(held.summary() | {"saved": saved})
    if held.failure is not None:
        raise CommandFailed(held.failure, FAILED)
    return DONE


def _screen(arguments: argparse.Namespace) -> Screen:
    if arguments.json:
        return JsonScreen(output())
    if arguments.demo_barge_in and not arguments.quiet:
        return Narrator(output())
    return PersonScreen(output(), quiet=arguments.quiet)


async def _hold(door: Door, held: "Call", screen: Screen) -> None:
    async with connected(door, screen) as (socket, session_id):
        await held.run(socket, session_id, door.hello(held.audio))


# --- what is asked for -----------------------------------------------------------------------


def _demo(given: list[tuple[str, Any]]) -> list[Spoken | Typed]:
    if given:
        raise CommandFailed("--demo-barge-in has turns of its own: leave out files and --text")
    try:
        return [*demo.turns()]
    except UnusableAudio as error:
        raise CommandFailed(f"a clip of the demonstration is missing: {error}") from None


def _turns(given: list[tuple[str, Any]]) -> list[Spoken | Typed]:
    if not given:
        raise CommandFailed(f"name what to say: audio files or --text lines{_hint()}")
    return [_turn(kind, value) for kind, value in given]


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


def _save(held: Call, path: Path, screen: Screen, *, both: bool) -> None:
    if held.person is None or held.interviewer is None:
        return
    sides = (held.person, held.interviewer) if both else (held.interviewer,)
    try:
        save(path, held.audio, *sides)
    except (OSError, soundfile.LibsndfileError) as error:
        raise CommandFailed(f"--save {path}: {error}", FAILED) from None
    duration_s = max(side.duration_s for side in sides)
    what = "both sides, you on the left" if both else "the interviewer's side of the call"
    screen.say(f"{path} has {what}, {duration_s:.1f} s.")
