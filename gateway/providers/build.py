"""From settings to providers: the choice for each slot, and the stages of that choice."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from gateway.settings import Settings
from pipeline.frames import Slot
from stages.registry import Choice, NoProvider, Options, Server, choose
from stages.third_party import describe
from stages.turn import smart_turn_model

logger = logging.getLogger("parley.engine")


def wanted(settings: Settings) -> dict[Slot, str]:
    """The configured provider of each slot that a registry fills, or "auto"."""
    return {
        "vad": settings.vad,
        "turn": settings.turn,
        "stt": settings.stt,
        "llm": settings.llm,
        "tts": settings.tts_engine,
        "avatar": settings.avatar,
    }


def options(settings: Settings) -> Options:
    """The options for providers. Ollama serves the chat protocol under its path `/v1`."""
    chat_url = settings.llm_url or f"{settings.ollama_url}/v1"
    return Options(
        data_dir=settings.data_dir,
        whisper_model=settings.whisper_model,
        whisper_words=settings.whisper_words,
        stt_words=settings.stt_words,
        language=settings.stt_language,
        stt_server=_server(settings.stt_url, settings.stt_model, settings.stt_key),
        llm_server=_server(chat_url, settings.llm_model, settings.llm_key),
        tts_server=_server(settings.tts_url, settings.tts_model, settings.tts_key),
        tts_voice=settings.tts_voice,
        tts_rate_hz=settings.tts_rate_hz,
        piper_voice=settings.piper_voice,
        lexicon=settings.lexicon,
        turn_model=settings.turn_model or _fetched(smart_turn_model.location(settings.data_dir)),
        stt_workers=_urls(settings.stt_worker),
        tts_workers=_urls(settings.tts_worker),
        worker_key=_secret(settings.worker_key),
        avatar_url=settings.avatar_server,
        avatar_key=_secret(settings.avatar_key),
    )


def _urls(listed: str | None) -> tuple[str, ...]:
    return () if listed is None else tuple(listed.split(","))


def _fetched(model: Path) -> Path | None:
    return model if model.exists() else None


def _server(url: str | None, model: str | None, key: SecretStr | None) -> Server | None:
    if url is None or model is None:
        return None
    return Server(url, model, _secret(key))


def _secret(key: SecretStr | None) -> str | None:
    return None if key is None else key.get_secret_value()


def chosen(settings: Settings) -> dict[Slot, Choice]:
    """The choice of providers for each slot, and why. Raises `stages.registry.NoProvider`."""
    provider_options = options(settings)
    return {slot: choose(slot, name, provider_options) for slot, name in wanted(settings).items()}


def build(choice: Choice, provider_options: Options) -> tuple[Choice, list[Any]]:
    """The stages of a choice, best first, and the choice without providers that cannot be built.

    Raises `stages.registry.NoProvider` if none can be built.
    """
    built: list[Any] = []
    providers, failures = [], []
    for provider in choice.providers:
        try:
            built.append(provider.build(provider_options))
            providers.append(provider)
        except Exception as error:  # from a third party or a library; the other providers remain
            logger.warning("%s: %s cannot be built: %r", choice.slot, provider.name, error)
            failures.append((provider.name, f"it cannot be built: {describe(error)}"))
    if not providers:
        raise NoProvider(choice.slot, tuple(failures))
    why = choice.why
    if providers[0] is not choice.first:
        why = "; ".join(f"{name}: {reason}" for name, reason in failures)
    return replace(choice, providers=tuple(providers), why=why), built
