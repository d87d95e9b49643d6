"""Sound from a voice's spectra, as they come: an inverse STFT by overlap-add. Pure.

The hibari voice describes sound by rows of 12.5 ms: the pitch f0 and five spectral parts. Its
documentation ("ONNX interface" in the package's README) defines the sound by them:

    S = exp(min(lh, 7)) e^(i pi tanh(theta)) E + exp(min(ln, 7)) Z + exp(min(lr, 7)) e^(i phi)

where E is the spectrum of a train of pulses at the pitch, with every harmonic below 11 kHz at the
same amplitude, and Z is complex noise. The sound is the inverse STFT of S with a Hann window of
four rows. A sample is complete once the rows on both sides of it are known, two rows later.
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float32]
Spectra: TypeAlias = tuple[Floats, Floats, Floats, Floats, Floats]
"""lh, theta, ln, lr and phi, each of the shape (601, rows)."""

RATE_HZ = 24_000
ROW = 300
"""Samples from one row to the next: 12.5 ms."""

BINS = 601
LOOK_AHEAD = 2
"""Rows after a row that its samples need."""

_WINDOW_ROWS = 4
_SIZE = _WINDOW_ROWS * ROW
_HALF = _SIZE // 2
_LOUDEST = 7.0
_VOICED_HZ = 40.0
_HIGHEST_HZ = 11_000.0

_HANN = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_SIZE) / _SIZE)).astype(np.float32)
_PULSE_WINDOW = _HANN / np.float32(_SIZE / 4)  # a cosine of amplitude 1 has a peak of 1
_SQUARES = (_HANN * _HANN).reshape(_WINDOW_ROWS, ROW)
_WHOLE = _SQUARES.sum(axis=0)  # 1.5: what the windows of four rows add up to


class Waveform:
    """The sound of one part of a sentence.

    `f0_hz` has the pitch of all rows, 0 where there is none; the spectra come later, in any number
    of rows at a time. The noise is the same for every part: it is drawn from `seed`.
    """

    def __init__(self, f0_hz: Floats, seed: int = 0) -> None:
        self._f0_hz = f0_hz
        self._rows = len(f0_hz)
        self._pulses = np.zeros(self._rows * ROW + _SIZE, np.float32)
        self._pulsed = 0  # rows that have their pulses
        self._turns = 0.0  # of the pulses' phase, at the end of those rows
        self._noise = np.random.default_rng(seed)
        self._done = 0  # rows
        # What the last rows have added to blocks that are not complete, from block `done - 2` on.
        self._open = np.zeros((_WINDOW_ROWS - 1, ROW), np.float32)

    @property
    def missing(self) -> int:
        """Rows whose spectra have not come."""
        return self._rows - self._done

    def add(self, spectra: Spectra) -> Floats:
        """Take the next rows; returns the samples that are now complete (1.0 is full scale).

        The first two rows complete nothing, the last one completes all that is left.
        """
        rows = spectra[0].shape[1]
        first, after = self._done, self._done + rows
        frames = self._frames(spectra, first)
        blocks = np.zeros((rows + _WINDOW_ROWS - 1, ROW), np.float32)
        blocks[: _WINDOW_ROWS - 1] = self._open
        for index in range(_WINDOW_ROWS):
            blocks[index : index + rows] += frames[:, index]
        self._done = after
        self._open = blocks[rows:]
        # Block 0 here is block `first - 2` of the sound: row k reaches from block k - 2 to k + 1.
        start = first - LOOK_AHEAD
        end = self._rows if after == self._rows else after - LOOK_AHEAD
        complete = blocks[max(0, -start) : max(0, end - start)]
        for block in {0, self._rows - 2, self._rows - 1}:
            at = block - max(0, start)
            if 0 <= at < len(complete) and block >= 0:
                complete[at] *= _WHOLE / self._weight(block)
        samples: Floats = (complete / _WHOLE).reshape(-1)
        return samples

    def _frames(self, spectra: Spectra, first: int) -> Floats:
        lh, theta, ln, lr, phi = (part.T for part in spectra)
        rows = len(lh)
        self._pulse(min(first + rows + _WINDOW_ROWS // 2, self._rows))
        source = self._pulses[first * ROW : (first + rows - 1) * ROW + _SIZE]
        windows = np.lib.stride_tricks.sliding_window_view(source, _SIZE)[::ROW]
        spectrum = np.fft.rfft(windows * _PULSE_WINDOW).astype(np.complex64, copy=False)
        spectrum *= _polar(lh, np.float32(np.pi) * np.tanh(theta))
        noise = self._noise.standard_normal((rows, 2 * BINS), dtype=np.float32).view(np.complex64)
        spectrum += noise * np.exp(np.minimum(ln, _LOUDEST))
        spectrum += _polar(lr, phi)
        frames = np.fft.irfft(spectrum, _SIZE).astype(np.float32, copy=False)
        frames *= _HANN
        return frames.reshape(rows, _WINDOW_ROWS, ROW)

    def _pulse(self, until: int) -> None:
        """Make the pulses of the rows before `until`."""
        if until > self._pulsed:
            pulses, self._turns = _pulses(self._f0_hz, self._pulsed, until, self._turns)
            self._pulses[_HALF + self._pulsed * ROW :][: len(pulses)] = pulses
            self._pulsed = until

    def _weight(self, block: int) -> Floats:
        """The sum of the windows in a block near an end, where rows are missing."""
        weight = np.full(ROW, 1e-11, np.float32)
        for index in range(_WINDOW_ROWS):
            if 0 <= block + LOOK_AHEAD - index < self._rows:
                weight += _SQUARES[index]
        return weight


def _polar(log_size: Floats, angle: Floats) -> npt.NDArray[np.complex64]:
    turned = np.empty(log_size.shape, np.complex64)
    np.cos(angle, out=turned.real)
    np.sin(angle, out=turned.imag)
    turned *= np.exp(np.minimum(log_size, _LOUDEST))
    return turned


def _pulses(f0_hz: Floats, first: int, after: int, turns: float) -> tuple[Floats, float]:
    """A train of pulses at the pitch, which is interpolated between the middles of rows.

    Returns the samples of the rows from `first` to before `after`, and the phase at their end;
    `turns` is that at their beginning.
    The sum of the cosines 1..n of an angle t is sin((n + 1/2) t) / (2 sin(t/2)) - 1/2 (the
    Dirichlet kernel), and n where t is a whole turn.
    """
    positions = (np.arange(first * ROW, after * ROW) + 0.5) / ROW - 0.5
    pitch = np.interp(positions, np.arange(len(f0_hz)), f0_hz)
    voiced = pitch > _VOICED_HZ
    pitch = np.maximum(pitch, _VOICED_HZ)
    phase = (turns + np.cumsum(pitch) / RATE_HZ) % 1.0
    angle = (2 * np.pi * phase).astype(np.float32)
    count = np.floor(_HIGHEST_HZ / pitch).astype(np.float32)
    below = 2 * np.sin(angle / 2)
    flat = np.abs(below) <= 2e-3
    below[flat] = 1
    pulses = np.sin((count + np.float32(0.5)) * angle) / below - np.float32(0.5)
    pulses[flat] = count[flat]
    pulses[~voiced] = 0
    return pulses.astype(np.float32, copy=False), float(phase[-1])
