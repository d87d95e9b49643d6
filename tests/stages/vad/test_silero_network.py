"""The network with its convolutions as products, against the official file."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pipeline.frames import Samples
from stages._onnx_graph import NotAModel
from stages.vad import silero
from stages.vad._silero_network import rewritten
from tests.stages.vad.test_silero import clip, noise

onnxruntime = pytest.importorskip("onnxruntime", reason="Silero needs the extra 'offline'")

CHUNK, CONTEXT, STATE = 512, 64, 128

MOST_DIFFERENT = 1e-5
"""Of two probabilities for the same sound; turn-taking rounds them to four digits."""

CLIPS = (
    "software-engineer-1",
    "software-engineer-2",
    "software-engineer-3",
    "product-manager-1",
    "product-manager-2",
    "product-manager-3",
    "data-analyst-1",
    "data-analyst-2",
    "data-analyst-3",
)

Floats = npt.NDArray[np.float32]


def official() -> bytes:
    return silero._model().read_bytes()


def session(model: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def inputs(pcm: Samples) -> list[Samples]:
    """The sound's chunks, each behind the last samples of the one before."""
    sound = np.concatenate((np.zeros(CONTEXT, np.int16), pcm))
    starts = range(0, len(pcm) - CHUNK + 1, CHUNK)
    return [sound[start : start + CONTEXT + CHUNK] for start in starts]


def by_the_file(chunks: list[Samples]) -> list[float]:
    network, found = session(official()), []
    state = np.zeros((2, 1, STATE), np.float32)
    for chunk in chunks:
        sound = chunk[None].astype(np.float32) / 32768
        given = {"input": sound, "state": state, "sr": np.array(16_000, np.int64)}
        output, state = network.run(None, given)
        found.append(float(output[0, 0]))
    return found


def by_products(chunks: list[Samples]) -> list[float]:
    network, found = session(rewritten(official())), []
    h = c = np.zeros((1, 1, STATE), np.float32)
    for chunk in chunks:
        output, h, c = network.run(None, {"input": chunk[None], "h": h, "c": c})
        found.append(float(output[0, 0]))
    return found


@pytest.mark.parametrize("name", CLIPS)
def test_a_clip_is_judged_as_by_the_official_file(name: str) -> None:
    chunks = inputs(clip(name))
    expected, actual = np.array(by_the_file(chunks)), np.array(by_products(chunks))
    assert max(expected) > 0.9
    assert np.abs(expected - actual).max() < MOST_DIFFERENT


def test_noise_and_silence_are_judged_as_by_the_official_file() -> None:
    chunks = inputs(np.concatenate((np.zeros(16_000, np.int16), noise(32_000))))
    expected, actual = np.array(by_the_file(chunks)), np.array(by_products(chunks))
    assert np.abs(expected - actual).max() < MOST_DIFFERENT


@pytest.mark.parametrize("size", [1, 2, 7, 32])
def test_a_chunk_has_the_same_bits_in_every_batch(size: int) -> None:
    network = session(rewritten(official()))
    chunks = np.stack(inputs(clip("data-analyst-1"))[20:84])
    state = np.random.default_rng(1).normal(size=(2, 1, len(chunks), STATE)).astype(np.float32)

    def run(part: slice) -> list[Floats]:
        given = {"input": chunks[part], "h": state[0][:, part], "c": state[1][:, part]}
        output, hidden, cell = network.run(None, given)
        return [output, hidden[0], cell[0]]

    for whole, part in zip(run(slice(None)), run(slice(size)), strict=True):
        assert np.array_equal(whole[:size], part)


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (b"no model", "no ONNX model"),
        (b"", "no If"),
    ],
    ids=["text", "empty"],
)
def test_a_file_without_the_network_is_refused(file: bytes, says: str) -> None:
    with pytest.raises(NotAModel, match=says):
        rewritten(file)


def test_another_network_is_refused() -> None:
    other = official().replace(b"encoder.1.reparam", b"encoder.9.reparam")
    with pytest.raises(NotAModel, match=r"another one: encoder\.1\.reparam_conv\.weight"):
        rewritten(other)
