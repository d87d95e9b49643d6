"""Wheels from a package index of this test's own."""

import hashlib
import sys
from pathlib import Path

import pytest

from stages import wheels
from stages.wheels import WheelFailed, download_wheel, sha256_of
from tests.support.wheels import make_wheel

pytestmark = pytest.mark.slow


class Told:
    """Keeps the progress that is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    def __call__(self, had: int, whole: int) -> None:
        self.calls.append((had, whole))


def test_a_pinned_wheel_is_downloaded_and_checked(index: Path, tmp_path: Path) -> None:
    made = make_wheel(index, {"tiny_wheel/data": b"x" * 1000})
    told = Told()
    wheel = download_wheel("tiny-wheel", "1.0", sha256_of(made), tmp_path / "here", told)
    assert (wheel.parent, wheel.read_bytes()) == (tmp_path / "here", made.read_bytes())
    assert [path.name for path in wheel.parent.iterdir()] == [wheel.name]
    assert told.calls[-1] == (made.stat().st_size, made.stat().st_size)


def test_a_wheel_that_is_there_is_not_downloaded_again(index: Path, tmp_path: Path) -> None:
    made = make_wheel(tmp_path / "here", {"a": b"a"})
    told = Told()
    assert made == download_wheel("tiny-wheel", "1.0", sha256_of(made), tmp_path / "here", told)
    assert told.calls == [(made.stat().st_size, made.stat().st_size)]


def test_a_damaged_wheel_of_an_earlier_call_is_downloaded_again(
    index: Path, tmp_path: Path
) -> None:
    made = make_wheel(index, {"a": b"a"})
    damaged = tmp_path / "here" / made.name
    damaged.parent.mkdir()
    damaged.write_bytes(made.read_bytes()[:-1])
    wheel = download_wheel("tiny-wheel", "1.0", sha256_of(made), tmp_path / "here")
    assert sha256_of(wheel) == sha256_of(made)


def test_a_wheel_with_another_hash_is_deleted_and_named(index: Path, tmp_path: Path) -> None:
    actual = sha256_of(make_wheel(index, {"a": b"tampered"}))
    expected = hashlib.sha256(b"another").hexdigest()
    with pytest.raises(WheelFailed) as caught:
        download_wheel("tiny-wheel", "1.0", expected, tmp_path / "here")
    assert str(caught.value) == (
        "tiny_wheel-1.0-py3-none-any.whl is not the expected file and was deleted:"
        f" its SHA-256 is {actual}, not {expected}"
    )
    assert [*(tmp_path / "here").iterdir()] == []


def test_a_wheel_that_the_index_lacks_is_one_sentence(index: Path, tmp_path: Path) -> None:
    make_wheel(index, {"a": b"a"}, version="2.0")
    with pytest.raises(WheelFailed) as caught:
        download_wheel("tiny-wheel", "1.0", "0" * 64, tmp_path / "here")
    assert str(caught.value) == (
        "tiny-wheel==1.0 was not downloaded (No matching distribution found for tiny-wheel==1.0)"
    )
    assert [*(tmp_path / "here").iterdir()] == []


def test_an_index_that_cannot_be_reached_is_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(WheelFailed) as caught:
        download_wheel("tiny-wheel", "1.0", "0" * 64, tmp_path)
    assert str(caught.value) == (
        "tiny-wheel==1.0 was not downloaded (pip cannot reach the package index)"
    )


def test_without_pip_it_is_said_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(WheelFailed) as caught:
        download_wheel("tiny-wheel", "1.0", "0" * 64, tmp_path)
    assert str(caught.value) == (
        f"tiny-wheel==1.0 needs pip, which this Python lacks: {sys.executable} -m ensurepip"
    )


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In place of pip, a program that writes 2000 bytes and then hangs."""
    program = tmp_path / "python"
    program.write_text(
        f"#!{sys.executable}\nimport sys, time\n"
        "open(sys.argv[4] + '/part', 'wb').write(bytes(2000))\ntime.sleep(60)\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))


@pytest.mark.usefixtures("pretended")
def test_a_download_that_brings_nothing_more_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheels, "STALL_S", 0.5)
    told = Told()
    with pytest.raises(WheelFailed, match=r"was not downloaded \(nothing came for"):
        download_wheel("tiny-wheel", "1.0", "0" * 64, tmp_path / "here", told)
    assert told.calls in ([(2000, 0)], [])  # not, where it was ended before it began
    assert [*(tmp_path / "here").iterdir()] == []


@pytest.mark.usefixtures("pretended")
def test_a_download_that_is_too_large_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheels, "MOST_BYTES", 1999)
    with pytest.raises(WheelFailed, match="more than 1999 bytes came"):
        download_wheel("tiny-wheel", "1.0", "0" * 64, tmp_path / "here")


@pytest.mark.usefixtures("pretended")
def test_an_interrupted_download_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(had: int, whole: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download_wheel("tiny-wheel", "1.0", "0" * 64, tmp_path / "here", interrupt)
    assert [*(tmp_path / "here").iterdir()] == []


@pytest.mark.usefixtures("pretended")
def test_a_download_that_takes_too_long_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheels, "LONGEST_S", 0.5)
    with pytest.raises(WheelFailed, match=r"was not downloaded \(it took over 0\.5 s\)"):
        download_wheel("tiny-wheel", "1.0", "0" * 64, tmp_path / "here")


def test_an_error_after_a_retry_is_told_as_pip_tells_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    again = "WARNING: Retrying (Retry(total={left}, connect=None)) after connection broken\n"
    log.write_text(again.format(left=1) + "ERROR: No matching distribution found for tiny-wheel\n")
    assert wheels._reason(log) == "No matching distribution found for tiny-wheel"
    log.write_text(again.format(left=0) + "ERROR: [Errno 28] No space left on device\n")
    assert wheels._reason(log) == "[Errno 28] No space left on device"
