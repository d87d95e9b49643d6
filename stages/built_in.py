"""Parley's own providers, best first in every slot.

Providers that need configuration come before the others; the offline default is last. A provider's
modules are imported when it is checked or built: a missing extra is a reason that `check` gives,
not an ImportError at start.
"""

from typing import Any

from stages.provider import Options, Provider


def _check_silero(options: Options) -> str | None:
    from stages.vad import silero

    return silero.check()


def _silero(options: Options) -> Any:
    from stages.vad.silero import SileroDetector

    return SileroDetector()


def _energy(options: Options) -> Any:
    from stages.vad.energy import EnergyDetector

    return EnergyDetector()


def _check_smart_turn(options: Options) -> str | None:
    from stages.turn import smart_turn_model

    if options.turn_model is None:
        return f"its model is not here: {smart_turn_model.ADVICE}, or set PARLEY_TURN_MODEL"
    return smart_turn_model.check(options.turn_model)


def _verify_smart_turn(options: Options) -> str | None:
    from stages.turn import smart_turn_model

    return None if options.turn_model is None else smart_turn_model.verify(options.turn_model)


def _smart_turn(options: Options) -> Any:
    from stages.turn.smart_turn import SmartTurnModel

    assert options.turn_model is not None
    return SmartTurnModel(options.turn_model)


def _rules(options: Options) -> Any:
    from stages.turn.rules import Rules

    return Rules()


def _check_remote_stt(options: Options) -> str | None:
    return None if options.stt_workers else "no worker is named: set PARLEY_STT_WORKER"


def _remote_stt(options: Options) -> Any:
    from stages.stt.remote import RemoteTranscriber

    return RemoteTranscriber(options.stt_workers, key=options.worker_key)


def _check_remote_tts(options: Options) -> str | None:
    return None if options.tts_workers else "no worker is named: set PARLEY_TTS_WORKER"


def _remote_tts(options: Options) -> Any:
    from stages.tts.remote import RemoteSynthesizer

    return RemoteSynthesizer(
        options.tts_workers, key=options.worker_key, rate_hz=options.tts_rate_hz
    )


def _check_openai_stt(options: Options) -> str | None:
    if options.stt_server is None:
        return "no server is named: set PARLEY_STT_URL and PARLEY_STT_MODEL"
    return None


def _openai_stt(options: Options) -> Any:
    from stages.stt.openai import OpenAITranscriber

    server = options.stt_server
    assert server is not None
    return OpenAITranscriber(
        server.url,
        server.model,
        api_key=server.key,
        word_times=options.stt_words,
    )


def _check_whisper(options: Options) -> str | None:
    from stages.stt import whisper_sources

    if options.whisper_model.endswith(".en") and not _english(options):
        return f"WHISPER_MODEL={options.whisper_model} {_only_english(options)}"
    return whisper_sources.check(options.whisper_model, options.data_dir, options.language)


def _whisper(options: Options) -> Any:
    from stages.stt.whisper import WhisperTranscriber

    return WhisperTranscriber(
        options.whisper_model,
        data_dir=options.data_dir,
        stand_in=True,
        language=options.language,
        word_timestamps=options.whisper_words,
    )


def _check_pocketsphinx(options: Options) -> str | None:
    from stages.stt import pocketsphinx

    if not _english(options):
        return f"it {_only_english(options)}"
    return pocketsphinx.check()


def _pocketsphinx(options: Options) -> Any:
    from stages.stt.pocketsphinx import PocketsphinxTranscriber

    return PocketsphinxTranscriber()


def _english(options: Options) -> bool:
    return options.language in (None, "en")


def _only_english(options: Options) -> str:
    return f"understands English only, not PARLEY_STT_LANGUAGE={options.language}"


def _check_openai_llm(options: Options) -> str | None:
    return "no model is named: set PARLEY_LLM_MODEL" if options.llm_server is None else None


def _openai_llm(options: Options) -> Any:
    from stages.llm.openai import OpenAIResponder

    server = options.llm_server
    assert server is not None
    return OpenAIResponder(server.url, server.model, api_key=server.key)


def _scripted(options: Options) -> Any:
    from stages.llm.scripted import ScriptedInterviewer

    return ScriptedInterviewer()


def _tts_configured(options: Options) -> bool:
    return options.tts_server is not None and options.tts_voice is not None


def _check_openai_tts(options: Options) -> str | None:
    if not _tts_configured(options):
        return "no voice is named: set PARLEY_TTS_URL, PARLEY_TTS_MODEL and PARLEY_TTS_VOICE"
    return None


def _openai_tts(options: Options) -> Any:
    from stages.tts.openai import OpenAISynthesizer

    server = options.tts_server
    assert server is not None
    assert options.tts_voice is not None
    return OpenAISynthesizer(
        server.url,
        server.model,
        options.tts_voice,
        api_key=server.key,
        rate_hz=options.tts_rate_hz,
    )


