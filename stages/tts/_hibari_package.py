"""The package `hibari-tts`: its names, its files, and the inside of its network.

All that Parley knows of the package is here. It uses the phonemiser (`G2P`) and symbols through
public names, and cuts the network in two at a tensor inside: the first half reads the phonemes and
plans lengths, pitch and energy of the whole part; the second turns rows of that plan into spectra,
and sees at most 27 rows to each side, so that it can work on a few rows at a time. Such names hold
for one file only; that is why its hash is checked. The voice "heart" is distilled from Kokoro-82M;
the package is under Apache-2.0.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stages._onnx_graph import cut
from stages.tts._waveform import BINS, Floats, Spectra

VERSION = "0.2.1"
MODEL = "hibari.onnx"
MODEL_SHA256 = "5f70741d4e900f4e85d0037498736cc1b3e1b9a63a13546a5da1e63abf4fccd8"
"""Of `hibari/assets/hibari.onnx` in the wheel hibari_tts-0.2.1-py3-none-any.whl."""

LONGEST = 300
"""Phoneme symbols that are planned at once, about 20 s of speech. The package's own limit is 400,
but a plan is one step of work, for which others wait."""

ROWS_PER_LENGTH = 2
"""The network's lengths count 25 ms; its rows are 12.5 ms."""

MARGIN = 12
"""Rows on both sides with which rows are decoded. Measured on the log spectra: more changes them
by no more than the network's own quantisation does (0.04); 4 rows change them by twice that."""

_PLAN, _LENGTHS, _PITCH = "/Concat_43_output_0", "/Round_output_0", "f0"
_PLAN_CHANNELS = 130
_ENERGY = 129
_SPECTRA = ("lh", "theta", "ln", "lr", "phi")

_INSTALL = "pip install 'parley-gateway[offline]'"


def check() -> str | None:
    """None if the package can be used here, otherwise a sentence that says what to do. It imports
    neither the package nor onnxruntime."""
    try:
        version = metadata.version("hibari-tts")
    except metadata.PackageNotFoundError:
        return f"hibari-tts is not installed: {_INSTALL}"
    if version != VERSION:
        return f"hibari-tts is {version}, but only {VERSION} is known: {_INSTALL}"
    for name in ("hibari", "onnxruntime"):
        if find_spec(name) is None:
            return f"hibari-tts needs {name}, which is not installed: {_INSTALL}"
    if not model_path().is_file():
        return f"the voice {model_path()} is missing: pip install --force-reinstall hibari-tts"
    return None


def verify() -> str | None:
    """The same as `check`, with the hash of the voice's file."""
    if (problem := check()) is not None:
        return problem
    try:
        read_model(model_path())
    except WrongModel as error:
        return str(error)
    return None


def model_path() -> Path:
    """Where the package keeps the voice."""
    spec = find_spec("hibari")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "assets" / MODEL


class UnreadableText(Exception):
    """The phonemiser cannot read a text; the text says why."""


class WrongModel(Exception):
    """The voice's file cannot be used: the text names it and says what to do."""


def read_model(path: Path) -> bytes:
    """The voice's file, after a check of its hash. Raises `WrongModel`."""
    try:
        model = path.read_bytes()
    except OSError as error:
        raise WrongModel(f"the voice {path} cannot be read: {error.strerror}") from None
    if (found := hashlib.sha256(model).hexdigest()) != MODEL_SHA256:
        raise WrongModel(
            f"the voice {path} is damaged or another one: its sha256 is {found[:16]}…, not "
            f"{MODEL_SHA256[:16]}… (pip install --force-reinstall hibari-tts=={VERSION})"
        )
    return model


@dataclass(frozen=True, slots=True)
class Token:
    """A word or mark of the text as the phonemiser sees it, and its phonemes ("" for none)."""

    text: str
    phonemes: str
    space: bool


@dataclass(frozen=True, slots=True)
class SpeechPlan:
    """The output of the network's first half for one part.

    `symbols` are the phonemes that the voice knows, with a `_` for the silence at both ends;
    `lengths` are theirs, in rows of 12.5 ms; `f0_hz` and `energy` have a value for each row.
    """

    symbols: str
    lengths: tuple[int, ...]
    f0_hz: Floats
    energy: Floats
    _tensor: npt.NDArray[np.float32]

    @property
    def rows(self) -> int:
        return len(self.f0_hz)


class HibariPackage:
    """The phonemiser and the two halves of the network, in one thread. Loading takes about 0.6 s.

    Raises `WrongModel` for a voice's file with another hash.
    """

    def __init__(self, path: Path) -> None:
        from hibari.g2p import G2P

        model = read_model(path)
        self._plan = _session(cut(model, (_PLAN, _LENGTHS, _PITCH), {}))
        self._decode = _session(cut(model, _SPECTRA, {_PLAN: (1, _PLAN_CHANNELS, "rows")}))
        self._ids: dict[str, int] = json.loads((path.parent / "vocab.json").read_text("utf-8"))
        self._g2p = G2P()

    def tokens(self, text: str) -> list[Token]:
        """The text's words and marks in order, with their phonemes.

        The package's own rewriting of numbers and abbreviations is left out: it would lose the
        words' positions, and `stages.tts.pronunciation` has done it. Raises `UnreadableText`.
        """
        try:
            tokens = self._g2p.phonemize_tokens(self._g2p.tokenize(text))
        except Exception as error:  # it reads any text, and fails on some in ways of its own
            raise UnreadableText(f"{type(error).__name__}: {error}") from error
        return [
            Token(token.text, self._known(token.phonemes or ""), bool(token.whitespace))
            for token in tokens
        ]

    def _known(self, phonemes: str) -> str:
        return "".join(symbol for symbol in phonemes if symbol in self._ids)

    def plan(self, symbols: str) -> SpeechPlan:
        """Plan a part of at most `LONGEST` symbols, all of them known."""
        ids = [0, *(self._ids[symbol] for symbol in symbols), 0]
        inputs = {"ids": np.array([ids], np.int64), "speed": np.ones(1, np.float32)}
        tensor, lengths, f0_hz = self._plan.run((_PLAN, _LENGTHS, _PITCH), inputs)
        return SpeechPlan(
            f"_{symbols}_",
            tuple(ROWS_PER_LENGTH * int(length) for length in lengths),
            f0_hz[0],
            tensor[0, _ENERGY],
            tensor,
        )

    def decode(self, plan: SpeechPlan, first: int, after: int) -> Spectra:
        """The spectra of the plan's rows from `first` to before `after`."""
        since, until = max(0, first - MARGIN), min(plan.rows, after + MARGIN)
        outputs: Sequence[Any] = self._decode.run(
            _SPECTRA, {_PLAN: plan._tensor[:, :, since:until]}
        )
        lh, theta, ln, lr, phi = (
            output[0, :BINS, first - since : after - since] for output in outputs
        )
        return lh, theta, ln, lr, phi


def _session(model: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
