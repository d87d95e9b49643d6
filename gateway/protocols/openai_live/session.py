"""The session object: what `session.start` asks for, and what holds. Pure."""

from dataclasses import dataclass, replace
from typing import Any

from gateway.media.format import AudioFormat
from gateway.protocols.openai_live.errors import IMMUTABLE, invalid
from gateway.protocols.openai_live.fields import (
    DelegationFields,
    LiveFields,
    LiveFormatFields,
    LiveSessionFields,
    LiveToolFields,
    ResponsesFields,
)
from gateway.protocols.openai_live.history import LiveHistory
from gateway.protocols.request import AssistantRequest, InterviewRequest, SessionRequest
from pipeline.stage import Tool

INTERVIEW = "interview"
"""The model that holds Parley's own interview; any other name is a plain assistant."""

DEFAULT_VOICE = "default"
"""The name for the default voice of the server's synthesizer."""

LEAD_MS = 100
"""No event tells the client to drop what it was sent, so it gets little in advance. A barge-in is
decided at least 300 ms after the reply was held, when all of this has been played."""

BY_CLIENT = DelegationFields(type="client")

PCM = LiveFormatFields(type="audio/pcm", rate=24_000)


@dataclass(frozen=True, slots=True)
class LiveApiSession:
    """The configuration of one session. A value: `updated` gives another."""

    model: str
    form: LiveFormatFields = PCM
    voice: str = DEFAULT_VOICE
    instructions: str = ""
    delegation: DelegationFields = BY_CLIENT
    interview: InterviewRequest | None = None
    language: str | None = None

    @classmethod
    def of(
        cls, fields: LiveSessionFields, interview: InterviewRequest | None, language: str | None
    ) -> "LiveApiSession":
        """The session that a `session.start` asks for. An interview keeps its own voice and
        instructions."""
        is_interview = fields.model == INTERVIEW
        audio = fields.audio
        output = None if audio is None else audio.output
        voice = None if output is None or is_interview else output.voice
        return cls(
            fields.model,
            (None if audio is None else audio.format) or PCM,
            voice or DEFAULT_VOICE,
            "" if is_interview else fields.instructions or "",
            fields.delegation or BY_CLIENT,
            interview if is_interview else None,
            language,
        )

    @property
    def is_interview(self) -> bool:
        return self.model == INTERVIEW

    @property
    def audio_format(self) -> AudioFormat:
        """How audio travels, in both directions."""
        return self.form.audio_format()

    @property
    def tools(self) -> tuple[LiveToolFields, ...]:
        return tuple(self._backend.tools or ())

    @property
    def _backend(self) -> ResponsesFields:
        """The settings of the chat server, which answers."""
        return self.delegation.responses or ResponsesFields()

    def updated(self, wanted: DelegationFields | None) -> "LiveApiSession":
        """Gives the session after `session.update`: only fields that were given change.

        Raises `ProtocolError` for a delegation of another type.
        """
        if wanted is None:
            return self
        if wanted.type != self.delegation.type:
            text = f"The delegation is {self.delegation.type!r} for the whole session."
            raise invalid(text, "session.delegation.type", IMMUTABLE)
        changes = _given(wanted)
        if wanted.responses is not None:
            backend = self._backend.model_copy(update=_given(wanted.responses))
            changes["responses"] = backend
        return replace(self, delegation=self.delegation.model_copy(update=changes))

    def payload(self, session_id: str, expires_at: int) -> dict[str, Any]:
        """The resolved session, as `session.started` and others carry it."""
        delegation = self.delegation.model_dump(exclude_none=True)
        choice = delegation.get("responses", {}).get("tool_choice")
        if choice not in (None, "auto", "none", "required"):
            delegation["responses"]["tool_choice"] = {"type": "function", "name": choice}
        payload: dict[str, Any] = {
            "id": session_id,
            "expires_at": expires_at,
            "model": self.model,
            "status": "active",
            "audio": {"format": self.form.payload(), "output": {"voice": self.voice}},
            "delegation": delegation,
            "store": False,
            "triggers": [],
        }
        if self.instructions:
            payload["instructions"] = self.instructions
        return payload

    def request(self, history: LiveHistory) -> SessionRequest:
        """Gives the request by which the gateway starts or reconfigures the session."""
        return SessionRequest(
            audio_in=self.audio_format,
            audio_out=self.audio_format,
            lead_ms=LEAD_MS,
            avatar="off",
            interview=self.interview,
            assistant=None if self.is_interview else self.assistant(history),
            language=self.language,
        )

    def assistant(self, history: LiveHistory) -> AssistantRequest:
        """The assistant of this session: the session's instructions, and the backend's."""
        backend = self._backend
        instructions = "\n\n".join(filter(None, [self.instructions, backend.instructions]))
        tools = tuple(
            Tool(tool.name, tool.description or "", tool.parameters or {}) for tool in self.tools
        )
        return AssistantRequest(
            history.messages,
            model=backend.model or self.model,
            instructions=instructions,
            tools=tools,
            tool_choice=backend.tool_choice or "auto",
            max_tokens=backend.max_output_tokens,
            voice=None if self.voice == DEFAULT_VOICE else self.voice,
        )


def _given(fields: LiveFields) -> dict[str, Any]:
    return {name: value for name, value in fields if value is not None}
