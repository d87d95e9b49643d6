"""Ten minutes in which nobody speaks: nothing of it may become an answer.

Silence, breath, typing, steady noise at -40 dB and all of it together (`benchmarks.noises`) go to
one gateway with its defaults, two minutes of each in sessions of their own. A second gateway hears
the same with the detector that goes by loudness, which takes many of these sounds for speech: what
the recogniser makes of them then shows whether it can tell them from words.
"""

import asyncio
import os
from dataclasses import dataclass

from benchmarks.caller import Caller, call
from benchmarks.noises import NOISES, level_db
from benchmarks.progress import OnProgress, Progress
from benchmarks.result import Machine, Metric, Result
from benchmarks.server import Server
from benchmarks.speech import frames
from benchmarks.stored import stored_answers
from pipeline.frames import INPUT_RATE_HZ, Samples

SECONDS = 120.0
QUICK_SECONDS = 30.0
SEED = 11
TAIL_S = 8.0
"""Listened to after the sound, for a transcript that comes late."""
STEP_S = 5.0
DETECTORS = (None, "energy")


@dataclass(frozen=True, slots=True)
class Taken:
    """What a session made of a sound. `words` are the final transcripts that have any."""

    noise: str
    starts: int
    words: tuple[str, ...]
    sorry: int
    """How often it said that it had not understood."""
    faults: tuple[str, ...] = ()


def silence(progress: Progress, *, quick: bool = False) -> Result:
    """Both gateways, one after the other. Neither may take a sound for an answer."""
    seconds = QUICK_SECONDS if quick else SECONDS
    sounds = {name: noise(seconds, SEED) for name, noise in NOISES.items()}
    found: list[Metric] = []
    notes = [f"{name}: {level_db(sound):.0f} dB" for name, sound in sounds.items()]
    providers: dict[str, str] = {}
    with progress.runs(len(DETECTORS)):
        for detector in DETECTORS:
            environment = {} if detector is None else {"PARLEY_VAD": detector}
            with Server("offline", sessions=len(sounds), environment=environment) as server:
                named = server.providers()
                providers = providers or named
                vad = named.get("vad", "unknown")
                what = f"{len(sounds)} × {seconds:.0f} s, detector {vad}"
                with progress.run(what) as on_progress:
                    taken = asyncio.run(_sessions(server.sessions_url, sounds, on_progress))
                stored = sum(map(len, stored_answers(server.url).values()))
            found += metrics(vad, taken, stored)
            for one in taken:
                notes += [f"{vad}, {one.noise}: heard {text!r}" for text in one.words]
                notes += [f"{vad}, {one.noise}: {fault}" for fault in one.faults]
    settings = {
        "recogniser": providers.get("stt", "unknown"),
        "minutes": seconds * len(sounds) / 60,
        "seed": SEED,
    }
    return Result("silence", settings, tuple(found), Machine.here(), notes=tuple(notes))


def metrics(detector: str, taken: list[Taken], stored: int) -> list[Metric]:
    """The figures of one gateway, with what must hold."""
    starts = [
        Metric(f"{detector}: taken for the beginning of speech, {one.noise}", one.starts, "")
        for one in taken
    ]
    words = sum(len(one.words) for one in taken)
    broken = sum(bool(one.faults) for one in taken)
    return [
        *starts,
        Metric(f"{detector}: transcripts with words", words, "", limit=0.0),
        Metric(f"{detector}: answers stored", stored, "", limit=0.0),
        Metric(f"{detector}: said that it did not understand", sum(t.sorry for t in taken), ""),
        Metric(f"{detector}: sessions with an error", broken, "", limit=0.0),
    ]


async def _sessions(url: str, sounds: dict[str, Samples], on_progress: OnProgress) -> list[Taken]:
    """Each sound in a session of its own, all at the same time.

    Raises `OSError` if there is no gateway, `CallEnded` if it closes a call.
    """
    sessions = [
        asyncio.create_task(_listen(f"{url}/silence-{os.getpid()}-{name}", name, sound))
        for name, sound in sounds.items()
    ]
    whole_s = max(len(sound) for sound in sounds.values()) / INPUT_RATE_HZ + TAIL_S
    try:
        for step in range(round(whole_s / STEP_S)):
            await asyncio.wait(sessions, timeout=STEP_S)
            on_progress(min(whole_s, (step + 1) * STEP_S), whole_s)
        return await asyncio.gather(*sessions)
    finally:
        for session in sessions:
            session.cancel()


async def _listen(url: str, name: str, sound: Samples) -> Taken:
    async with call(url, interview={"role": "Software Engineer"}) as caller:
        caller.say(frames(sound))
        await caller.until(lambda: not caller.speaking, 2 * len(sound) / INPUT_RATE_HZ)
        await caller.until(lambda: False, TAIL_S)
        return taken(name, caller)


def taken(name: str, caller: Caller) -> Taken:
    """What one finished call came to."""
    turns = [turn for _, turn in sorted(caller.turns.items())]
    canned = [
        fault
        for fault in caller.faults
        if fault["type"] == "degraded" and fault["to"] in ("canned line", "no text")
    ]
    errors = [fault for fault in caller.faults if fault["type"] == "error"]
    return Taken(
        name,
        starts=sum(turn.started_at is not None for turn in turns),
        words=tuple(turn.transcript for turn in turns if turn.transcript),
        sorry=len(canned),
        faults=tuple(str(error["code"]) for error in errors),
    )
