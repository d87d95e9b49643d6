"""What Parley knows of the package hibari-tts holds for the one that is installed."""

import hashlib
import subprocess
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import PipelineError
from stages.tts import _hibari_package
from stages.tts.hibari import HibariSynthesizer, check
from stages.tts.pronunciation import Pronunciation
from tests.support.paths import ROOT

needs_package = pytest.mark.skipif(
    find_spec("hibari") is None, reason="hibari-tts is not installed"
)


@needs_package
def test_the_package_is_the_one_whose_names_are_used() -> None:
    assert check() is None
    assert metadata.version("hibari-tts") == _hibari_package.VERSION
    model = _hibari_package.read_model(_hibari_package.model_path())
    assert hashlib.sha256(model).hexdigest() == _hibari_package.MODEL_SHA256


@pytest.mark.slow
@needs_package
def test_every_digit_of_unicode_can_be_read() -> None:
    package = _hibari_package.HibariPackage(_hibari_package.model_path())
    figures = [sign for sign in map(chr, range(sys.maxunicode + 1)) if sign.isdigit()]
    assert len([sign for sign in figures if not sign.isdecimal()]) >= 128
    for sign in figures:
        reading = Pronunciation().read(f"Pick {sign}Kafka or 1{sign}, {sign}.")
        assert package.tokens(reading.text)
    with pytest.raises(_hibari_package.UnreadableText, match="ValueError: invalid literal"):
        package.tokens("⑴ first")


@pytest.mark.slow
@needs_package
def test_the_packages_phonemes_fit_its_network() -> None:
    package = _hibari_package.HibariPackage(_hibari_package.model_path())
    tokens = package.tokens("Hello, it's Zyx!")
    assert [token.text for token in tokens] == ["Hello", ",", "it's", "Zyx", "!"]
    symbols = "".join(token.phonemes + " " * token.space for token in tokens)
    assert symbols.startswith("həlˈO, ɪts")
    plan = package.plan(symbols)
    assert plan.symbols == f"_{symbols}_"
    assert sum(plan.lengths) == plan.rows == len(plan.energy)
    whole, part = package.decode(plan, 0, plan.rows), package.decode(plan, 40, 60)
    assert whole[0].shape == (601, plan.rows)
    # In parts the network's quantisation differs, and nothing else.
    assert float(np.abs(whole[0][:, 40:60] - part[0]).mean()) < 0.1
    loud = plan.energy > 0
    assert whole[0].mean(axis=0)[loud].mean() > whole[0].mean(axis=0)[~loud].mean() + 3


def test_a_voice_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(_hibari_package.WrongModel, match=r"hibari.onnx cannot be read: No such"):
        _hibari_package.read_model(tmp_path / "hibari.onnx")


def test_a_check_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    install = "pip install 'parley-gateway[offline]'"
    monkeypatch.setattr(_hibari_package.metadata, "version", missing)
    assert check() == f"hibari-tts is not installed: {install}"
    with pytest.raises(PipelineError, match="hibari-tts is not installed"):
        HibariSynthesizer()
    monkeypatch.setattr(_hibari_package.metadata, "version", lambda name: "0.3.0")
    assert check() == f"hibari-tts is 0.3.0, but only 0.2.1 is known: {install}"
    monkeypatch.setattr(_hibari_package.metadata, "version", lambda name: "0.2.1")
    monkeypatch.setattr(_hibari_package, "find_spec", lambda name: None)
    assert check() == f"hibari-tts needs hibari, which is not installed: {install}"


@needs_package
def test_a_check_says_that_the_voice_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "hibari.onnx"
    monkeypatch.setattr(_hibari_package, "model_path", lambda: path)
    assert check() == f"the voice {path} is missing: pip install --force-reinstall hibari-tts"


@needs_package
def test_a_check_imports_nothing_heavy() -> None:
    program = (
        "import sys; from stages.tts import hibari; assert hibari.check() is None; "
        "print([name for name in ('onnxruntime', 'hibari') if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert found.stdout.strip() == "[]"


@needs_package
def test_a_voice_of_another_hash_is_told_without_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _hibari_package.verify() is None
    voice = tmp_path / "hibari.onnx"
    voice.write_bytes(b"another voice")
    monkeypatch.setattr(_hibari_package, "model_path", lambda: voice)
    assert check() is None
    assert str(_hibari_package.verify()).startswith(f"the voice {voice} is damaged or another one")
    voice.unlink()
    assert _hibari_package.verify() == check()
