"""The description of a provider before it is built, and the options it is built with."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.frames import Slot


@dataclass(frozen=True, slots=True)
class Server:
    """An OpenAI-compatible server, the model to ask it for, and its key.

    The URL may contain a password: neither the password nor the key is shown in any text.
    """

    url: str = field(repr=False)
    model: str
    key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Options:
    """The configuration of the built-in providers. None means not configured.

    `language` is the code of the language that recognisers must know ("en"), None for any; the
    language of an utterance is given with the utterance.
    `whisper_words` and `stt_words` ask Whisper and the transcription server for the words' times.
    `stt_workers` and `tts_workers` are URLs of workers elsewhere, which `worker_key` opens.
    `avatar_url` is the server that animates faces, and may contain a password. `whisper_model` is a
    model's name, a folder, or "auto". `data_dir` is the folder for what must survive a restart.
    `lexicon` is a file that says how words are spoken (`stages.tts.pronunciation`). `turn_model` is
    Smart Turn's file.
    """

    data_dir: Path = Path("var")
    whisper_model: str = "auto"
    whisper_words: bool = False
    stt_words: bool = False
    language: str | None = None
    stt_server: Server | None = None
    llm_server: Server | None = None
    tts_server: Server | None = None
    tts_voice: str | None = None
    tts_rate_hz: int = 24_000
    piper_voice: Path | None = None
    lexicon: Path | None = None
    turn_model: Path | None = None
    stt_workers: tuple[str, ...] = ()
    tts_workers: tuple[str, ...] = ()
    worker_key: str | None = field(default=None, repr=False)
    avatar_url: str | None = field(default=None, repr=False)
    avatar_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Provider:
    """One way to fill a slot.

    `check` returns a sentence why the provider cannot work here, or None; it only reads files and
    is called often. `build` makes the stage, of the slot's protocol in `pipeline.stage`. A stage
    may also have three coroutines: `start()` loads what the first call would wait for, `probe()`
    returns within a second a sentence why the stage would not answer now, or None, and `trial()`
    says within five seconds the same of a small piece of work. Two plain methods may tell more:
    `detail()` what `start` has loaded, such as the model's name, and `learned()` what the stage
    found out about its server, as a tuple of a few words each.

    `note` is shown to people. `configured` says whether the settings that the provider needs are
    there; None for a provider that needs none. A `remote` provider needs a network: it gets longer
    limits, and when it is chosen by name, the providers without a network remain as fallbacks.
    `verify` says like `check` why the provider cannot work, but by the contents of its files, some
    megabytes; it is called if the provider is chosen by name, and by `parley doctor`.
    """

    slot: Slot
    name: str
    summary: str
    check: Callable[[Options], str | None]
    build: Callable[[Options], Any]
    note: str = ""
    configured: Callable[[Options], bool] | None = None
    remote: bool = False
    verify: Callable[[Options], str | None] | None = None
