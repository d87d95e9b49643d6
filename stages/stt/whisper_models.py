"""Whisper's models by name, and the folders that hold one.

A model is a folder with four files for CTranslate2: `config.json`, `model.bin`, `tokenizer.json`
and a vocabulary. All are checked before the model is loaded, because faster-whisper searches the
network for a missing tokenizer for half a minute. `preprocessor_config.json` may be missing: what
it says follows from the model.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from stages.wheels import sha256_of

MEGABYTES: Mapping[str, int] = {
    "tiny": 78,
    "tiny.en": 78,
    "base": 148,
    "base.en": 148,
    "small": 486,
    "small.en": 486,
    "medium": 1530,
    "medium.en": 1530,
    "large-v3": 3090,
    "large-v3-turbo": 1620,
}
"""The models that have a name, with the size of their files. A name that ends in `.en` is a model
for English only, the others know some hundred languages."""

NAMES = tuple(MEGABYTES)
LICENCE = "MIT"
"""OpenAI's licence for Whisper's code and weights, and that of the conversions."""

FILES = ("config.json", "model.bin", "tokenizer.json")
VOCABULARIES = ("vocabulary.json", "vocabulary.txt")
OPTIONAL = ("preprocessor_config.json",)

NOT_INSTALLED = "faster-whisper is not installed: pip install 'parley-gateway[whisper]'"


class BadWeights(Exception):
    """A model's files are not what they should be. The text is one sentence that names the file,
    what is wrong with it, and what to do."""


def canonical(model: str) -> str:
    """A model's name in the form of `NAMES`; another text is returned as it is."""
    return "large-v3" if model == "large" else model


def repository(model: str) -> str | None:
    """The Hugging Face repository of a model's name; None for an unknown name."""
    name = canonical(model)
    if name == "large-v3-turbo":  # the one that Systran has not converted
        return "mobiuslabsgmbh/faster-whisper-large-v3-turbo"
    return f"Systran/faster-whisper-{name}" if name in NAMES else None


def missing_files(folder: Path) -> tuple[str, ...]:
    """The files of a model that the folder lacks. Raises `OSError` if that cannot be seen."""
    missing = [name for name in FILES if not (folder / name).is_file()]
    if not any((folder / name).is_file() for name in VOCABULARIES):
        missing.append(VOCABULARIES[0])
    return tuple(missing)


_KINDS = (
    ("*.safetensors", "holds weights for PyTorch (safetensors)"),
    ("pytorch_model*.bin", "holds weights for PyTorch"),
    ("*.pt", "holds weights for PyTorch"),
    ("ggml-*.bin", "holds weights for whisper.cpp (GGML)"),
    ("*.gguf", "holds weights for llama.cpp (GGUF)"),
    ("*.onnx.json", "holds a Piper voice"),
    ("*.onnx", "holds an ONNX model"),
    ("*.incomplete", "is half downloaded"),
)
_CONVERT = "; faster-whisper needs a model for CTranslate2 (ct2-transformers-converter makes one)"


def flaw(folder: Path) -> str | None:
    """None if the folder holds all files of a model, otherwise what it is or lacks, for a sentence
    that begins with the folder's name. Reads the folder's names only."""
    try:
        missing = missing_files(folder)
        if not missing:
            return None
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if not names:
        return "is empty"
    if len(missing) > 1 and "model.bin" in missing:
        for pattern, kind in _KINDS:
            if any(Path(name).match(pattern) for name in names):
                return kind + ("" if "half" in kind else _CONVERT)
    return f"is incomplete ({', '.join(missing)} missing)"


def verify(folder: Path, hashes: Mapping[str, str], advice: str) -> None:
    """Read every file that has a known SHA-256, and compare.

    75 MB take about 0.1 s: this belongs in a worker process or a command. `advice` says what to do
    with files that differ. Raises `BadWeights`.
    """
    for name, expected in hashes.items():
        file = folder / name
        try:
            actual = sha256_of(file)
        except OSError as error:
            raise BadWeights(f"{file} cannot be read ({error.strerror}): {advice}") from None
        if actual != expected:
            raise BadWeights(
                f"{file} is damaged or another file: its SHA-256 is {_short(actual)}, not"
                f" {_short(expected)}: {advice}"
            )


def _short(digest: str) -> str:
    return f"{digest[:12]}…"


def installed_engine() -> str | None:
    """None if faster-whisper is installed, otherwise a sentence that says what to do."""
    return NOT_INSTALLED if find_spec("faster_whisper") is None else None
