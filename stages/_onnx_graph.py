"""Cuts parts out of ONNX models, and wires their nodes anew, as bytes. Pure.

A model whose second half sees only some frames at a time can speak before it has seen the whole
sentence, but it is shipped as one graph. The `onnx` package, which could cut it, is a large
dependency for a few fields of a file: a model is a protocol buffer, in which every field follows
its number and its length, so a part of a graph is a selection of its fields. Field numbers are
those of ONNX's `onnx.proto`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stages._protobuf import field, fields, number_field

_GRAPH = 7  # of a model
_NODE, _INITIALIZER, _INPUT, _OUTPUT, _VALUE_INFO, _QUANTIZATION = (
    1,
    5,
    11,
    12,
    13,
    14,
)  # of a graph
_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR = 1, 2, 4
_TENSOR_NAME, _VALUE_NAME, _VALUE_TYPE = 8, 1, 2
_FLOAT = 1


class NotAModel(ValueError):
    """The bytes are no ONNX model, or its graph lacks a tensor that was asked for."""


@dataclass(frozen=True, slots=True)
class Node:
    """One operation: its name, and those of the tensors that it takes and makes. `field` is how it
    stands in the graph."""

    field: bytes
    operator: bytes
    inputs: tuple[bytes, ...]
    outputs: tuple[bytes, ...]

    @classmethod
    def of(cls, field: bytes, message: bytes) -> "Node":
        named: dict[int, list[bytes]] = {}
        for number, _, value in fields(message):
            named.setdefault(number, []).append(value)
        ins, outs = (tuple(named.get(number, ())) for number in (_NODE_INPUT, _NODE_OUTPUT))
        return cls(field, b"".join(named.get(_NODE_OPERATOR, ())), ins, outs)


def cut(model: bytes, outputs: Sequence[str], inputs: Mapping[str, Sequence[int | str]]) -> bytes:
    """The model of those nodes that `outputs` need, tensors inside the graph included.

    `inputs` are tensors that the part is given in place of computing them: their names, with a
    shape of sizes, or of names for sizes that vary. They are float32. The model's own inputs stay
    inputs where the part needs them. Raises `NotAModel`.
    """
    try:
        return _cut(model, outputs, inputs)
    except (IndexError, UnicodeDecodeError) as error:
        raise NotAModel(f"the file is no ONNX model: {error}") from None


def _cut(model: bytes, outputs: Sequence[str], inputs: Mapping[str, Sequence[int | str]]) -> bytes:
    nodes: list[Node] = []
    named: dict[int, dict[bytes, bytes]] = {_INITIALIZER: {}, _INPUT: {}, _OUTPUT: {}}
    graph_rest, model_rest = b"", b""
    for number, whole, value in fields(model):
        if number != _GRAPH:
            model_rest += whole
            continue
        for part, part_field, part_value in fields(value):
            if part == _NODE:
                nodes.append(Node.of(part_field, part_value))
            elif part in named:
                which = _TENSOR_NAME if part == _INITIALIZER else _VALUE_NAME
                name = next((v for n, _, v in fields(part_value) if n == which), b"")
                named[part][name] = part_field
            elif part not in (_VALUE_INFO, _QUANTIZATION):
                graph_rest += part_field
    given = {name.encode() for name in inputs}
    wanted = [name.encode() for name in outputs]
    needed = set(wanted)
    kept: list[bytes] = []
    for node in reversed(nodes):  # a graph's nodes stand in order of use
        if not needed.isdisjoint(node.outputs) and given.isdisjoint(node.outputs):
            kept.append(node.field)
            needed.update(node.inputs)
    made = {name for node in nodes for name in node.outputs} | named[_INPUT].keys()
    if missing := (given | set(wanted)) - made:
        raise NotAModel(f"the model has no tensor {min(missing).decode()!r}")
    graph = b"".join(
        (
            graph_rest,
            *reversed(kept),
            *(field for name, field in named[_INITIALIZER].items() if name in needed),
            *(field for name, field in named[_INPUT].items() if name in needed),
            *(_float_value(name, shape) for name, shape in inputs.items()),
            *(
                named[_OUTPUT].get(name) or field(_OUTPUT, field(_VALUE_NAME, name))
                for name in wanted
            ),
        )
    )
    return model_rest + field(_GRAPH, graph)


def nodes_of(model: bytes) -> list[Node]:
    """The nodes of a model's graph, in order of use. Raises `NotAModel`."""
    try:
        return [
            Node.of(part_field, part_value)
            for number, _, value in fields(model)
            if number == _GRAPH
            for part, part_field, part_value in fields(value)
            if part == _NODE
        ]
    except IndexError as error:
        raise NotAModel(f"the file is no ONNX model: {error}") from None


def rewired(model: bytes, inputs: Mapping[bytes, Sequence[bytes]]) -> bytes:
    """The model in which the node that makes a tensor takes other `inputs`, by the tensor's name.

    What is not needed any more stays in it: see `cut`. Raises `NotAModel`.
    """
    changes = {
        node.field: field(_NODE, _with_inputs(node, inputs[node.outputs[0]]))
        for node in nodes_of(model)
        if node.outputs[0] in inputs
    }
    if len(changes) < len(inputs):
        raise NotAModel("the model has no tensor of a name that was given")
    return b"".join(
        whole
        if number != _GRAPH
        else field(_GRAPH, b"".join(changes.get(part, part) for _, part, _ in fields(value)))
        for number, whole, value in fields(model)
    )


def _with_inputs(node: Node, inputs: Sequence[bytes]) -> bytes:
    """The message of a node that takes these inputs."""
    [(_, _, message)] = fields(node.field)
    rest = (whole for number, whole, _ in fields(message) if number != _NODE_INPUT)
    return b"".join((*(field(_NODE_INPUT, name) for name in inputs), *rest))


def _float_value(name: str, shape: Sequence[int | str]) -> bytes:
    """A graph's input: its type is a float tensor of this shape."""
    dims = b"".join(
        field(1, number_field(1, dim) if isinstance(dim, int) else field(2, dim.encode()))
        for dim in shape
    )
    tensor = number_field(1, _FLOAT) + field(2, dims)
    return field(_INPUT, field(_VALUE_NAME, name.encode()) + field(_VALUE_TYPE, field(1, tensor)))
