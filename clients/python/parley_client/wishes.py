"""The fields of `Options` as arguments of `connect`, for type checkers."""

from collections.abc import Mapping
from typing import Any, Literal, TypedDict


class Wishes(TypedDict, total=False):
    """See `Options`. A test holds both against each other."""

    role: str | None
    questions: int | None
    language: str | None
    audio_in_hz: int
    audio_out_hz: int
    avatar: Literal["off", "visemes", "frames"]
    turn_detection: Mapping[str, Any] | None
    noise_reduction: Literal["off", "near_field", "far_field"] | None
    api_key: str | None
    ticket: str | None
    reconnect_s: float
