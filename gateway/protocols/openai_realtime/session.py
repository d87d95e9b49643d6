"""The session object: what holds, what an update changes, and what it asks of the engine. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from gateway.protocols.openai_realtime.animation import AnimationOutput
from gateway.protocols.openai_realtime.errors import VOICE_FROZEN, invalid
from gateway.protocols.openai_realtime.fields import (
    AudioFields,
    FormatFields,
    InputAudioFields,
    Modality,
    OutputAudioFields,
    ResponseFields,
    SessionFields,
    ToolFields,
    TurnDetectionFields,
)
from gateway.protocols.request import (
    AssistantRequest,
    InterviewRequest,
    SessionRequest,
    TurnRequest,
)
from pipeline.languages import code_of
from pipeline.stage import Message, Tool

INTERVIEW = "interview"
"""The model that holds Parley's own interview; any other name is a plain assistant."""

INTERVIEW_INSTRUCTIONS = "Parley holds this interview and chooses its questions."
DEFAULT_VOICE = "default"
"""The name of the voice that the server's synthesizer has of itself."""

MAX_WAIT_MS = {"low": 8_000, "medium": 4_000, "auto": 4_000, "high": 2_000}
"""How long `semantic_vad` waits at most, by eagerness."""

PCM = FormatFields(type="audio/pcm")
SHORTEST_SILENCE_MS = 100
LONGEST_PREFIX_MS = 2_000

History = Callable[[int], tuple[Message, ...]]


@dataclass(frozen=True, slots=True)
class TurnDetection:
    """How turns end, with every default filled in."""

    kind: Literal["server_vad", "semantic_vad"] = "server_vad"
    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_duration_ms: int = 500
    idle_timeout_ms: int | None = None
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    create_response: bool = True
    interrupt_response: bool = True

    @classmethod
    def of(cls, fields: TurnDetectionFields) -> "TurnDetection":
        """Reads a client's object. A value that the engine cannot have becomes the nearest that it
        can, which the effective session shows."""
        given = fields.model_dump(exclude_none=True, exclude={"type"})
        detection = cls(kind=fields.type, **given)
        return replace(
            detection,
            threshold=min(max(detection.threshold, 0.01), 0.99),
            prefix_padding_ms=min(detection.prefix_padding_ms, LONGEST_PREFIX_MS),
            silence_duration_ms=max(detection.silence_duration_ms, SHORTEST_SILENCE_MS),
        )

    def payload(self) -> dict[str, Any]:
        common = {
            "create_response": self.create_response,
            "interrupt_response": self.interrupt_response,
        }
        if self.kind == "semantic_vad":
            return {"type": self.kind, "eagerness": self.eagerness, **common}
        return {
            "type": self.kind,
            "threshold": self.threshold,
            "prefix_padding_ms": self.prefix_padding_ms,
            "silence_duration_ms": self.silence_duration_ms,
            "idle_timeout_ms": self.idle_timeout_ms,
            **common,
        }

    def request(self) -> TurnRequest:
        """The same in the engine's words."""
        common = TurnRequest(replies=self.create_response, interruptible=self.interrupt_response)
        if self.kind == "semantic_vad":
            return replace(common, adaptive=True, max_wait_ms=MAX_WAIT_MS[self.eagerness])
        return replace(
            common,
            adaptive=False,
            threshold=self.threshold,
            prefix_ms=self.prefix_padding_ms,
            silence_ms=self.silence_duration_ms,
            max_wait_ms=self.silence_duration_ms,
        )