def _check_piper(options: Options) -> str | None:
    from stages.tts import piper

    if options.piper_voice is None:
        return "no voice is named: set PARLEY_PIPER_VOICE to its .onnx file"
    reason = piper.check(options.piper_voice)
    return None if reason is None else f"PARLEY_PIPER_VOICE is set, but {reason}"


def _piper(options: Options) -> Any:
    from stages.tts.piper import PiperSynthesizer

    assert options.piper_voice is not None
    return PiperSynthesizer(options.piper_voice)


def _check_hibari(options: Options) -> str | None:
    from stages.tts import hibari

    return hibari.check()


def _verify_hibari(options: Options) -> str | None:
    from stages.tts import hibari

    return hibari.verify()


def _hibari(options: Options) -> Any:
    from stages.tts.hibari import HibariSynthesizer

    return HibariSynthesizer(_lexicon(options))


def _lexicon(options: Options) -> dict[str, str]:
    from stages.tts.pronunciation import read_lexicon

    return {} if options.lexicon is None else read_lexicon(options.lexicon)


def _check_espeak(options: Options) -> str | None:
    from stages.tts import espeak

    return espeak.check()


def _espeak(options: Options) -> Any:
    from stages.tts.espeak import EspeakSynthesizer

    return EspeakSynthesizer(lexicon=_lexicon(options))


def _check_remote(options: Options) -> str | None:
    return "no server is named: set PARLEY_AVATAR_URL" if options.avatar_url is None else None


def _remote(options: Options) -> Any:
    from stages.avatar.remote import RemoteAnimator

    assert options.avatar_url is not None
    return RemoteAnimator(options.avatar_url, api_key=options.avatar_key)


def _check_face(options: Options) -> str | None:
    from stages.avatar import local

    return local.check()


def _face(options: Options) -> Any:
    from stages.avatar.local import Local

    return Local("face")


def _visemes(options: Options) -> Any:
    from stages.avatar.local import Local

    return Local("visemes")


def _works(options: Options) -> None:
    return None


PROVIDERS: tuple[Provider, ...] = (
    Provider("vad", "silero", "Silero voice detection (ONNX)", _check_silero, _silero),
    Provider("vad", "energy", "loudness above the noise", _works, _energy, note="fallback"),
    Provider(
        "turn",
        "smart-turn",
        "Smart Turn v3.2 beside the rules (ONNX)",
        _check_smart_turn,
        _smart_turn,
        configured=lambda options: options.turn_model is not None,
        verify=_verify_smart_turn,
    ),
    Provider("turn", "rules", "silence and the words' endings", _works, _rules),
    Provider(
        "stt",
        "remote",
        "a recognition worker elsewhere (parley worker stt)",
        _check_remote_stt,
        _remote_stt,
        configured=lambda options: bool(options.stt_workers),
        remote=True,
    ),
    Provider(
        "stt",
        "openai",
        "an OpenAI-compatible transcription server",
        _check_openai_stt,
        _openai_stt,
        configured=lambda options: options.stt_server is not None,
        remote=True,
    ),
    Provider("stt", "whisper", "Whisper through faster-whisper", _check_whisper, _whisper),
    Provider(
        "stt",
        "pocketsphinx",
        "CMU pocketsphinx, US English, offline",
        _check_pocketsphinx,
        _pocketsphinx,
        note="demo quality",
    ),
    Provider(
        "llm",
        "openai",
        "a chat model behind an OpenAI-compatible server",
        _check_openai_llm,
        _openai_llm,
        configured=lambda options: options.llm_server is not None,
        remote=True,
    ),
    Provider("llm", "scripted", "the scripted interviewer", _works, _scripted),
    Provider(
        "tts",
        "remote",
        "a synthesis worker elsewhere (parley worker tts)",
        _check_remote_tts,
        _remote_tts,
        configured=lambda options: bool(options.tts_workers),
        remote=True,
    ),
    Provider(
        "tts",
        "openai",
        "an OpenAI-compatible speech server",
        _check_openai_tts,
        _openai_tts,
        configured=_tts_configured,
        remote=True,
    ),
    Provider(
        "tts",
        "piper",
        "Piper, from a local voice file",
        _check_piper,
        _piper,
        configured=lambda options: options.piper_voice is not None,
    ),
    Provider(
        "tts", "hibari", "a neural voice, English", _check_hibari, _hibari, verify=_verify_hibari
    ),
    Provider("tts", "espeak-ng", "espeak-ng with phoneme timing", _check_espeak, _espeak),
    Provider(
        "avatar",
        "remote",
        "a server that animates faces",
        _check_remote,
        _remote,
        configured=lambda options: options.avatar_url is not None,
        remote=True,
    ),
    Provider("avatar", "face", "the built-in face, drawn here", _check_face, _face),
    Provider("avatar", "visemes", "mouth shapes; the client draws", _works, _visemes),
)
