import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages._onnx_graph import NotAModel
from stages.turn._rewiring import rewired_network
from tests.support.onnx_bytes import FLOAT, field, model, node, tensor, value

UINT8 = 2


def number(name: str, found: float) -> bytes:
    return tensor(name, FLOAT, (), np.float32(found).tobytes())


def network(gelu_inputs: str = "rest half", outer: str = "input halved") -> bytes:
    """A softmax between quantised numbers after a GELU, in the order of Smart Turn's file."""
    return model(
        node("Div", "input root", "scaled")
        + node("Erf", "scaled", "erf")
        + node("Add", "erf one", "rest")
        + node("Mul", gelu_inputs, "halved")
        + node("Mul", outer, "gelu")
        + node("QuantizeLinear", "gelu step zero", "bytes")
        + node("DequantizeLinear", "bytes step zero", "floats")
        + node("Softmax", "floats", "logits")
        + field(2, "graph")
        + number("root", math.sqrt(2))
        + number("one", 1)
        + number("half", 0.5)
        + number("step", 0.5)
        + tensor("zero", UINT8, (), bytes([128]))
        + value(11, "input", FLOAT, 1, "size")
        + value(12, "logits", FLOAT, 1, "size")
    )


def said(data: bytes, values: list[float]) -> Any:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return session.run(None, {"input": np.array([values], np.float32)})[0][0]


VALUES = [-1.0, 0.1, 0.3, 2.0]
GELU = [x * (1 + math.erf(x / math.sqrt(2))) / 2 for x in VALUES]


def test_a_softmax_takes_the_numbers_from_before_they_were_rounded() -> None:
    exact = np.exp(GELU) / np.sum(np.exp(GELU))
    rounded = np.exp(np.round(np.array(GELU) * 2) / 2)
    assert said(network(), VALUES) == pytest.approx(rounded / rounded.sum(), abs=1e-5)
    assert said(rewired_network(network()), VALUES) == pytest.approx(exact, abs=1e-5)


def test_what_is_not_needed_any_more_is_left_out() -> None:
    found = rewired_network(network())
    assert b"QuantizeLinear" not in found
    assert b"step" not in found


def test_what_is_written_in_another_way_stays() -> None:
    found = rewired_network(network(outer="half halved"))
    halves = [0.5 * (1 + math.erf(x / math.sqrt(2))) / 2 for x in VALUES]
    assert said(found, VALUES) == pytest.approx(np.exp(halves) / np.sum(np.exp(halves)), abs=1e-5)
    plain = model(
        node("Neg", "input", "floats")
        + node("Softmax", "floats", "logits")
        + field(2, "graph")
        + value(11, "input", FLOAT, 1, "size")
        + value(12, "logits", FLOAT, 1, "size")
    )
    assert said(rewired_network(plain), VALUES) == pytest.approx(said(plain, VALUES))


def test_another_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotAModel, match="the network is another one"):
        rewired_network(model(node("Softmax", "input", "logits")))
    with pytest.raises(NotAModel):
        rewired_network(b"RIFF\x24\0\0\0WAVE")
