"""What is known of a provider before it is built, and what it can be told."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.frames import Slot


@dataclass(frozen=True, slots=True)
class Server:
    """An OpenAI-compatible server, which of its models to ask for, and the key it wants.

    The URL may carry a password: neither it nor the key shows in texts.
    """

    url: str = field(repr=False)
    model: str
    key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Options:
    """What the built-in providers are told. None stands for what nobody has configured.

    `language` is the code of what people speak ("en"); without it recognisers find out themselves.
    `whisper_words` and `stt_words` ask Whisper and the transcription server for the words' times.
    `avatar_url` is the server that animates faces, and may carry a password.
    """

    whisper_model: str = "base"
    whisper_words: bool = False
    stt_words: bool = False
    language: str | None = None
    stt_server: Server | None = None
    llm_server: Server | None = None
    tts_server: Server | None = None
    tts_voice: str | None = None
    tts_rate_hz: int = 24_000
    piper_voice: Path | None = None
    avatar_url: str | None = field(default=None, repr=False)
    avatar_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Provider:
    """One way to fill a slot.

    `check` says in a sentence why it cannot work here, or None; it reads files at most and is
    called often. `build` gives the stage, of the slot's protocol in `pipeline.stage`. A stage may
    also have `start()`, a coroutine that loads what the first call would wait for, and `probe()`,
    a coroutine that says in a sentence why it would not answer now, or None, within a second.

    `note` is what people should know about it. `configured` says whether anybody has set up what it
    needs; None for one that needs nothing. `remote`: it needs a network, so it gets more patience,
    and where it is named those that need none stay behind it.
    """

    slot: Slot
    name: str
    summary: str
    check: Callable[[Options], str | None]
    build: Callable[[Options], Any]
    note: str = ""
    configured: Callable[[Options], bool] | None = None
    remote: bool = False
