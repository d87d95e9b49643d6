"""Mouth shapes beside the audio, in the events of two peers: OpenAI's API has none. Pure.

A client asks for them with `animation: {"outputs": […]}` in its session, or `?animation=` in its
URL:

- "viseme_id": the events of Azure's Voice Live API, one for each shape;
- "speech_to_speech": the event of Hugging Face's speech-to-speech, one for several shapes.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from pipeline.frames import Viseme

AnimationOutput: TypeAlias = Literal["viseme_id", "speech_to_speech"]

DELTA, DONE = "response.animation_viseme.delta", "response.animation_viseme.done"
VISEMES = "speech_to_speech.output_audio.visemes"

VISEME_IDS: Mapping[str, int] = MappingProxyType(
    {
        **{"sil": 0, "PP": 21, "FF": 18, "TH": 17, "DD": 19, "kk": 20, "CH": 16, "SS": 15},
        **{"nn": 14, "RR": 13, "aa": 2, "E": 4, "ih": 6, "oh": 3, "ou": 7},
    }
)
"""The id of Azure's set (0 to 21) whose sounds a shape of `pipeline.frames.VISEMES` stands for. Ids
of several shapes at once, such as 9 for "ow", are not used: the shapes come one after the other.
Speech-to-speech has the same ids."""


def shaped(
    outputs: Collection[AnimationOutput], place: Mapping[str, Any], cues: Sequence[Viseme]
) -> list[dict[str, Any]]:
    """The events for `cues`; their times count from the first sample of the response."""
    events: list[dict[str, Any]] = []
    if "viseme_id" in outputs:
        events += _deltas(place, cues)
    if "speech_to_speech" in outputs and cues:
        events.append({"type": VISEMES, **place, "visemes": [_interval(cue) for cue in cues]})
    return events


def _deltas(place: Mapping[str, Any], cues: Iterable[Viseme]) -> list[dict[str, Any]]:
    return [
        {
            "type": DELTA,
            **place,
            "audio_offset_ms": cue.at_ms,
            "viseme_id": VISEME_IDS[cue.shape],
        }
        for cue in cues
    ]


def _interval(cue: Viseme) -> dict[str, Any]:
    return {
        "viseme": VISEME_IDS[cue.shape],
        "start_s": cue.at_ms / 1000,
        "end_s": (cue.at_ms + cue.duration_ms) / 1000,
    }
