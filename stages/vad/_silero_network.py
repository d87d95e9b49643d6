"""Silero's network with its convolutions as matrix products over the whole batch.

The official file convolves each chunk by itself: products of 128 × 387 by 387 × 4, in which the
weights are read again for four columns. The same sums as products of the batch by the weights take
a quarter of the time from batches of 16 on. Built from the weights of the official file when the
detector is made; nothing of it is stored. Pure.

One chunk is 576 samples, four overlapping frames of 256 every 128 (the last one reflected at the
chunk's end). From their magnitude spectra of 129 bins four convolutions over time, of width 3,
make one vector of 128; an LSTM and a last product make the probability of it.

The sums are added in another order, so probabilities differ by about 1e-6 from the official ones
(`tests/stages/vad/test_silero_network.py`). As in the official file, a chunk's bits do not depend
on the chunks that are judged with it, as far as the processor's matrix products keep that.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from stages._onnx_graph import NotAModel
from stages._onnx_model import FLOAT, INT16, NewNode, Tensor, branch_constants, model_of

CHUNK, FRAME, HOP, FRAMES, BINS = 576, 256, 128, 4, 129
PADDING = (FRAMES - 1) * HOP + FRAME - CHUNK
"""Samples that the last frame takes from the chunk's reflection: 64."""

FULL_SCALE = np.float32(32768)
"""The network wants samples from -1 to 1. A power of two, so that no bit is lost."""

WIDTH = 3
HIDDEN = 128

BRANCH = "then_branch"
"""The part of the official file for 16 kHz."""

STFT = "stft.forward_basis_buffer"
SHAPES: Mapping[str, tuple[int, ...]] = {
    STFT: (2 * BINS, 1, FRAME),
    "encoder.0.reparam_conv.weight": (128, BINS, WIDTH),
    "encoder.0.reparam_conv.bias": (128,),
    "encoder.1.reparam_conv.weight": (64, 128, WIDTH),
    "encoder.1.reparam_conv.bias": (64,),
    "encoder.2.reparam_conv.weight": (64, 64, WIDTH),
    "encoder.2.reparam_conv.bias": (64,),
    "encoder.3.reparam_conv.weight": (HIDDEN, 64, WIDTH),
    "encoder.3.reparam_conv.bias": (HIDDEN,),
    "decoder.rnn.weight_ih": (4 * HIDDEN, HIDDEN),
    "decoder.rnn.weight_hh": (4 * HIDDEN, HIDDEN),
    "decoder.rnn.bias_ih": (4 * HIDDEN,),
    "decoder.rnn.bias_hh": (4 * HIDDEN,),
    "decoder.decoder.2.weight": (1, HIDDEN, 1),
    "decoder.decoder.2.bias": (1,),
}
"""The weights that the network consists of."""

Floats = npt.NDArray[np.float32]


def rewritten(official: bytes) -> bytes:
    """The official file as the network that is described above.

    Inputs: `input` [N, 576], samples of 16 bits, and of the LSTM `h` and `c` [1, N, 128]. Outputs:
    `output` [N, 1], and the state after it, `hn` and `cn`.

    Raises `NotAModel` if the bytes are another network, or none.
    """
    return _Graph(_weights(branch_constants(official, BRANCH))).model()


def _weights(constants: Mapping[str, Floats]) -> dict[str, Floats]:
    named = {name.rpartition("__")[2]: values for name, values in constants.items()}
    wrong = [name for name, shape in SHAPES.items() if np.shape(named.get(name, 0.0)) != shape]
    if wrong:
        raise NotAModel(f"the network is another one: {', '.join(wrong)}")
    return named


