from typing import Any

import numpy as np
import pytest

from stages._onnx_graph import NotAModel, cut, nodes_of, rewired
from tests.support.onnx_bytes import FLOAT, field, model, node, tensor, value


def whole() -> bytes:
    """output = -(input * factor) + offset, in three nodes, and a node that the output does not
    need."""
    return model(
        node("Mul", "input factor", "product")
        + node("Neg", "product", "negative")
        + node("Add", "negative offset", "output")
        + node("Abs", "input", "unused")
        + field(2, "graph")
        + tensor("factor", FLOAT, (1,), np.array([3], np.float32).tobytes())
        + tensor("offset", FLOAT, (1,), np.array([10], np.float32).tobytes())
        + value(11, "input", FLOAT, 1, "size")
        + value(12, "output", FLOAT, 1, "size")
        + value(13, "product", FLOAT, 1, "size")
    )


def run(data: bytes, **inputs: list[float]) -> list[Any]:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    given = {name: np.array([values], np.float32) for name, values in inputs.items()}
    assert sorted(given) == sorted(entry.name for entry in session.get_inputs())
    return [output[0].tolist() for output in session.run(None, given)]


def test_a_tensor_inside_the_graph_becomes_an_output() -> None:
    assert run(cut(whole(), ["output", "product"], {}), input=[1, 2]) == [[7, 4], [3, 6]]


def test_the_first_part_does_without_the_rest() -> None:
    first = cut(whole(), ["product"], {})
    assert run(first, input=[1, 2]) == [[3, 6]]
    assert b"offset" not in first
    assert b"Abs" not in first


def test_the_second_part_takes_what_the_first_one_made() -> None:
    second = cut(whole(), ["output"], {"product": (1, "size")})
    assert run(second, product=[3, 6]) == [[7, 4]]
    assert b"factor" not in second


def test_sizes_may_have_names_or_values() -> None:
    assert run(cut(whole(), ["output"], {"negative": (1, 2)}), negative=[0, 1]) == [[10, 11]]


@pytest.mark.parametrize("outputs", [["sum"], ["output", "sum"]])
def test_a_tensor_that_is_not_there_is_named(outputs: list[str]) -> None:
    with pytest.raises(NotAModel, match="no tensor 'sum'"):
        cut(whole(), outputs, {})
    with pytest.raises(NotAModel, match="no tensor 'sum'"):
        cut(whole(), ["output"], {"sum": (1,)})


@pytest.mark.parametrize("data", [b"", whole()[:-40], b"\x0b", b"\x80", b"RIFF\x24\0\0\0WAVE"])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(NotAModel):
        cut(data, ["output"], {})


def test_fields_of_fixed_width_are_kept() -> None:
    extra = b"\x79" + bytes(8) + b"\x7d" + bytes(4)  # field 15, of 64 and of 32 bits
    assert extra in cut(whole() + extra, ["output"], {})


def test_nodes_are_told_in_order_of_use() -> None:
    told = [(node.operator, node.inputs, node.outputs) for node in nodes_of(whole())]
    assert told == [
        (b"Mul", (b"input", b"factor"), (b"product",)),
        (b"Neg", (b"product",), (b"negative",)),
        (b"Add", (b"negative", b"offset"), (b"output",)),
        (b"Abs", (b"input",), (b"unused",)),
    ]


def test_a_node_may_take_other_tensors() -> None:
    shorter = rewired(whole(), {b"output": (b"product", b"offset")})
    assert run(shorter, input=[1, 2]) == [[13, 16]]
    assert b"Neg" in shorter
    assert b"Neg" not in cut(shorter, ["output"], {})


def test_a_tensor_that_no_node_makes_cannot_be_rewired() -> None:
    with pytest.raises(NotAModel, match="no tensor"):
        rewired(whole(), {b"sum": (b"product",)})
    with pytest.raises(NotAModel):
        rewired(b"\x80", {})
