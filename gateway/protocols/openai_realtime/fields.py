"""The objects inside client events: sessions, items, tools and responses, checked by type. Pure.

Fields that Parley does not know are let through and ignored: clients are newer than servers. A
field that is null counts as not given, but for those whose null means something.
"""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
    model_validator,
)

from gateway.media.format import AudioFormat
from gateway.protocols.openai_realtime.animation import AnimationOutput
from gateway.protocols.whole import Whole, whole
from pipeline.languages import code_of

MOST_TOOLS = 128
LONGEST_INSTRUCTIONS = 128 * 1024
MOST_INPUT_ITEMS = 256


class Fields(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    def given(self, name: str) -> bool:
        """Whether the client sent this field, even as null."""
        return name in self.model_fields_set


def _voice(value: Any) -> str | None:
    name = value.get("id") if isinstance(value, dict) else value
    if name is not None and not (isinstance(name, str) and 0 < len(name) <= 128):
        raise ValueError("a voice is a name or an object with an id")
    return name


def _max_tokens(value: Any) -> int | Literal["inf"] | None:
    if value is None:
        return None
    if value == "inf":
        return "inf"
    number = whole(value)
    if isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= 4096:
        return number
    raise ValueError('a whole number from 1 to 4096, or "inf", is needed')


def _tool_choice(value: Any) -> Any:
    if value is None or (isinstance(value, str) and value in ("auto", "none", "required")):
        return value
    if isinstance(value, dict) and value.get("type") == "function":
        name = value.get("name")
        if isinstance(name, str) and name:
            return {"type": "function", "name": name}
    raise ValueError("auto, none, required or {type: function, name} is needed")


def _tracing(value: Any) -> Any:
    if value is None or value == "auto" or isinstance(value, dict):
        return value
    raise ValueError("null, auto or an object is needed")


def _truncation(value: Any) -> Any:
    if value is None or value in ("auto", "disabled"):
        return value
    if isinstance(value, dict) and value.get("type") == "retention_ratio":
        ratio = value.get("retention_ratio")
        if isinstance(ratio, int | float) and not isinstance(ratio, bool) and 0 <= ratio <= 1:
            return value
    raise ValueError("auto, disabled or {type: retention_ratio, retention_ratio: 0 to 1} is needed")


def _distinct(value: list[AnimationOutput]) -> list[AnimationOutput]:
    if len(set(value)) < len(value):
        raise ValueError("each is named once")
    return value


def _metadata(value: dict[str, str] | None) -> dict[str, str] | None:
    for key, text in (value or {}).items():
        if len(key) > 64 or len(text) > 512:
            raise ValueError("a key has at most 64 characters and a value at most 512")
    return value


Voice = Annotated[Any, AfterValidator(_voice)]
MaxTokens = Annotated[Any, AfterValidator(_max_tokens)]
ToolChoice = Annotated[Any, AfterValidator(_tool_choice)]
Modality: TypeAlias = Literal["audio", "text"]
Modalities = Annotated[list[Modality], Field(min_length=1, max_length=1)]
Instructions = Annotated[StrictStr, Field(max_length=LONGEST_INSTRUCTIONS)]
Metadata = Annotated[
    dict[StrictStr, StrictStr] | None, Field(max_length=16), AfterValidator(_metadata)
]

# --- audio -----------------------------------------------------------------------------------


_FORMATS = {
    "audio/pcm": AudioFormat("pcm_s16le", 24_000, 1),
    "audio/pcmu": AudioFormat("mulaw", 8_000, 1),
    "audio/pcma": AudioFormat("alaw", 8_000, 1),
}


class FormatFields(Fields):
    """How audio travels in messages: PCM at 24 kHz, or G.711."""

    type: Literal["audio/pcm", "audio/pcmu", "audio/pcma"]
    rate: Whole | None = None

    @model_validator(mode="after")
    def _of_its_rate(self) -> "FormatFields":
        wanted = 24_000 if self.type == "audio/pcm" else 8_000
        if self.rate not in (None, wanted):
            raise ValueError(f"{self.type} has a rate of {wanted}")
        return self

    def audio_format(self) -> AudioFormat:
        """The same in the gateway's words."""
        return _FORMATS[self.type]

    def payload(self) -> dict[str, Any]:
        if self.type == "audio/pcm":
            return {"type": self.type, "rate": 24_000}
        return {"type": self.type}


class NoiseReductionFields(Fields):
    type: Literal["near_field", "far_field"]


def _language(tag: str) -> str:
    code_of(tag)
    return tag


class TranscriptionFields(Fields):
    """Which words the client wants to see of what it said. The models are the server's."""

    model: StrictStr | None = None
    language: Annotated[StrictStr, AfterValidator(_language)] | None = None
    prompt: StrictStr | None = None


class TurnDetectionFields(Fields):
    """`server_vad` ends a turn after fixed silence, `semantic_vad` by what was said."""

    type: Literal["server_vad", "semantic_vad"] = "server_vad"
    threshold: Annotated[float, Field(strict=True, ge=0, le=1)] | None = None
    prefix_padding_ms: Annotated[Whole, Field(ge=0, le=10_000)] | None = None
    silence_duration_ms: Annotated[Whole, Field(ge=0, le=10_000)] | None = None
    idle_timeout_ms: Annotated[Whole, Field(ge=0, le=600_000)] | None = None
    eagerness: Literal["low", "medium", "high", "auto"] | None = None
    create_response: StrictBool | None = None
    interrupt_response: StrictBool | None = None


class InputAudioFields(Fields):
    format: FormatFields | None = None
    noise_reduction: NoiseReductionFields | None = None
    transcription: TranscriptionFields | None = None
    turn_detection: TurnDetectionFields | None = None


class OutputAudioFields(Fields):
    format: FormatFields | None = None
    voice: Voice = None
    speed: Annotated[float, Field(strict=True, ge=0.25, le=1.5)] | None = None


class AudioFields(Fields):
    input: InputAudioFields | None = None
    output: OutputAudioFields | None = None


# --- the session and its responses -----------------------------------------------------------


class ToolFields(Fields):
    """A function of the client."""

    type: Literal["function"]
    name: Annotated[StrictStr, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: StrictStr | None = None
    parameters: dict[str, Any] | None = None


Tools = Annotated[list[ToolFields], Field(max_length=MOST_TOOLS)]


class ReasoningFields(Fields):
    effort: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None


class PromptFields(Fields):
    id: StrictStr
    version: StrictStr | None = None
    variables: dict[str, Any] | None = None


AnimationOutputs = Annotated[list[AnimationOutput], Field(max_length=2), AfterValidator(_distinct)]


class AnimationFields(Fields):
    """See `gateway.protocols.openai_realtime.animation`."""

    model_name: StrictStr | None = None
    outputs: AnimationOutputs = Field(default_factory=list)


class SessionFields(Fields):
    """The fields that `session.update` may change."""

    type: Literal["realtime"]
    model: StrictStr | None = None
    output_modalities: Modalities | None = None
    instructions: Instructions | None = None
    audio: AudioFields | None = None
    include: list[Literal["item.input_audio_transcription.logprobs"]] | None = None
    max_output_tokens: MaxTokens = None
    tools: Tools | None = None
    tool_choice: ToolChoice = None
    parallel_tool_calls: StrictBool | None = None
    reasoning: ReasoningFields | None = None
    prompt: PromptFields | None = None
    animation: AnimationFields | None = None
    tracing: Annotated[Any, AfterValidator(_tracing)] = None
    truncation: Annotated[Any, AfterValidator(_truncation)] = None


class ContentFields(Fields):
    type: StrictStr
    text: StrictStr | None = None
    transcript: StrictStr | None = None
    audio: StrictStr | None = None


ItemId = Annotated[StrictStr, Field(min_length=1, max_length=128)]


class ItemFields(Fields):
    """An item that the client makes; `gateway.protocols.openai_realtime.items` reads it."""

    type: StrictStr
    id: ItemId | None = None
    role: StrictStr | None = None
    content: Annotated[list[ContentFields], Field(max_length=64)] | None = None
    name: StrictStr | None = None
    arguments: StrictStr | None = None
    call_id: StrictStr | None = None
    output: StrictStr | None = None


class ResponseOutputFields(Fields):
    format: FormatFields | None = None
    voice: Voice = None


class ResponseAudioFields(Fields):
    output: ResponseOutputFields | None = None


class ResponseFields(Fields):
    """The fields that `response.create` may set for one response."""

    instructions: Instructions | None = None
    tools: Tools | None = None
    tool_choice: ToolChoice = None
    output_modalities: Modalities | None = None
    audio: ResponseAudioFields | None = None
    max_output_tokens: MaxTokens = None
    metadata: Metadata = None
    conversation: Literal["auto", "none"] | None = None
    input: Annotated[list[ItemFields], Field(max_length=MOST_INPUT_ITEMS)] | None = None
    prompt: PromptFields | None = None
    reasoning: ReasoningFields | None = None
    parallel_tool_calls: StrictBool | None = None

    @property
    def voice(self) -> str | None:
        if self.audio is None or self.audio.output is None:
            return None
        voice: str | None = self.audio.output.voice
        return voice
