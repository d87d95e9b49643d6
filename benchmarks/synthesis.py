"""The voices of this machine: how soon they speak, how loud, and whether mouth and words are right.

The default voice speaks every prompt of the question banks, sentence by sentence as in a session.
Whisper base then listens to it: a voice that it does not understand is no voice for people either.
Every other local voice speaks a few prompts, for its loudness. No gateway runs.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.cue_errors import pause_errors_ms, release_errors_ms
from benchmarks.progress import OnProgress, Progress
from benchmarks.result import Machine, Metric, Result, percentiles
from benchmarks.speech import at_input_rate
from benchmarks.timing import Summary
from benchmarks.word_errors import differences, word_errors
from benchmarks.word_forms import words
from gateway.providers.build import chosen, options
from gateway.settings import Settings
from pipeline.errors import PipelineError
from pipeline.frames import Samples, Sentence, Viseme
from pipeline.sentences import SentenceSplitter
from pipeline.speakable import speakable
from pipeline.stage import Synthesizer
from stages.interview.bank import bank_for, roles
from stages.provider import Provider
from stages.registry import PROVIDERS, obstacle
from stages.stt.whisper_sources import model_folder
from stages.tts.loudness import TARGET_LUFS, loudness_lufs, true_peak_dbfs

FIRST_BYTE_LIMIT_MS = 40.0
CUE_LIMIT_MS = 40.0
UNDERSTOOD_LIMIT = 0.05
LOUDNESS_LIMIT = 1.5
PEAK_LIMIT_DB = 0.0
"""Above it something clips, be it between two samples."""
QUICK_STEP = 8
"""The quick form leaves out all prompts but every eighth."""
FEW = 5
"""Prompts for the loudness of a voice that is not the default."""
_BREATHED = re.compile("h|who", re.IGNORECASE)
LISTENERS = 2
"""Prompts that Whisper base hears at the same time, each on one thread."""


@dataclass(slots=True)
class Spoken:
    """The speech of one prompt, and what was measured of it."""

    text: str
    pcm: Samples
    rate_hz: int
    first_ms: list[float] = field(default_factory=list)
    """Of each sentence."""
    pauses_ms: list[float] = field(default_factory=list)
    releases_ms: list[float] = field(default_factory=list)


def prompts() -> list[str]:
    """Every prompt of every role once, in the order of the banks."""
    return list(dict.fromkeys(text for role in roles() for text in bank_for(role).texts.values()))


def synthesis(progress: Progress, base: Path | None = None, *, quick: bool = False) -> Result:
    """The default voice in full, the others in short; `base` is a folder with Whisper base.

    Without that folder, and without the one that `parley fetch base` fills, nobody listens.
    """
    settings = Settings.load(env_file=None)
    default = chosen(settings)["tts"].first
    others = [
        provider
        for provider in PROVIDERS
        if provider.slot == "tts"
        and not provider.remote
        and provider.name != default.name
        and obstacle(provider, options(settings)) is None
    ]
    folder = base or model_folder(settings.data_dir, "base")
    listening = (folder / "model.bin").is_file()
    texts = prompts()[:: QUICK_STEP if quick else 1]
    notes: list[str] = []
    with progress.runs(1 + len(others) + listening):
        with progress.run(f"{default.name}, {len(texts)} prompts") as on_progress:
            spoken = asyncio.run(_speak(default, settings, texts, on_progress))
        found = [*metrics(default.name, spoken), *levels(default.name, spoken)]
        for provider in others:
            with progress.run(f"{provider.name}, {FEW} prompts") as on_progress:
                few = asyncio.run(_speak(provider, settings, texts[:FEW], on_progress))
            found += levels(provider.name, few)
        if listening:
            with progress.run(f"Whisper base listens to {default.name}") as on_progress:
                heard = understand(folder, spoken, on_progress)
            found.append(understood(default.name, spoken, heard))
            notes += misheard(spoken, heard)
        else:
            notes.append(
                f"nobody listened: there is no Whisper base in {folder} "
                "(parley fetch base, or --base DIR)"
            )
    return Result(
        "synthesis",
        {"voice": default.name, "prompts": len(texts)},
        tuple(found),
        Machine.here(),
        notes=tuple(notes),
    )


# --- speaking ------------------------------------------------------------------------------------


async def _speak(
    provider: Provider, settings: Settings, texts: Sequence[str], on_progress: OnProgress
) -> list[Spoken]:
    """Have a voice speak the texts, one sentence after the other."""
    spoken = []
    async with _stage(provider, settings) as stage:
        async for _ in stage.speak(Sentence(0, "Hello.")):
            pass  # what a process does once, it does before the first session
        for number, text in enumerate(texts, 1):
            spoken.append(await speech(stage, text))
            on_progress(number, len(texts))
    return spoken


@asynccontextmanager
async def _stage(provider: Provider, settings: Settings) -> AsyncIterator[Synthesizer]:
    stage = provider.build(options(settings))
    try:
        if (start := getattr(stage, "start", None)) is not None:
            await start()
        yield stage
    finally:
        await stage.aclose()


async def speech(stage: Synthesizer, text: str) -> Spoken:
    """One prompt, its sentences joined. Raises `PipelineError` where the voice cannot say it."""
    parts: list[Samples] = []
    spoken = Spoken(text, np.zeros(0, np.int16), stage.rate_hz)
    for sentence in _sentences(text):
        asked_at = time.monotonic()
        first_ms: float | None = None
        pieces: list[Samples] = []
        cues: list[Viseme] = []
        breathed_ms: list[float] = []
        async for piece in stage.speak(Sentence(0, sentence)):
            if first_ms is None and len(piece.pcm):
                first_ms = (time.monotonic() - asked_at) * 1000
            pieces.append(piece.pcm)
            cues += piece.cues
            breathed_ms += [
                word.at_ms for word in piece.words if _BREATHED.match(sentence, word.offset)
            ]
        if first_ms is None:
            raise PipelineError(f"{stage.provider} said nothing for {sentence!r}")
        pcm = np.concatenate(pieces)
        parts.append(pcm)
        spoken.first_ms.append(first_ms)
        spoken.pauses_ms += pause_errors_ms(pcm, stage.rate_hz, cues, breathed_ms)
        spoken.releases_ms += release_errors_ms(pcm, stage.rate_hz, cues)
    spoken.pcm = np.concatenate(parts)
    return spoken


def _sentences(text: str) -> Iterator[str]:
    """The pieces of a reply as a session gives them to the voice."""
    splitter = SentenceSplitter()
    for sentence in (*splitter.push(text), *splitter.finish()):
        if said := speakable(sentence).text:
            yield said


# --- listening -----------------------------------------------------------------------------------


def understand(folder: Path, spoken: Sequence[Spoken], on_progress: OnProgress) -> list[str]:
    """What the Whisper in `folder` hears in each prompt. Blocks; takes about a second for each."""
    from faster_whisper import WhisperModel

    model = WhisperModel(
        str(folder),
        device="cpu",
        compute_type="int8",
        cpu_threads=1,
        num_workers=LISTENERS,
        local_files_only=True,
    )

    def hear(one: Spoken) -> str:
        sound = _floats(at_input_rate(one.pcm, one.rate_hz))
        segments, _ = model.transcribe(
            sound, language="en", beam_size=1, without_timestamps=True, vad_filter=False
        )
        return " ".join(segment.text.strip() for segment in segments)

    heard = []
    with ThreadPoolExecutor(LISTENERS) as listeners:
        for number, text in enumerate(listeners.map(hear, spoken), 1):
            heard.append(text)
            on_progress(number, len(spoken))
    return heard


# --- figures -------------------------------------------------------------------------------------


def metrics(voice: str, spoken: Sequence[Spoken]) -> list[Metric]:
    """How soon a voice speaks, and how far its mouth shapes are from the sound."""
    first = Summary.of(value for one in spoken for value in one.first_ms)
    pauses = Summary.of(value for one in spoken for value in one.pauses_ms)
    releases = Summary.of(value for one in spoken for value in one.releases_ms)
    return [
        *percentiles(f"{voice}: sentence → first byte", "ms", first, {"p50": FIRST_BYTE_LIMIT_MS}),
        *percentiles(f"{voice}: pause ends, cue to sound", "ms", pauses, {"p95": CUE_LIMIT_MS}),
        *percentiles(f"{voice}: plosives, cue to sound", "ms", releases, {"p95": CUE_LIMIT_MS}),
    ]


def levels(voice: str, spoken: Sequence[Spoken]) -> list[Metric]:
    """The loudness of all that a voice said, and its highest peak."""
    rate_hz = spoken[0].rate_hz
    whole = loudness_lufs(_floats(np.concatenate([one.pcm for one in spoken])), rate_hz)
    away = abs(whole - TARGET_LUFS)
    peak = max(true_peak_dbfs(_floats(one.pcm)) for one in spoken)
    return [
        Metric(f"{voice}: loudness", whole, "LUFS"),
        Metric(f"{voice}: away from {TARGET_LUFS:g} LUFS", away, "LU", limit=LOUDNESS_LIMIT),
        Metric(f"{voice}: true peak", peak, "dB", limit=PEAK_LIMIT_DB),
    ]


def _floats(pcm: Samples) -> npt.NDArray[np.float32]:
    """Samples with 1.0 as full scale."""
    return pcm.astype(np.float32) / np.float32(32768)


def understood(voice: str, spoken: Sequence[Spoken], heard: Sequence[str]) -> Metric:
    """The word error rate over all prompts."""
    pairs = [(words(one.text), words(text)) for one, text in zip(spoken, heard, strict=True)]
    count = sum(len(said) for said, _ in pairs)
    errors = sum(word_errors(said, text) for said, text in pairs)
    name = f"{voice}: WER of Whisper base"
    return Metric(name, errors / count, "", limit=UNDERSTOOD_LIMIT, count=count)


def misheard(spoken: Sequence[Spoken], heard: Sequence[str]) -> Iterator[str]:
    """A line for each prompt that was not understood to the word."""
    for one, text in zip(spoken, heard, strict=True):
        if found := differences(words(one.text), words(text)):
            yield f"{one.text} — {'; '.join(map(str, found))}"
