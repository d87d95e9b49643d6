"""`parley call`: a caller for trying a server out. Options, output and saved files."""

import argparse
import asyncio
import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import soundfile
from av.codec import codecs_available
from av.error import FFmpegError

from gateway.commands.call import demo
from gateway.commands.call.audio import UnusableAudio, read
from gateway.commands.call.conversation import Call, SpokenTurn, TypedTurn
from gateway.commands.call.film import CODEC, Film, write
from gateway.commands.call.line import CallLine
from gateway.commands.call.narrator import Narrator
from gateway.commands.call.recording import save
from gateway.commands.call.screen import JsonScreen, PersonScreen, Screen
from gateway.commands.call.server import ServerAddress, connected, read_token
from gateway.commands.terminal import DONE, FAILED, CommandFailed, output
from gateway.media.format import AudioFormat
from gateway.protocols import native
from pipeline.frames import INPUT_RATE_HZ

Connect: TypeAlias = Callable[[Film | None], AbstractAsyncContextManager[tuple[CallLine, str]]]

SAVED_AS = (".wav", ".flac", ".ogg")
FILM = ".mp4"
CLIPS = Path("fixtures/audio")


def call(arguments: argparse.Namespace) -> int:
    """Hold the conversation that the options of `parley call` describe; returns the exit code.

    Raises `CommandFailed` if it cannot begin.
    """
    as_demo: bool = arguments.demo_barge_in
    path: Path | None = arguments.save or (demo.SAVED if as_demo else None)
    audio = AudioFormat(arguments.encoding, arguments.rate)
    if arguments.webrtc:
        _check_webrtc(audio)
    _check_save(path, webrtc=arguments.webrtc)
    turns = _demo(arguments.turns) if as_demo else _turns(arguments.turns)
    server = ServerAddress(
        arguments.url,
        arguments.session,
        arguments.role,
        arguments.questions,
        arguments.trust,
        arguments.language,
        read_token(arguments.token_file),
    )
    screen = _screen(arguments)
    connect = _connect(server, screen, webrtc=arguments.webrtc)
    saved: str | None = None
    held = Call(turns, audio, arguments.timeout, screen, keep=path is not None)
    try:
        with Film() if path is not None and _is_film(path) else nullcontext() as film:
            asyncio.run(_hold(server, held, connect(film)))
            if path is not None:
                kept = _save(held, path, screen, film, both=as_demo)
                saved = str(path) if kept else None
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


async def _hold(
    server: ServerAddress, held: Call, connection: AbstractAsyncContextManager[tuple[CallLine, str]]
) -> None:
    async with connection as (line, session_id):
        await held.run(line, session_id, server.hello(held.audio))


def _connect(server: ServerAddress, screen: Screen, *, webrtc: bool) -> Connect:
    if not webrtc:
        return lambda film: connected(server, screen)
    from gateway.commands.call import whip  # it needs the extra

    return lambda film: whip.connected(server, screen, film)


# --- options ---------------------------------------------------------------------------------


def _demo(given: list[tuple[str, Any]]) -> list[SpokenTurn | TypedTurn]:
    if given:
        raise CommandFailed("--demo-barge-in has turns of its own: leave out files and --text")
    try:
        return [*demo.turns()]
    except UnusableAudio as error:
        raise CommandFailed(f"a clip of the demonstration is missing: {error}") from None


def _turns(given: list[tuple[str, Any]]) -> list[SpokenTurn | TypedTurn]:
    if not given:
        raise CommandFailed(f"name what to say: audio files or --text lines{_hint()}")
    return [_turn(kind, value) for kind, value in given]


def _turn(kind: str, value: Any) -> SpokenTurn | TypedTurn:
    if kind == "text":
        if not value.strip():
            raise CommandFailed("--text: there is nothing in it")
        if len(value.encode(errors="replace")) > native.LONGEST_TEXT_BYTES:
            raise CommandFailed(f"--text: at most {native.LONGEST_TEXT_BYTES} bytes are possible")
        return TypedTurn(value)
    try:
        return SpokenTurn(value.name, read(value))
    except UnusableAudio as error:
        raise CommandFailed(str(error)) from None


def _hint() -> str:
    clips = sorted(str(clip) for clip in CLIPS.glob("*.wav"))
    return f", such as {', '.join(clips)}" if clips else "; `parley call --help` has examples"


def _check_webrtc(audio: AudioFormat) -> None:
    if find_spec("aiortc") is None:
        raise CommandFailed("--webrtc needs aiortc: pip install 'parley-gateway[webrtc]'")
    if audio != AudioFormat("pcm_s16le", INPUT_RATE_HZ):
        raise CommandFailed("--rate and --encoding are for WebSocket; WebRTC speaks Opus")


def _is_film(path: Path) -> bool:
    return path.suffix.lower() == FILM


def _check_save(path: Path | None, *, webrtc: bool) -> None:
    if path is None:
        return
    if _is_film(path) and not webrtc:
        raise CommandFailed(f"--save {path}: pictures come over WebRTC; add --webrtc")
    if path.suffix.lower() not in (*SAVED_AS, FILM):
        names = ", ".join((*SAVED_AS, FILM) if webrtc else SAVED_AS)
        raise CommandFailed(f"--save {path}: the name must end in {names}")
    if _is_film(path) and CODEC not in codecs_available:
        raise CommandFailed(f"--save {path}: this PyAV has no {CODEC}; .wav keeps the sound")
    folder = path.parent
    if path.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise CommandFailed(f"--save {path}: cannot be written")


def _save(held: Call, path: Path, screen: Screen, film: Film | None, *, both: bool) -> bool:
    """Save the call; false if there was nothing to save. Raises `CommandFailed`."""
    if held.person is None or held.interviewer is None:
        return False
    sides = (held.person, held.interviewer) if both else (held.interviewer,)
    duration_s = max(side.duration_s for side in sides)
    if duration_s == 0 and (film is None or not film.pictures):
        screen.say(f"Nothing came that could be kept: {path} was not written.")
        return False
    try:
        if film is not None:
            write(path, held.audio, film, *sides)
        else:
            save(path, held.audio, *sides)
    except (OSError, FFmpegError, soundfile.LibsndfileError) as error:
        raise CommandFailed(f"--save {path}: {error}", FAILED) from None
    what = "both sides, you on the left" if both else "the interviewer's side of the call"
    if film is not None and film.pictures:
        width, height = film.size
        what += f", with {film.pictures} pictures of {width}×{height}"
    screen.say(f"{path} has {what}, {duration_s:.1f} s.")
    return True
