"""Rewires Smart Turn's network so that it costs a fifth less and gives the same answers. Pure.

The file is quantised throughout: each of its four softmaxes takes and gives numbers of 8 bits.
onnxruntime looks those up one by one, 2.7 ms for 960 000 values, while a softmax of floats takes
0.3 ms. Here each softmax takes the floats from before they were quantised, which is also nearer to
the network before its quantisation. GELU, x(1 + erf(x/√2))/2, is written in the file in an order
that onnxruntime does not recognise: 0.3 ms in each of eight places. Measured on one thread of an
AMD EPYC with onnxruntime 1.32: 45.5 ms became 35.
"""

from stages._onnx_graph import Node, NotAModel, cut, nodes_of, rewired

OUTPUT = "logits"


def rewired_network(model: bytes) -> bytes:
    """The rewired network, without the nodes that it no longer needs. Raises `NotAModel`."""
    nodes = nodes_of(model)
    makers = {name: node for node in nodes for name in node.outputs}
    users = {name: node for node in nodes for name in node.inputs}
    changes: dict[bytes, tuple[bytes, ...]] = {}
    try:
        for node in nodes:
            if node.operator == b"Softmax":
                changes |= _floats(node, makers)
            elif node.operator == b"Erf":
                changes |= _gelu(node, makers, users)
    except (KeyError, IndexError) as error:
        raise NotAModel(f"the network is another one: {error}") from None
    return cut(rewired(model, changes), [OUTPUT], {})


def _floats(softmax: Node, makers: dict[bytes, Node]) -> dict[bytes, tuple[bytes, ...]]:
    """Before: floats, QuantizeLinear, DequantizeLinear, softmax."""
    restored = makers[softmax.inputs[0]]
    if restored.operator != b"DequantizeLinear":
        return {}
    quantised = makers[restored.inputs[0]]
    return {softmax.outputs[0]: quantised.inputs[:1]}


def _gelu(
    erf: Node, makers: dict[bytes, Node], users: dict[bytes, Node]
) -> dict[bytes, tuple[bytes, ...]]:
    """Before: x · (½ · (1 + erf(x / √2))). After: (x · (1 + erf(x / √2))) · ½."""
    x = makers[erf.inputs[0]].inputs[0]
    sum_ = users[erf.outputs[0]].outputs[0]
    inner = users[sum_]
    outer = users[inner.outputs[0]]
    if inner.operator != b"Mul" or outer.operator != b"Mul" or x not in outer.inputs:
        return {}
    [half] = set(inner.inputs) - {sum_}
    return {inner.outputs[0]: (x, sum_), outer.outputs[0]: (inner.outputs[0], half)}