class _Graph:
    def __init__(self, weights: Mapping[str, Floats]) -> None:
        self._weights = weights
        self._nodes: list[NewNode] = []
        self._constants: dict[str, Tensor] = {"columns": np.array([1], np.int64)}

    def model(self) -> bytes:
        self._spectra()
        self._convolve_spectra()
        self._dense(1, "y0", "y1", frames=4, stride=2)
        self._dense(2, "y1", "y2", frames=2, stride=2)
        self._dense(3, "y2", "y3", frames=1, stride=1)
        self._decide()
        state = FLOAT, (1, "N", HIDDEN)
        return model_of(
            self._nodes,
            self._constants,
            {"input": (INT16, ("N", CHUNK)), "h": state, "c": state},
            {"output": (FLOAT, ("N", 1)), "hn": state, "cn": state},
        )

    def _node(self, operator: str, inputs: Sequence[str], *outputs: str, **attributes: int) -> None:
        self._nodes.append(NewNode(operator, inputs, outputs, attributes))

    def _slice(self, source: str, start: int, stop: int, output: str) -> None:
        for column in (start, stop):
            self._constants[f"at{column}"] = np.array([column], np.int64)
        self._node("Slice", (source, f"at{start}", f"at{stop}", "columns"), output)

    def _spectra(self) -> None:
        """`input` [N, 576] to `spectra` [N, 4 * 129]."""
        basis = self._weights[STFT][:, 0].T / FULL_SCALE
        self._node("Cast", ("input",), "samples", to=FLOAT)
        # The samples behind the chunk's end are those before it, in reverse order.
        last = basis[: FRAME - PADDING].copy()
        last[-1 - PADDING : -1] += basis[FRAME - PADDING :][::-1]
        self._constants |= {"basis": basis, "last": last, "halves": np.array([BINS] * 2, np.int64)}
        for frame in range(FRAMES):
            start = frame * HOP
            self._slice("samples", start, min(start + FRAME, CHUNK), f"frame{frame}")
            basis_name = "last" if frame == FRAMES - 1 else "basis"
            self._node("MatMul", (f"frame{frame}", basis_name), f"bins{frame}")
            self._node(
                "Split", (f"bins{frame}", "halves"), f"real{frame}", f"imaginary{frame}", axis=1
            )
        for part in ("real", "imaginary"):
            self._node("Concat", [f"{part}{frame}" for frame in range(FRAMES)], part, axis=1)
            self._node("Mul", (part, part), f"{part}_power")
        self._node("Add", ("real_power", "imaginary_power"), "power")
        self._node("Sqrt", ("power",), "spectra")

    def _convolve_spectra(self) -> None:
        """`spectra` to `y0` [N, 4 * 128], two frames at a time: each needs three of the spectra."""
        bias = np.tile(self._weights["encoder.0.reparam_conv.bias"], 2)
        self._constants["bias0"] = bias
        for half in range(2):
            self._slice("spectra", half * BINS, (half + 3) * BINS, f"near{half}")
            self._constants[f"conv0.{half}"] = _matrix(
                self._weights["encoder.0.reparam_conv.weight"],
                inputs=range(half, half + 3),
                outputs=range(2 * half, 2 * half + 2),
                stride=1,
            )
            self._node("Gemm", (f"near{half}", f"conv0.{half}", "bias0"), f"pair{half}")
        self._node("Concat", ("pair0", "pair1"), "pairs", axis=1)
        self._node("Relu", ("pairs",), "y0")

    def _dense(self, layer: int, source: str, output: str, *, frames: int, stride: int) -> None:
        """A convolution over all frames of a chunk as one product."""
        weight = self._weights[f"encoder.{layer}.reparam_conv.weight"]
        bias = self._weights[f"encoder.{layer}.reparam_conv.bias"]
        outputs = frames // stride
        self._constants |= {
            f"conv{layer}": _matrix(
                weight, inputs=range(frames), outputs=range(outputs), stride=stride
            ),
            f"bias{layer}": np.tile(bias, outputs),
        }
        self._node("Gemm", (source, f"conv{layer}", f"bias{layer}"), f"sum{layer}")
        self._node("Relu", (f"sum{layer}",), output)

    def _decide(self) -> None:
        weights = self._weights
        self._constants |= {
            "first": np.array([0], np.int64),
            "input_weights": _onnx_gates(weights["decoder.rnn.weight_ih"])[None],
            "state_weights": _onnx_gates(weights["decoder.rnn.weight_hh"])[None],
            "gate_biases": np.concatenate(
                [_onnx_gates(weights[f"decoder.rnn.bias_{part}"]) for part in ("ih", "hh")]
            )[None],
            "decision": weights["decoder.decoder.2.weight"][:, :, 0].T,
            "decision_bias": weights["decoder.decoder.2.bias"],
        }
        self._node("Unsqueeze", ("y3", "first"), "step")
        given = ("step", "input_weights", "state_weights", "gate_biases", "", "h", "c")
        self._node("LSTM", given, "", "hn", "cn", hidden_size=HIDDEN)
        self._node("Squeeze", ("hn", "first"), "hidden")
        self._node("Relu", ("hidden",), "active")
        self._node("Gemm", ("active", "decision", "decision_bias"), "logit")
        self._node("Sigmoid", ("logit",), "output")


def _matrix(weight: Floats, *, inputs: range, outputs: range, stride: int) -> Floats:
    """A convolution [out, in, 3] that looks one frame back and one ahead, from the frames `inputs`,
    side by side in a row, to the frames `outputs`. Frames that do not exist are zero."""
    filters, channels, width = weight.shape
    matrix = np.zeros((len(inputs) * channels, len(outputs) * filters), np.float32)
    for row, source in enumerate(inputs):
        for column, target in enumerate(outputs):
            tap = source - target * stride + 1
            if 0 <= tap < width:
                matrix[
                    row * channels : (row + 1) * channels, column * filters : (column + 1) * filters
                ] = weight[:, :, tap].T
    return matrix


def _onnx_gates(weight: Floats) -> Floats:
    """The gates in the order of ONNX (input, output, forget, cell), from PyTorch's (i, f, c, o)."""
    i, f, c, o = np.split(weight, 4)
    return np.concatenate([i, o, f, c])
