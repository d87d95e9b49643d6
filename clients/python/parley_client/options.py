"""What a client wishes for its call. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

VERSION = 1
"""Of the dialect: docs/protocol.md of the gateway."""

DEFAULT_ROLE = "Software Engineer"
"""The gateway's own, which has to be named where the number of questions is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The wishes of a call; None leaves the choice to the gateway.

    `role`, `questions` and `language` are those of a session that the call makes; one that was made
    over REST has them already. Audio is 16-bit PCM, mono both ways. `turn_detection` has the
    fields of the dialect, such as `{"mode": "manual"}`. A gateway with keys wants `api_key` or a
    `ticket`. A call whose line broke is tried again for `reconnect_s` seconds.
    """

    role: str | None = None
    questions: int | None = None
    language: str | None = None
    audio_in_hz: int = 16_000
    audio_out_hz: int = 16_000
    avatar: Literal["off", "visemes", "frames"] = "visemes"
    turn_detection: Mapping[str, Any] | None = None
    noise_reduction: Literal["off", "near_field", "far_field"] | None = None
    api_key: str | None = None
    ticket: str | None = None
    reconnect_s: float = 30.0

    def hello(self, token: str | None, seq: int) -> dict[str, Any]:
        """The first message; with a `token` it comes back to the conversation, after `seq`."""
        audio_in: dict[str, Any] = {"encoding": "pcm_s16le", "rate": self.audio_in_hz}
        if self.noise_reduction is not None:
            audio_in["noise_reduction"] = self.noise_reduction
        message: dict[str, Any] = {
            "type": "hello",
            "version": VERSION,
            "audio_in": audio_in,
            "audio_out": {"encoding": "pcm_s16le", "rate": self.audio_out_hz},
            "avatar": self.avatar,
        }
        if self.role is not None or self.questions is not None:
            message["interview"] = {"role": self.role or DEFAULT_ROLE}
        if self.questions is not None:
            message["interview"]["totalQuestions"] = self.questions
        if self.language is not None:
            message["language"] = self.language
        if self.turn_detection is not None:
            message["turn_detection"] = dict(self.turn_detection)
        if (
            self.ticket is not None and token is None
        ):  # a ticket holds once; the token stands for it
            message["ticket"] = self.ticket
        if token is not None:
            message["resume"] = {"token": token, "seq": seq}
        return message

    def headers(self) -> dict[str, str]:
        """Of the handshake."""
        return {} if self.api_key is None else {"Authorization": f"Bearer {self.api_key}"}
