"""Sounds of a room in which nobody speaks, made of seeded noise. Pure: no file, no clock.

All are 16 kHz mono. Levels are those of a headset or laptop microphone, in dB below full scale:

- `quiet`: the hum of the mains (50 Hz and two overtones) at -62 dB under hiss at -66 dB;
- `breath`: breathing near the microphone every three to five seconds: noise with the broad bands of
  a breath (300 to 3,000 Hz, in through the mouth brighter than out), rising and falling over 0.5 to
  1.3 s, its peaks 25 to 35 dB below full scale;
- `typing`: key strokes in bursts, five to eight a second, each the click of the key going down, a
  duller one as it comes up, both with the decay of a small room; now and then the click of a mouse;
- `steady`: noise at -40 dB, white and pink by turns;
- `restless`: breath, typing and steady noise together, with a cough, a chair or a knock every ten
  to twenty seconds.
"""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from pipeline.frames import INPUT_RATE_HZ, Samples

Sound = npt.NDArray[np.float64]
Noise = Callable[[float, int], Samples]
"""Makes so many seconds with a seed."""

STEADY_DB = -40.0
HISS_DB, HUM_DB = -66.0, -62.0
HUM_HZ = 50.0


def level_db(sound: Samples) -> float:
    """The level of a sound in dB below a full-scale square wave; -inf for silence."""
    power = float(np.mean((sound.astype(float) / 32768.0) ** 2)) if len(sound) else 0.0
    return 10 * float(np.log10(power)) if power else -float("inf")


def quiet(seconds: float, seed: int) -> Samples:
    return _samples(_room(_count(seconds), np.random.default_rng(seed)))


def breath(seconds: float, seed: int) -> Samples:
    rng = np.random.default_rng(seed)
    count = _count(seconds)
    return _samples(_room(count, rng) + _breathing(count, rng))


def typing(seconds: float, seed: int) -> Samples:
    rng = np.random.default_rng(seed)
    count = _count(seconds)
    return _samples(_room(count, rng) + _keys(count, rng))


