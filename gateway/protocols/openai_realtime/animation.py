"""Mouth shapes beside the audio, as Azure's Voice Live API has them: OpenAI's has none. Pure.

A client asks for them with `animation: {"outputs": ["viseme_id"]}` in its session.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from pipeline.frames import Viseme

DELTA, DONE = "response.animation_viseme.delta", "response.animation_viseme.done"

VISEME_IDS: Mapping[str, int] = MappingProxyType(
    {
        **{"sil": 0, "PP": 21, "FF": 18, "TH": 17, "DD": 19, "kk": 20, "CH": 16, "SS": 15},
        **{"nn": 14, "RR": 13, "aa": 2, "E": 4, "ih": 6, "oh": 3, "ou": 7},
    }
)
"""The id of Azure's set (0 to 21) whose sounds a shape of `pipeline.frames.VISEMES` stands for. Ids
of several shapes at once, such as 9 for "ow", are not used: the shapes come one after the other."""


def deltas(place: Mapping[str, Any], cues: Iterable[Viseme]) -> list[dict[str, Any]]:
    """An event for each cue; its time counts from the first sample of the response."""
    return [
        {
            "type": DELTA,
            **place,
            "audio_offset_ms": cue.at_ms,
            "viseme_id": VISEME_IDS[cue.shape],
        }
        for cue in cues
    ]