@dataclass(frozen=True, slots=True)
class RealtimeSession:
    """The configuration of one client's session. A value: `updated` gives another."""

    model: str
    interview: InterviewRequest | None = None
    instructions: str = ""
    modality: Modality = "audio"
    audio_in: FormatFields = PCM
    audio_out: FormatFields = PCM
    noise_reduction: dict[str, Any] | None = None
    transcription: dict[str, Any] | None = None
    detection: TurnDetection | None = TurnDetection()
    voice: str = DEFAULT_VOICE
    include: tuple[str, ...] = ()
    max_output_tokens: int | Literal["inf"] = "inf"
    tools: tuple[ToolFields, ...] = ()
    tool_choice: str | dict[str, str] = "auto"
    parallel_tool_calls: bool | None = None
    reasoning: dict[str, Any] | None = None
    prompt: dict[str, Any] | None = None
    tracing: Any = None
    truncation: Any = "auto"
    animation: tuple[AnimationOutput, ...] = ()

    @classmethod
    def begin(cls, model: str, interview: InterviewRequest | None = None) -> "RealtimeSession":
        """The defaults: those of the API, and Parley's turn-taking for an interview."""
        if model == INTERVIEW:
            detection = TurnDetection(kind="semantic_vad")
            return cls(model, interview, instructions=INTERVIEW_INSTRUCTIONS, detection=detection)
        return cls(model)

    @property
    def is_interview(self) -> bool:
        return self.model == INTERVIEW

    @property
    def manual(self) -> bool:
        """The client says when a turn ends."""
        return self.detection is None

    @property
    def replies(self) -> bool:
        """A turn that has ended is replied to, without `response.create`."""
        return self.is_interview or (self.detection is not None and self.detection.create_response)

    @property
    def idle_timeout_ms(self) -> int:
        """After how much silence a person gets a response all the same; 0: never. An interviewer
        prompts by itself."""
        if self.detection is None or self.is_interview or self.detection.kind != "server_vad":
            return 0
        return self.detection.idle_timeout_ms or 0

    @property
    def language(self) -> str | None:
        """The code of the person's language, if the client has named one."""
        named = (self.transcription or {}).get("language")
        return None if named is None else code_of(named)

    # --- changes -----------------------------------------------------------------------------

    def updated(self, fields: SessionFields, *, spoken: bool) -> "RealtimeSession":
        """Gives the session after `session.update`: only fields that were given change.

        Raises `ProtocolError` for another voice once audio has been `spoken`. The model cannot
        change; an interview keeps its instructions, its tools and its voice.
        """
        session = self
        if fields.audio is not None:
            session = session._with_audio(fields.audio, spoken=spoken)
        changes: dict[str, Any] = {}
        for name in ("prompt", "tracing"):
            if fields.given(name):
                changes[name] = _dumped(getattr(fields, name))
        for name in ("parallel_tool_calls", "reasoning", "truncation"):
            if (value := getattr(fields, name)) is not None:
                changes[name] = _dumped(value)
        if fields.include is not None:
            changes["include"] = tuple(fields.include)
        if fields.given("animation"):
            animation = fields.animation
            changes["animation"] = () if animation is None else tuple(animation.outputs)
        if not self.is_interview:
            for name in ("instructions", "max_output_tokens", "tool_choice"):
                if (value := getattr(fields, name)) is not None:
                    changes[name] = value
            if fields.tools is not None:
                changes["tools"] = tuple(fields.tools)
            if fields.output_modalities is not None:
                changes["modality"] = fields.output_modalities[0]
        return replace(session, **changes)

    def _with_audio(self, audio: AudioFields, *, spoken: bool) -> "RealtimeSession":
        session = self
        if audio.input is not None:
            session = session._with_input(audio.input)
        if audio.output is not None:
            session = session._with_output(audio.output, spoken=spoken)
        return session

    def _with_input(self, wanted: InputAudioFields) -> "RealtimeSession":
        changes: dict[str, Any] = {}
        if wanted.format is not None:
            changes["audio_in"] = wanted.format
        for name in ("noise_reduction", "transcription"):
            if wanted.given(name):
                changes[name] = _dumped(getattr(wanted, name))
        if wanted.given("turn_detection"):
            fields = wanted.turn_detection
            detection = None if fields is None else TurnDetection.of(fields)
            if detection is not None and self.is_interview:
                detection = replace(detection, create_response=True)
            changes["detection"] = detection
        return replace(self, **changes)

    def _with_output(self, wanted: OutputAudioFields, *, spoken: bool) -> "RealtimeSession":
        changes: dict[str, Any] = {}
        if wanted.format is not None:
            changes["audio_out"] = wanted.format
        if wanted.voice is not None and wanted.voice != self.voice and not self.is_interview:
            if spoken:
                text = f"The voice is {self.voice!r} since it was first heard; it cannot change."
                raise invalid(text, "session.audio.output.voice", VOICE_FROZEN)
            changes["voice"] = wanted.voice
        return replace(self, **changes)

    # --- what the client and the engine get --------------------------------------------------

    def payload(self, session_id: str | None = None) -> dict[str, Any]:
        """The full effective session, as `session.created` and `session.updated` carry it."""
        detection = self.detection
        payload: dict[str, Any] = {
            "type": "realtime",
            "object": "realtime.session",
            "model": self.model,
            "output_modalities": [self.modality],
            "instructions": self.instructions,
            "audio": {
                "input": {
                    "format": self.audio_in.payload(),
                    "noise_reduction": self.noise_reduction,
                    "transcription": self.transcription,
                    "turn_detection": None if detection is None else detection.payload(),
                },
                "output": {**self.audio_output(), "speed": 1.0},
            },
            "include": list(self.include) or None,
            "max_output_tokens": self.max_output_tokens,
            "tools": [tool.model_dump(exclude_none=True) for tool in self.tools],
            "tool_choice": self.tool_choice,
            "prompt": self.prompt,
            "tracing": self.tracing,
            "truncation": self.truncation,
        }
        if session_id is not None:
            payload["id"] = session_id
        if self.parallel_tool_calls is not None:
            payload["parallel_tool_calls"] = self.parallel_tool_calls
        if self.reasoning is not None:
            payload["reasoning"] = self.reasoning
        if self.animation:
            payload["animation"] = {"outputs": list(self.animation)}
        return payload

    def audio_output(self) -> dict[str, Any]:
        """Format and voice, as responses carry them too."""
        return {"format": self.audio_out.payload(), "voice": self.voice}

    def request(self, history: History) -> SessionRequest:
        """Gives the request by which the gateway starts or reconfigures the session."""
        if self.detection is None:
            turns = TurnRequest(mode="manual", replies=self.replies)
        else:
            turns = self.detection.request()
            if self.idle_timeout_ms:
                turns = replace(turns, prompt_ms=self.idle_timeout_ms)
        return SessionRequest(
            audio_in=self.audio_in.audio_format(),
            noise_reduction=(self.noise_reduction or {}).get("type", "off"),
            audio_out=self.audio_out.audio_format(),
            avatar="off",
            turns=turns,
            interview=self.interview,
            assistant=None if self.is_interview else self.assistant(history),
            language=self.language,
        )

    def assistant(self, history: History, wanted: ResponseFields | None = None) -> AssistantRequest:
        """The assistant of this session; `wanted` goes before it, for one response."""
        wanted = wanted or ResponseFields()
        tools = self.tools if wanted.tools is None else wanted.tools
        choice = self.tool_choice if wanted.tool_choice is None else wanted.tool_choice
        limit = wanted.max_output_tokens or self.max_output_tokens
        voice = wanted.voice or self.voice
        instructions = "" if self.is_interview else self.instructions
        if wanted.instructions is not None:
            instructions = wanted.instructions
        return AssistantRequest(
            history,
            model="" if self.is_interview else self.model,
            instructions=instructions,
            tools=tuple(
                Tool(tool.name, tool.description or "", tool.parameters or {}) for tool in tools
            ),
            tool_choice=choice if isinstance(choice, str) else choice["name"],
            max_tokens=None if limit == "inf" else limit,
            voice=None if voice == DEFAULT_VOICE else voice,
            spoken=self.modality_of(wanted) == "audio",
        )

    def modality_of(self, wanted: ResponseFields | None) -> Modality:
        """Whether a response is audio or text. An interview is always spoken."""
        if wanted is None or wanted.output_modalities is None or self.is_interview:
            return self.modality
        return wanted.output_modalities[0]


def _dumped(value: Any) -> Any:
    return value.model_dump(exclude_none=True) if hasattr(value, "model_dump") else value
