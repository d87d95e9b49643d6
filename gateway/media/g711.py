"""G.711 (ITU-T): mu-law and A-law codes to and from 16-bit samples, by tables. Pure."""

import numpy as np
import numpy.typing as npt

from pipeline.frames import Samples


def _mulaw_to_linear() -> Samples:
    """ITU-T G.711 mu-law expansion for all 256 codes."""
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = ((((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)) - 0x84
    linear: Samples = np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)
    return linear


def _alaw_to_linear() -> Samples:
    """ITU-T G.711 A-law expansion for all 256 codes."""
    code = np.arange(256, dtype=np.int32) ^ 0x55
    segment = (code & 0x70) >> 4
    magnitude = ((code & 0x0F) << 4) + 8
    magnitude = np.where(segment, (magnitude + 0x100) << np.maximum(segment - 1, 0), magnitude)
    linear: Samples = np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)
    return linear


def _nearest_codes(expansion: Samples) -> npt.NDArray[np.uint8]:
    """For every 16-bit sample (index + 32768) the code whose expansion lies nearest."""
    order = np.argsort(expansion, kind="stable")
    levels = expansion[order].astype(np.int32)
    middles = (levels[:-1] + levels[1:]) // 2
    return order[np.searchsorted(middles, np.arange(-32768, 32768))].astype(np.uint8)


EXPANSIONS = {"mulaw": _mulaw_to_linear(), "alaw": _alaw_to_linear()}
CODES = {name: _nearest_codes(table) for name, table in EXPANSIONS.items()}
