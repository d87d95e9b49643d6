"""`LiveRequests`: client events to commands and answers; what the conversation remembers. Pure."""

from collections.abc import Callable

from gateway.media.format import LONGEST_MESSAGE_MS, AudioFormat
from gateway.protocols.dialect import (
    AudioMessage,
    Command,
    InterruptReply,
    Reconfigure,
    Respond,
    TypedText,
)
from gateway.protocols.openai_live import events
from gateway.protocols.openai_live.errors import (
    NOTHING_TO_ANSWER,
    UNSUPPORTED,
    Event,
    invalid,
)
from gateway.protocols.openai_live.fields import DelegationFields, MessageFields
from gateway.protocols.openai_live.history import LiveHistory
from gateway.protocols.openai_live.session import LiveApiSession
from pipeline.frames import Degraded, ToolCall
from pipeline.ladder import CANNED, HOLDING

LONGEST_APPEND_MS = 60_000
LONGEST_TYPED_BYTES = 8 * 1024
"""Of an answer in an interview that is typed."""

SILENT = {"pcm_s16le": b"\0", "mulaw": b"\xff", "alaw": b"\xd5"}
"""A byte of silence, by encoding."""


class LiveRequests:
    """One session's. `session` is what holds now."""

    def __init__(self, session: LiveApiSession, history: LiveHistory) -> None:
        self.session = session
        self.history = history
        self._muted = False
        self._typed: list[str] = []  # for the interview, by the next `response.create`
        self._asked = False  # a line of the client's waits for `response.create`
        self._answered = False  # so does the result of a function
        self._response_id: str | None = None  # the client's event that asks for a reply
        self._canned: int | None = None  # the turn whose reply is no part of the conversation
        self._held: int | None = None  # the turn whose words are waited for
        self._lead = ""  # what was said meanwhile
        # Of the turn that called functions: it, and the ids of the delegation and of its response.
        self._delegation: tuple[int, str, str] | None = None
        self._calls = 0

    # --- from the client ---------------------------------------------------------------------

    def append(self, audio: bytes) -> tuple[float, list[Command]]:
        """How long the audio lasts, and the commands for it. Raises `ProtocolError`."""
        form = self.session.audio_format
        if len(audio) % form.sample_bytes:
            text = f"{len(audio)} bytes are not a whole number of {form.sample_bytes}-byte samples."
            raise invalid(f"Invalid value for 'audio': {text}", "audio")
        duration_ms = form.duration_ms(audio)
        if duration_ms > LONGEST_APPEND_MS:
            text = f"it lasts {duration_ms:.0f} ms; at most {LONGEST_APPEND_MS} ms are allowed."
            raise invalid(f"Invalid value for 'audio': {text}", "audio")
        if self._muted:  # the session's clock goes on
            audio = SILENT[form.encoding] * len(audio)
        return duration_ms, _messages(audio, form)

    def obey(
        self,
        event: events.ClientEvent,
        event_id: str | None,
        at_ms: int,
        tell: Callable[..., Event],
    ) -> tuple[list[Command], list[Event]]:
        """The commands that follow from an event, and the events that answer it. `at_ms` is now on
        the session's timeline. Raises `ProtocolError`, without the `event_id`."""
        match event:
            case events.LiveUpdateSession(session=fields):
                return self._update(fields.delegation), [tell("session.updated", event_id)]
            case events.MuteInput():
                self._muted = True
                return [], [tell("session.input_audio.muted", event_id)]
            case events.UnmuteInput():
                self._muted = False
                return [], [tell("session.input_audio.unmuted", event_id)]
            case events.AppendContext(type=kind, content=content):
                commands = self._append_context(kind, content, event_id)
                appended = f"{kind.removesuffix('append')}appended"
                return commands, [tell(appended, event_id, start_ms=at_ms, end_ms=at_ms)]
            case events.CreateMessage(item=message):
                self._put(message)
            case events.CreateResult(item=result):
                self.history.answered(result.call_id, result.output)
                self._answered = True
            case _:
                return self._respond(event_id), []
        return [], []

    def _update(self, delegation: DelegationFields | None) -> list[Command]:
        before = self.session.request(self.history)
        self.session = self.session.updated(delegation)
        after = self.session.request(self.history)
        return [] if after == before else [Reconfigure(after)]

    def _append_context(self, kind: str, content: str, event_id: str | None) -> list[Command]:
        if self.session.is_interview:
            raise invalid("An interview knows its own context.", "type", UNSUPPORTED)
        self.history.put("system", content)
        if kind != "session.commentary.append":
            return []
        self._response_id = event_id
        return [Respond(waits=True)]

    def _put(self, message: MessageFields) -> None:
        text = message.text
        if not self.session.is_interview:
            role = message.role
            self.history.put("system" if role == "developer" else role, text)
            self._asked = True
            return
        if message.role != "user":
            raise invalid("An interview takes messages of the user.", "item.role")
        size = sum(len(typed.encode()) for typed in (*self._typed, text))
        if size > LONGEST_TYPED_BYTES:
            raise invalid(f"An answer has at most {LONGEST_TYPED_BYTES} bytes.", "item.content")
        if text.strip():
            self._typed.append(text)

    def _respond(self, event_id: str | None) -> list[Command]:
        self._response_id = event_id
        if self.session.is_interview:
            typed, self._typed = self._typed, []
            if not typed:
                text = "Write an answer with response.item.create before response.create."
                raise invalid(text, None, NOTHING_TO_ANSWER)
            return [TypedText("\n".join(typed))]  # which stops the reply under way
        asked, answered = self._asked, self._answered
        self._asked = self._answered = False
        if answered and not asked:  # the reply that has called goes before
            return [Respond(waits=True)]
        return [InterruptReply(), Respond()]

    def refused(self) -> str | None:
        """The engine makes no reply; returns the id of the event that asked for it."""
        event_id, self._response_id = self._response_id, None
        return event_id

    # --- from the engine: what an assistant's conversation remembers --------------------------

    def heard(self, turn: int, text: str) -> None:
        """The person's words in a turn."""
        if self._held == turn:
            self._held = None
        self.history.heard(turn, text)

    def reply(self, turn: int) -> None:
        """A reply begins."""
        self.history.reply(turn)

    def replies(self, turn: int, text: str) -> None:
        """The reply's next sentence."""
        if self._held == turn:
            self._lead = f"{self._lead} {text}" if self._lead else text

    def degraded(self, output: Degraded) -> None:
        """A line takes the place of the reply, or fills the wait for the person's words."""
        if output.target == CANNED:
            self._canned = output.turn
        elif output.target == HOLDING:
            self._held = output.turn

    def replied(self, turn: int, heard: str) -> None:
        """The reply is over, and so much of it was heard."""
        lead, self._lead = self._lead, ""
        if turn == self._canned or lead.startswith(heard):
            return
        self.history.replied(turn, heard.removeprefix(lead).lstrip())

    def response_of(self, turn: int, new_id: Callable[[str], str]) -> tuple[str | None, str, int]:
        """The id of a turn's delegation, None where it called nothing; that of its response; and
        how many events of it there were."""
        found = self._delegation
        if found is None or found[0] != turn:
            return None, new_id("resp"), 0
        return found[1], found[2], self._calls

    def called(self, call: ToolCall, at_ms: int, new_id: Callable[[str], str]) -> list[Event]:
        """The reply asks for a function: the events by which the client learns of it."""
        self.history.called(call)
        made: list[Event] = []
        if self._delegation is None or self._delegation[0] != call.turn:
            made_ids = new_id("delegation"), new_id("resp")
            self._delegation, self._calls = (call.turn, *made_ids), 0
            delegation = {
                "id": self._delegation[1],
                "target": "responses",
                "type": "delegation",
                "response_id": self._delegation[2],
            }
            made.append(
                {
                    "type": "session.delegation.created",
                    "delegation": delegation,
                    "offset_ms": at_ms,
                }
            )
        item = {
            "type": "function_call",
            "id": new_id("fc"),
            "call_id": call.call_id,
            "name": call.name,
            "arguments": call.arguments,
            "status": "completed",
        }
        done = {
            "type": "response.output_item.done",
            "output_index": self._calls,
            "sequence_number": self._calls,
            "item": item,
        }
        self._calls += 1
        event: Event = {"type": "response.event", "delegation_id": self._delegation[1]}
        return [*made, {**event, "event": done}]


def _messages(audio: bytes, form: AudioFormat) -> list[Command]:
    step = form.rate_hz * LONGEST_MESSAGE_MS // 1000 * form.sample_bytes
    if len(audio) <= step:
        return [AudioMessage(audio)] if audio else []
    return [AudioMessage(audio[at : at + step]) for at in range(0, len(audio), step)]
