"""Finds Whisper's weights on this machine, and fetches them on request.

A model is a directory with five files. All are checked before the model is loaded, because
faster-whisper searches the network for a missing file for half a minute.
"""

from collections.abc import Callable
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import Any, Self

NAMES = (
    "tiny",
    "tiny.en",
    "base",
    "base.en",
    "small",
    "small.en",
    "medium",
    "medium.en",
    "large-v3",
    "large-v3-turbo",
)

_FILES = ("config.json", "model.bin", "preprocessor_config.json", "tokenizer.json")
_VOCABULARIES = ("vocabulary.json", "vocabulary.txt")
_CONNECT_S = 5.0


class FetchFailed(Exception):
    """The model could not be downloaded; the text is one sentence that says why."""


def repository(model: str) -> str | None:
    """The Hugging Face repository of a model's name; None for an unknown name."""
    name = "large-v3" if model == "large" else model
    if name == "large-v3-turbo":  # the one that Systran has not converted
        return "mobiuslabsgmbh/faster-whisper-large-v3-turbo"
    return f"Systran/faster-whisper-{name}" if name in NAMES else None


def locate(model: str) -> Path | None:
    """The directory of a model, given by path or by name; never uses the network.

    Names are looked up in the standard Hugging Face cache. The directory may be incomplete: see
    `missing_files`.
    """
    if (name := repository(model)) is None:
        path = Path(model).expanduser()
        return path if path.is_dir() else None
    from huggingface_hub import snapshot_download  # takes 0.2 s
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        patterns = [*_FILES, *_VOCABULARIES]
        return Path(snapshot_download(name, local_files_only=True, allow_patterns=patterns))
    except LocalEntryNotFoundError:
        return None


def missing_files(directory: Path) -> tuple[str, ...]:
    """The files of a model that the directory lacks."""
    missing = [name for name in _FILES if not (directory / name).is_file()]
    if not any((directory / name).is_file() for name in _VOCABULARIES):
        missing.append(_VOCABULARIES[0])
    return tuple(missing)


def check(model: str) -> str | None:
    """None if the model can be loaded here, otherwise a sentence that says what to do."""
    if find_spec("faster_whisper") is None:
        return "faster-whisper is not installed: pip install 'parley-gateway[whisper]'"
    directory = locate(model)
    named = repository(model) is not None
    if directory is None:
        if named:
            return f"Whisper model {model!r} is not on this machine: run `parley fetch {model}`"
        names = ", ".join(NAMES)
        return f"Whisper model {model!r} is neither a directory nor a model's name ({names})"
    if missing := missing_files(directory):
        advice = f": run `parley fetch {model}`" if named else ""
        return f"Whisper model {model!r} is incomplete ({', '.join(missing)} missing){advice}"
    return None


def fetch(model: str, progress: Callable[[int, int], None] | None = None) -> Path:
    """Download a named model into the standard Hugging Face cache; blocks until it is there.

    `progress` is called with the bytes so far and the bytes in all. Raises FetchFailed, within
    seconds if the network cannot be reached.
    """
    if (name := repository(model)) is None:
        raise FetchFailed(
            f"{model!r} is none of the models that can be fetched: {', '.join(NAMES)}"
        )
    if find_spec("faster_whisper") is None:
        raise FetchFailed("faster-whisper is not installed: pip install 'parley-gateway[whisper]'")
    from huggingface_hub import HfApi, hf_hub_download

    try:
        info = HfApi().model_info(name, timeout=_CONNECT_S, files_metadata=True)
    except Exception as error:  # the client's own and its HTTP library's, which differ by version
        raise FetchFailed(f"{name} cannot be reached ({_brief(error)})") from error
    wanted = {
        file.rfilename: file.size or 0
        for file in info.siblings or ()
        if file.rfilename in (*_FILES, *_VOCABULARIES)
    }
    total, done = sum(wanted.values()), 0
    tell = progress or (lambda had, whole: None)
    directory = Path()
    for file, size in wanted.items():
        options: dict[str, Any] = {"etag_timeout": _CONNECT_S}
        if "tqdm_class" in signature(hf_hub_download).parameters:  # not in old versions
            options["tqdm_class"] = _bar(tell, done, total)
        try:
            directory = Path(hf_hub_download(name, file, **options)).parent
        except Exception as error:
            raise FetchFailed(f"{name}/{file} was not downloaded ({_brief(error)})") from error
        done += size
        tell(done, total)
    if missing := missing_files(directory):
        raise FetchFailed(f"{name} lacks {', '.join(missing)}")
    return directory


def _brief(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _bar(tell: Callable[[int, int], None], done: int, total: int) -> type:
    """Replaces the progress bar that huggingface_hub would draw."""

    class Bar:
        def __init__(self, *args: object, initial: int = 0, **options: object) -> None:
            self.had = initial

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *exception: object) -> None:
            pass

        def update(self, n: float | None = 1) -> None:
            self.had += int(n or 0)
            tell(done + self.had, total)

        def update_transfer(self, n: float | None = 1) -> None:
            pass

        def set_postfix_str(self, *args: object, **options: object) -> None:
            pass

        def set_transfer_postfix_str(self, *args: object, **options: object) -> None:
            pass

        def close(self) -> None:
            pass

    return Bar
