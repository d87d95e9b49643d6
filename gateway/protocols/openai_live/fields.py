"""The objects inside client events: the session and its items, checked by type. Pure.

Fields that Parley does not know are ignored: clients are newer than servers. A field that is null
counts as not given.
"""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
    model_validator,
)

from gateway.media.format import AudioFormat
from gateway.protocols.whole import Whole, whole

MOST_INPUT_ITEMS = 128
MOST_TOOLS = 128
LONGEST_INSTRUCTIONS = 128 * 1024
LONGEST_TEXT_BYTES = 64 * 1024
LONGEST_MODEL = 256


class LiveFields(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


def _voice(value: Any) -> str | None:
    name = value.get("id") if isinstance(value, dict) else value
    if name is not None and not (isinstance(name, str) and 0 < len(name) <= 128):
        raise ValueError("a voice is a name or an object with an id")
    return name


def _max_tokens(value: Any) -> int | None:
    number = whole(value)
    if number is None or (type(number) is int and 1 <= number <= 1_000_000):
        return number
    raise ValueError("a whole number from 1 to 1000000 is needed")


def _tool_choice(value: Any) -> str | None:
    if value is None or (isinstance(value, str) and value in ("auto", "none", "required")):
        return value
    name = value.get("name") if isinstance(value, dict) else None
    if isinstance(value, dict) and value.get("type") == "function" and isinstance(name, str):
        return name
    raise ValueError("auto, none, required or {type: function, name} is needed")


def _parted(content: Any) -> Any:
    return [{"text": content}] if isinstance(content, str) else content


def _short(text: str) -> str:
    if len(text.encode()) > LONGEST_TEXT_BYTES:
        raise ValueError(f"a text has at most {LONGEST_TEXT_BYTES} bytes")
    return text


Text = Annotated[StrictStr, AfterValidator(_short)]
Voice = Annotated[Any, AfterValidator(_voice)]
Instructions = Annotated[StrictStr, Field(max_length=LONGEST_INSTRUCTIONS)]
Model = Annotated[StrictStr, Field(min_length=1, max_length=LONGEST_MODEL)]
DelayMs = Annotated[Whole, Field(ge=0, le=60_000)]
CallId = Annotated[StrictStr, Field(min_length=1, max_length=128)]

# --- audio -----------------------------------------------------------------------------------


class LiveFormatFields(LiveFields):
    """How audio travels in messages, both ways: PCM at 16 or 24 kHz, or G.711."""

    type: Literal["audio/pcm", "audio/pcmu", "audio/pcma"]
    rate: Whole | None = None

    @model_validator(mode="after")
    def _of_its_rate(self) -> "LiveFormatFields":
        rates = (16_000, 24_000) if self.type == "audio/pcm" else (8_000, None)
        if self.rate not in rates:
            wanted = "16000 or 24000" if self.type == "audio/pcm" else "8000"
            raise ValueError(f"{self.type} has a rate of {wanted}")
        return self

    def audio_format(self) -> AudioFormat:
        """The same as the gateway's `AudioFormat`."""
        match self.type:
            case "audio/pcm":
                return AudioFormat("pcm_s16le", self.rate or 24_000, 1)
            case "audio/pcmu":
                return AudioFormat("mulaw", 8_000, 1)
            case _:
                return AudioFormat("alaw", 8_000, 1)

    def payload(self) -> dict[str, Any]:
        return {"type": self.type, "rate": self.rate or 8_000}


class OutputFields(LiveFields):
    voice: Voice = None


class LiveAudioFields(LiveFields):
    format: LiveFormatFields | None = None
    output: OutputFields | None = None


# --- who handles tasks -----------------------------------------------------------------------


class LiveToolFields(LiveFields):
    """A function of the client."""

    type: Literal["function"]
    name: Annotated[StrictStr, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: StrictStr | None = None
    parameters: dict[str, Any] | None = None


class ResponsesFields(LiveFields):
    """The chat server's settings: what a client tells the backend of a Live session."""

    model: Model | None = None
    instructions: Instructions | None = None
    max_output_tokens: Annotated[Any, AfterValidator(_max_tokens)] = None
    tools: Annotated[list[LiveToolFields], Field(max_length=MOST_TOOLS)] | None = None
    tool_choice: Annotated[Any, AfterValidator(_tool_choice)] = None


class DelegationFields(LiveFields):
    type: Literal["client", "responses"]
    acknowledgement_delay_ms: DelayMs | None = None
    responses: ResponsesFields | None = None


# --- the session -----------------------------------------------------------------------------


class PartFields(LiveFields):
    type: Literal["input_text", "text", "output_text"] = "input_text"
    text: Text


class InitialItemFields(LiveFields):
    """A line of the conversation before the session."""

    role: Literal["developer", "user", "assistant"]
    content: Annotated[list[PartFields], Field(min_length=1, max_length=1)]


class LiveSessionFields(LiveFields):
    """The fields of `session.start`. `triggers` that are not empty are refused."""

    model: Model
    audio: LiveAudioFields | None = None
    delegation: DelegationFields | None = None
    input: Annotated[list[InitialItemFields], Field(max_length=MOST_INPUT_ITEMS)] | None = None
    instructions: Instructions | None = None
    safety_identifier: StrictStr | None = None
    store: StrictBool | None = None
    triggers: Annotated[list[Any], Field(max_length=0)] | None = None


class UpdateFields(LiveFields):
    """The fields that `session.update` may change."""

    delegation: DelegationFields | None = None
    triggers: Annotated[list[Any], Field(max_length=0)] | None = None


class MessageFields(LiveFields):
    """A line that the client writes; `content` is a text, or parts with texts."""

    type: Literal["message"] = "message"
    role: Literal["user", "system", "developer", "assistant"]
    content: Annotated[
        list[PartFields], Field(min_length=1, max_length=64), BeforeValidator(_parted)
    ]

    @property
    def text(self) -> str:
        return "\n".join(part.text for part in self.content)


class ResultFields(LiveFields):
    """The result that a function of the client returned."""

    type: Literal["function_call_output"]
    call_id: CallId
    output: Text
