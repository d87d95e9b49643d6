"""Reads the constants of an ONNX model, and makes a model of nodes and constants, as bytes. Pure.

`_onnx_graph` says why it does without the `onnx` package. Field numbers are those of `onnx.proto`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as of
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from stages._onnx_graph import NotAModel
from stages._protobuf import field, fields, number_field, number_of

Tensor = npt.NDArray[np.float32] | npt.NDArray[np.int64]

Value: TypeAlias = tuple[int, Sequence[int | str]]
"""An input or output: `FLOAT` or `INT16`, and its shape of sizes, or of names for sizes that vary.
"""

IR_VERSION, OPSET = 8, 16

FLOAT, INT16 = 1, 5  # TensorProto.DataType
_INT64 = 7

_MODEL_IR_VERSION, _MODEL_GRAPH, _MODEL_OPSET, _OPSET_VERSION = 1, 7, 8, 2
_NODE, _GRAPH_NAME, _INITIALIZER, _INPUT, _OUTPUT = 1, 2, 5, 11, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR, _NODE_ATTRIBUTE = 1, 2, 4, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_INT, _ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _ATTRIBUTE_TYPE = (
    1,
    3,
    5,
    6,
    20,
)
_IS_INT = 2  # AttributeProto.AttributeType
_DIMS, _DATA_TYPE, _TENSOR_NAME, _RAW_DATA = 1, 2, 8, 9
_VALUE_NAME, _VALUE_TYPE, _TENSOR_TYPE, _ELEMENT, _SHAPE = 1, 2, 1, 1, 2
_DIM, _DIM_VALUE, _DIM_NAME = 1, 1, 2


@dataclass(frozen=True, slots=True)
class NewNode:
    """A node to be made, of an operator of the default domain. "" stands for an input or output
    that is left out."""

    operator: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    attributes: Mapping[str, int] = of(default_factory=dict)


def branch_constants(model: bytes, branch: str) -> dict[str, npt.NDArray[np.float32]]:
    """The float32 arrays that the first `If` of a model makes in its `branch`, by their names.

    Raises `NotAModel`.
    """
    try:
        for node in _all(_only(model, _MODEL_GRAPH), _NODE):
            if _only(node, _NODE_OPERATOR) == b"If":
                for attribute in _all(node, _NODE_ATTRIBUTE):
                    if _only(attribute, _ATTRIBUTE_NAME) == branch.encode():
                        return dict(_constants(_only(attribute, _ATTRIBUTE_GRAPH)))
    except (IndexError, ValueError) as error:
        raise NotAModel(f"the file is no ONNX model: {error}") from None
    raise NotAModel(f"the model has no If with a {branch}")


def _constants(graph: bytes) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    for node in _all(graph, _NODE):
        if _only(node, _NODE_OPERATOR) == b"Constant":
            tensor = _only(_only(node, _NODE_ATTRIBUTE), _ATTRIBUTE_TENSOR)
            if _numbers(tensor, _DATA_TYPE) == [FLOAT] and (raw := _only(tensor, _RAW_DATA)):
                array = np.frombuffer(raw, "<f4").astype(np.float32)
                yield _only(node, _NODE_OUTPUT).decode(), array.reshape(_numbers(tensor, _DIMS))


def _all(message: bytes, number: int) -> Iterator[bytes]:
    return (value for found, _, value in fields(message) if found == number)


def _only(message: bytes, number: int) -> bytes:
    return next(_all(message, number), b"")


def _numbers(message: bytes, number: int) -> list[int]:
    return [number_of(whole) for found, whole, _ in fields(message) if found == number]


def model_of(
    operations: Sequence[NewNode],
    constants: Mapping[str, Tensor],
    inputs: Mapping[str, Value],
    outputs: Mapping[str, Value],
) -> bytes:
    """A model of these nodes, which use the constants by their names."""
    graph = b"".join(
        (
            *(field(_NODE, _node(operation)) for operation in operations),
            field(_GRAPH_NAME, b"network"),
            *(field(_INITIALIZER, _tensor(*item)) for item in constants.items()),
            *(field(_INPUT, _value(*item)) for item in inputs.items()),
            *(field(_OUTPUT, _value(*item)) for item in outputs.items()),
        )
    )
    return b"".join(
        (
            number_field(_MODEL_IR_VERSION, IR_VERSION),
            field(_MODEL_GRAPH, graph),
            field(_MODEL_OPSET, number_field(_OPSET_VERSION, OPSET)),
        )
    )


def _node(operation: NewNode) -> bytes:
    return b"".join(
        (
            *(field(_NODE_INPUT, name.encode()) for name in operation.inputs),
            *(field(_NODE_OUTPUT, name.encode()) for name in operation.outputs),
            field(_NODE_OPERATOR, operation.operator.encode()),
            *(field(_NODE_ATTRIBUTE, _attribute(*item)) for item in operation.attributes.items()),
        )
    )


def _attribute(name: str, value: int) -> bytes:
    return b"".join(
        (
            field(_ATTRIBUTE_NAME, name.encode()),
            number_field(_ATTRIBUTE_INT, value),
            number_field(_ATTRIBUTE_TYPE, _IS_INT),
        )
    )


def _tensor(name: str, values: Tensor) -> bytes:
    kind, stored = (FLOAT, "<f4") if values.dtype == np.float32 else (_INT64, "<i8")
    return b"".join(
        (
            *(number_field(_DIMS, size) for size in values.shape),
            number_field(_DATA_TYPE, kind),
            field(_TENSOR_NAME, name.encode()),
            field(_RAW_DATA, np.ascontiguousarray(values, stored).tobytes()),
        )
    )


def _value(name: str, value: Value) -> bytes:
    kind, shape = value
    dims = b"".join(
        field(
            _DIM,
            number_field(_DIM_VALUE, size)
            if isinstance(size, int)
            else field(_DIM_NAME, size.encode()),
        )
        for size in shape
    )
    tensor = number_field(_ELEMENT, kind) + field(_SHAPE, dims)
    return field(_VALUE_NAME, name.encode()) + field(_VALUE_TYPE, field(_TENSOR_TYPE, tensor))
