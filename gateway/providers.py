"""From settings to providers: what a deployment wants in each slot, and who answers there."""

from gateway.settings import Settings
from pipeline.frames import Slot
from stages.registry import Choice, Options, choose


def wanted(settings: Settings) -> dict[Slot, str]:
    """The provider's name for each slot that a registry fills, or "auto"."""
    return {
        "vad": settings.vad,
        "stt": settings.stt,
        "llm": settings.llm,
        "tts": settings.tts_engine,
    }


def options(settings: Settings) -> Options:
    """What the providers are told."""
    return Options(whisper_model=settings.whisper_model)


def chosen(settings: Settings) -> dict[Slot, Choice]:
    """Who would answer in each slot, and why. Raises `stages.registry.NoProvider`."""
    told = options(settings)
    return {slot: choose(slot, name, told) for slot, name in wanted(settings).items()}
