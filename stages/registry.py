"""Provider names and what stands behind them: which work here, which one answers, and why.

::

    NoProvider                    nothing that was asked for works here; `reasons` say what to do
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipeline.frames import Slot

AUTO = "auto"


class NoProvider(Exception):
    """No provider of a slot can work here. `reasons` are pairs of a name and a sentence."""

    def __init__(self, slot: Slot, reasons: tuple[tuple[str, str], ...]) -> None:
        super().__init__(slot, reasons)
        self.slot = slot
        self.reasons = reasons

    def __str__(self) -> str:
        tried = "; ".join(f"{name}: {reason}" for name, reason in self.reasons)
        return f"no {self.slot} provider works here ({tried})"


@dataclass(frozen=True, slots=True)
class Options:
    """What providers can be told."""

    whisper_model: str = "base"


@dataclass(frozen=True, slots=True)
class Provider:
    """One way to fill a slot. `check` says in a sentence why it cannot work here, or None."""

    slot: Slot
    name: str
    summary: str
    check: Callable[[Options], str | None]
    build: Callable[[Options], Any]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """The providers that fill a slot, best first, and why the first of them is first."""

    slot: Slot
    providers: tuple[Provider, ...]
    why: str

    @property
    def first(self) -> Provider:
        return self.providers[0]


def choose(slot: Slot, wanted: str, options: Options) -> Choice:
    """Providers for `slot`: the one called `wanted`, or for "auto" all that work here, best first.

    Raises `NoProvider` where none does, `KeyError` for a name that is not registered.
    """
    known = [provider for provider in PROVIDERS if provider.slot == slot]
    if wanted != AUTO:
        known = [provider for provider in known if provider.name == wanted]
        if not known:
            raise KeyError(f"{slot} has no provider {wanted!r}")
    working, reasons = [], []
    for provider in known:
        reason = provider.check(options)
        if reason is None:
            working.append(provider)
        else:
            reasons.append((provider.name, reason))
    if not working:
        raise NoProvider(slot, tuple(reasons))
    return Choice(slot, tuple(working), _why(wanted, working, known, reasons))


def _why(
    wanted: str,
    working: list[Provider],
    known: list[Provider],
    reasons: list[tuple[str, str]],
) -> str:
    if wanted != AUTO:
        return "chosen by configuration"
    if len(known) == 1:
        return "the only one built in"
    better = known[: known.index(working[0])]
    passed = [f"{name}: {reason}" for name, reason in reasons if name in {p.name for p in better}]
    return "; ".join(passed) if passed else "the best of those built in"


# --- what is built in, best first in every slot ----------------------------------------------
# Third-party modules are imported by what uses them, when it is used: a missing extra is a reason
# that `check` gives, not an ImportError at start.


def _check_silero(options: Options) -> str | None:
    from stages.vad import silero

    return silero.check()


def _silero(options: Options) -> Any:
    from stages.vad.silero import SileroDetector

    return SileroDetector()


def _energy(options: Options) -> Any:
    from stages.vad.energy import EnergyDetector

    return EnergyDetector()


def _check_whisper(options: Options) -> str | None:
    from stages.stt import whisper

    return whisper.check(options.whisper_model)


def _whisper(options: Options) -> Any:
    from stages.stt.whisper import WhisperTranscriber

    return WhisperTranscriber(options.whisper_model)


def _check_pocketsphinx(options: Options) -> str | None:
    from stages.stt import pocketsphinx

    return pocketsphinx.check()


def _pocketsphinx(options: Options) -> Any:
    from stages.stt.pocketsphinx import PocketsphinxTranscriber

    return PocketsphinxTranscriber()


def _scripted(options: Options) -> Any:
    from stages.llm.scripted import ScriptedInterviewer

    return ScriptedInterviewer()


def _check_espeak(options: Options) -> str | None:
    from stages.tts import espeak

    return espeak.check()


def _espeak(options: Options) -> Any:
    from stages.tts.espeak import EspeakSynthesizer

    return EspeakSynthesizer()


def _works(options: Options) -> None:
    return None


PROVIDERS: tuple[Provider, ...] = (
    Provider("vad", "silero", "Silero voice detection (ONNX)", _check_silero, _silero),
    Provider("vad", "energy", "loudness above the noise", _works, _energy, note="fallback"),
    Provider("stt", "whisper", "Whisper through faster-whisper", _check_whisper, _whisper),
    Provider(
        "stt",
        "pocketsphinx",
        "CMU pocketsphinx, US English, offline",
        _check_pocketsphinx,
        _pocketsphinx,
        note="demo quality",
    ),
    Provider("llm", "scripted", "the scripted interviewer", _works, _scripted),
    Provider("tts", "espeak-ng", "espeak-ng with phoneme timing", _check_espeak, _espeak),
)
