import itertools
from importlib.util import find_spec

import numpy as np
import pytest

from stages.tts._waveform import BINS, RATE_HZ, ROW, Floats, Spectra, Waveform

ROWS = 40
SILENT = -40.0
"""The logarithm of no sound."""


def spectra(rows: int = ROWS, *, seed: int = 1, noise: float = SILENT) -> Spectra:
    random = np.random.default_rng(seed)
    lh, theta, ln, lr, phi = (
        random.normal(0, 1, (BINS, rows)).astype(np.float32) for _ in range(5)
    )
    return lh - 1, theta, np.full_like(ln, noise), lr - 2, phi


def pitch(rows: int = ROWS) -> Floats:
    f0 = np.linspace(180, 240, rows).astype(np.float32)
    f0[rows // 2 : rows // 2 + 5] = 0
    return f0


def at_once(of: Spectra, f0_hz: Floats) -> Floats:
    return Waveform(f0_hz).add(of)


def some(of: Spectra, first: int, after: int) -> Spectra:
    lh, theta, ln, lr, phi = (part[:, first:after] for part in of)
    return lh, theta, ln, lr, phi


@pytest.mark.parametrize("cuts", [(1,), (2,), (3, 4, 5), (16, 38), (1, 2, 39), range(1, 40)])
def test_the_sound_does_not_depend_on_how_the_rows_come(cuts: tuple[int, ...]) -> None:
    of = spectra(noise=-1.0)
    wave = Waveform(pitch())
    edges = [0, *cuts, ROWS]
    pieces = [wave.add(some(of, a, b)) for a, b in itertools.pairwise(edges)]
    np.testing.assert_allclose(np.concatenate(pieces), at_once(of, pitch()), atol=1e-5)
    assert wave.missing == 0


def test_samples_come_two_rows_after_their_row() -> None:
    wave = Waveform(pitch())
    assert [len(wave.add(some(spectra(), n, n + 1))) for n in range(4)] == [0, 0, ROW, ROW]
    assert wave.missing == ROWS - 4
    assert len(wave.add(some(spectra(), 4, ROWS))) == (ROWS - 2) * ROW


@pytest.mark.parametrize("rows", [1, 2, 3, 4])
def test_few_rows_are_sound_too(rows: int) -> None:
    sound = at_once(spectra(rows), pitch(rows))
    assert sound.shape == (rows * ROW,)
    assert bool(np.isfinite(sound).all())


def test_a_voiced_row_sounds_at_its_pitch() -> None:
    flat = np.zeros((BINS, ROWS), np.float32)
    nothing = np.full_like(flat, SILENT)
    sound = at_once((flat, flat, nothing, nothing, flat), np.full(ROWS, 200, np.float32))
    middle = np.abs(np.fft.rfft(sound[3000:9000]))
    assert np.argmax(middle[10:70]) + 10 == 200 * 6000 // RATE_HZ


def test_without_a_pitch_there_are_no_pulses() -> None:
    flat = np.zeros((BINS, ROWS), np.float32)
    nothing = np.full_like(flat, SILENT)
    sound = at_once((flat, flat, nothing, nothing, flat), np.zeros(ROWS, np.float32))
    assert float(np.abs(sound).max()) < 1e-6


@pytest.mark.skipif(find_spec("hibari") is None, reason="hibari-tts is not installed")
def test_the_sound_is_that_of_the_package() -> None:
    from hibari import dsp

    of, f0 = spectra(), pitch()
    reference = dsp.synth(*of, f0, np.random.default_rng(0))
    # The package lets the pulses go on beyond the ends, as in a mirror; here there are none.
    inside = slice(4 * ROW, -4 * ROW)
    np.testing.assert_allclose(at_once(of, f0)[inside], reference[inside], atol=1e-3)
