"""ONNX models for tests, byte by byte: fields of a protocol buffer, nodes, tensors and values."""

FLOAT, INT64 = 1, 7
"""Types of a tensor's elements."""


def field(number: int, value: int | bytes | str) -> bytes:
    """One field of a protocol buffer."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    data = bytearray()
    while value > 127:
        data.append(value & 127 | 128)
        value >>= 7
    return bytes([*data, value])


def node(operator: str, inputs: str, output: str, attribute: bytes = b"") -> bytes:
    names = b"".join(field(1, name) for name in inputs.split())
    return field(1, names + field(2, output) + field(4, operator) + attribute)


def tensor(name: str, kind: int, dims: tuple[int, ...], raw: bytes) -> bytes:
    return field(
        5, b"".join(field(1, dim) for dim in dims) + field(2, kind) + field(8, name) + field(9, raw)
    )


def value(number: int, name: str, kind: int, *dims: str | int) -> bytes:
    shape = b"".join(field(1, field(2 if isinstance(d, str) else 1, d)) for d in dims)
    return field(number, field(1, name) + field(2, field(1, field(1, kind) + field(2, shape))))


def model(graph: bytes) -> bytes:
    """A model of opset 15 with this graph."""
    return field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 15))