def steady(seconds: float, seed: int) -> Samples:
    """Noise at -40 dB in stretches of ten seconds, white and pink by turns."""
    rng = np.random.default_rng(seed)
    count = _count(seconds)
    stretches = []
    for number in range(-(-count // _count(10))):
        hiss = rng.standard_normal(_count(10))
        stretches.append(_at_db(hiss if number % 2 == 0 else _shaped(hiss, _pink), STEADY_DB))
    return _samples(np.concatenate(stretches)[:count])


def restless(seconds: float, seed: int) -> Samples:
    """Everything together, with events that are nearest to speech."""
    rng = np.random.default_rng(seed)
    count = _count(seconds)
    sound = _at_db(_shaped(rng.standard_normal(count), _pink), STEADY_DB)
    sound += _breathing(count, rng) + _keys(count, rng)
    events = (_cough, _chair, _knock)
    at = rng.uniform(5, 10)
    number = 0
    while at < seconds:
        _add(sound, events[number % len(events)](rng), _count(at))
        at += rng.uniform(10, 20)
        number += 1
    return _samples(sound)


NOISES: Mapping[str, Noise] = {
    "quiet": quiet,
    "breath": breath,
    "typing": typing,
    "steady": steady,
    "restless": restless,
}


# --- what they are made of -----------------------------------------------------------------------


def _room(count: int, rng: np.random.Generator) -> Sound:
    """The hum of the mains under a microphone's hiss."""
    times = np.arange(count) / INPUT_RATE_HZ
    phases = rng.uniform(0, 2 * np.pi, 3)
    hum = sum(
        np.sin(2 * np.pi * HUM_HZ * overtone * times + phase) / overtone
        for overtone, phase in zip((1, 2, 3), phases, strict=True)
    )
    return _at_db(np.asarray(hum), HUM_DB) + _at_db(rng.standard_normal(count), HISS_DB)


def _breathing(count: int, rng: np.random.Generator) -> Sound:
    sound = np.zeros(count)
    at = rng.uniform(0.5, 2.0)
    while (start := _count(at)) < count:
        inward = _puff(rng, rng.uniform(0.5, 0.9), (500.0, 3_000.0), rng.uniform(-32, -25))
        _add(sound, inward, start)
        out = _puff(rng, rng.uniform(0.7, 1.3), (300.0, 1_500.0), rng.uniform(-35, -28))
        _add(sound, out, start + len(inward) + _count(rng.uniform(0.1, 0.3)))
        at += rng.uniform(3.0, 5.0)
    return sound


def _puff(
    rng: np.random.Generator, seconds: float, band_hz: tuple[float, float], peak_db: float
) -> Sound:
    """Noise within a band that swells and fades; a little uneven, as air is."""
    count = _count(seconds)
    noise = _shaped(rng.standard_normal(count), lambda hz: _band(hz, *band_hz))
    uneven = 1 + 0.3 * _at_peak(_shaped(rng.standard_normal(count), lambda hz: hz < 12), 0)
    swelling: Sound = np.sin(np.pi * np.linspace(0, 1, count) ** 0.8) ** 1.5
    return _at_peak(noise * uneven * swelling, peak_db)


def _keys(count: int, rng: np.random.Generator) -> Sound:
    sound = np.zeros(count)
    at = rng.uniform(0.5, 1.5)
    while _count(at) < count:
        for _ in range(int(rng.integers(8, 40))):  # a burst of typing, then a pause
            peak_db = rng.uniform(-28, -18)
            _add(sound, _click(rng, 3_500.0, peak_db), _count(at))
            _add(sound, _click(rng, 2_000.0, peak_db - 8), _count(at + rng.uniform(0.06, 0.1)))
            at += rng.uniform(0.12, 0.2)
        if rng.random() < 0.4:  # a mouse button, down and up
            _add(sound, _click(rng, 5_000.0, -20.0), _count(at + 0.4))
            _add(sound, _click(rng, 4_000.0, -24.0), _count(at + 0.5))
        at += rng.uniform(0.8, 3.0)
    return sound


def _click(rng: np.random.Generator, centre_hz: float, peak_db: float) -> Sound:
    """A short click with the decay of a small room (0.2 s to -60 dB)."""
    dry = _decaying(rng, 0.02, 0.003)
    room = _decaying(rng, 0.2, 0.2 / np.log(1000)) * 0.05
    sound = np.zeros(_count(0.22))
    _add(sound, _shaped(dry, lambda hz: _band(hz, centre_hz / 2, centre_hz * 1.6)), 0)
    _add(sound, _shaped(room, lambda hz: _band(hz, 300.0, 5_000.0)), _count(0.003))
    return _at_peak(sound, peak_db)


def _cough(rng: np.random.Generator) -> Sound:
    """Two bursts with a steep beginning, the second with a little voice in it."""
    first = _shaped(_decaying(rng, 0.18, 0.05), lambda hz: _band(hz, 400.0, 5_000.0))
    second = _shaped(_decaying(rng, 0.3, 0.08), lambda hz: _band(hz, 300.0, 3_500.0))
    times = np.arange(len(second)) / INPUT_RATE_HZ
    voice = np.sign(np.sin(2 * np.pi * 140 * times)) * np.exp(-times / 0.06)
    second = _at_peak(second, 0) + 0.3 * _at_peak(voice, 0)
    gap = np.zeros(_count(0.1))
    return _at_peak(np.concatenate([_at_peak(first, 0), gap, 0.7 * second]), -10)


def _chair(rng: np.random.Generator) -> Sound:
    """A creak: a tone that glides, interrupted like a stick that slips."""
    count = _count(0.5)
    glide_hz = np.linspace(rng.uniform(500, 700), rng.uniform(300, 400), count)
    slips: Sound = 0.5 + 0.5 * np.sign(np.sin(2 * np.pi * np.cumsum(glide_hz / 20) / INPUT_RATE_HZ))
    tone = np.sin(2 * np.pi * np.cumsum(glide_hz) / INPUT_RATE_HZ)
    return _at_peak(tone * slips * np.hanning(count), -24)


def _knock(rng: np.random.Generator) -> Sound:
    """Something put down on the table."""
    thud = _shaped(_decaying(rng, 0.25, 0.03), lambda hz: _band(hz, 60.0, 600.0))
    return _at_peak(thud, -12)


def _decaying(rng: np.random.Generator, seconds: float, time_constant_s: float) -> Sound:
    times = np.arange(_count(seconds)) / INPUT_RATE_HZ
    return rng.standard_normal(len(times)) * np.exp(-times / time_constant_s)


def _shaped(sound: Sound, gain: Callable[[Sound], npt.ArrayLike]) -> Sound:
    """A sound with each frequency (Hz) multiplied by its gain."""
    spectrum = np.fft.rfft(sound)
    hz: Sound = np.fft.rfftfreq(len(sound), 1 / INPUT_RATE_HZ).astype(np.float64)
    return np.fft.irfft(spectrum * np.asarray(gain(hz), float), len(sound))


def _band(hz: Sound, low_hz: float, high_hz: float) -> Sound:
    """The gain of a band with slopes of 12 dB an octave."""
    below = np.minimum(1.0, hz / low_hz)
    above = np.minimum(1.0, high_hz / np.maximum(hz, 1e-9))
    return np.asarray((below * above) ** 2)


def _pink(hz: Sound) -> Sound:
    return 1 / np.sqrt(np.maximum(hz, 20.0))


def _count(seconds: float) -> int:
    return round(seconds * INPUT_RATE_HZ)


def _add(sound: Sound, part: Sound, start: int) -> None:
    """Add a part at `start`; what lies behind the end falls away."""
    part = part[: max(0, len(sound) - start)]
    sound[start : start + len(part)] += part


def _at_db(sound: Sound, db: float) -> Sound:
    rms = float(np.sqrt(np.mean(sound**2)))
    return sound * (10 ** (db / 20) / max(rms, 1e-12))


def _at_peak(sound: Sound, db: float) -> Sound:
    return sound * (10 ** (db / 20) / max(float(np.max(np.abs(sound))), 1e-12))


def _samples(sound: Sound) -> Samples:
    return np.clip(np.round(sound * 32768), -32768, 32767).astype(np.int16)
