"""The person's speech: audio buffer events, user items and their transcripts. Pure.

An item gets its id when speech begins and joins the conversation when the turn ends. If the person
goes on before the speech was recognised, the engine makes it a longer turn: the item of its
beginning is deleted, and the next item holds all of it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.protocols.openai_realtime import conversation as conversations
from gateway.protocols.openai_realtime.conversation import Conversation
from gateway.protocols.openai_realtime.errors import BUFFER_EMPTY, Event, invalid
from gateway.protocols.openai_realtime.items import ContentPart, RealtimeItem
from gateway.protocols.openai_realtime.responses import NewId
from gateway.protocols.openai_realtime.session import RealtimeSession
from pipeline.frames import SpeechStarted, SpeechStopped, Transcript

SHORTEST_COMMIT_MS = 100
_TRANSCRIPTION = "conversation.item.input_audio_transcription"


@dataclass(slots=True)
class _Utterance:
    turn: int
    item_id: str
    began_ms: int
    ended_ms: int
    item: RealtimeItem | None = None  # once committed
    shown: str = ""  # the transcript as far as deltas have told it
    settled: bool = False  # its transcript is known, or known never to come


class Inputs:
    """The inputs of one session. Methods return the events to send."""

    def __init__(
        self, conversation: Conversation, new_id: NewId, session: Callable[[], RealtimeSession]
    ) -> None:
        self._conversation = conversation
        self._new_id = new_id
        self._session = session
        self._utterance: _Utterance | None = None
        self._appended_ms = 0.0  # since the last commit or clear
        self._total_ms = 0.0  # since the session began
        self._committing: str | None = None
        self._waiting = False  # for the engine to commit

    # --- the client's buffer -----------------------------------------------------------------

    def append(self, duration_ms: float) -> None:
        """The client sent audio."""
        self._appended_ms += duration_ms
        self._total_ms += duration_ms

    def commit(self, event_id: str | None, *, counted: bool) -> None:
        """The client commits its buffer; over RTP its audio is not counted here.

        Raises `ProtocolError` if the buffer has less than 100 ms.
        """
        if counted and self._appended_ms < SHORTEST_COMMIT_MS:
            raise invalid(
                "Error committing input audio buffer: the buffer is too small. Expected at least"
                f" {SHORTEST_COMMIT_MS} ms of audio, but it has {self._appended_ms:.0f} ms.",
                None,
                BUFFER_EMPTY,
            )
        self._appended_ms = 0.0
        self._committing = event_id
        self._waiting = True

    def uncommitted(self) -> str | None:
        """The engine found nothing to commit; returns the id of the client's event."""
        event_id, self._committing = self._committing, None
        self._waiting = False
        return event_id

    def clear(self) -> list[Event]:
        """The client forgets its buffer."""
        self._appended_ms = 0.0
        if self._utterance is not None and self._utterance.item is None:
            self._utterance = None
        return [{"type": "input_audio_buffer.cleared"}]

    # --- speech ------------------------------------------------------------------------------

    def speaks_in(self, turn: int) -> bool:
        """Whether this turn began with speech."""
        return self._utterance is not None and self._utterance.turn == turn

    @property
    def waiting(self) -> bool:
        """The client has committed, and the engine has not ended the turn."""
        return self._waiting

    @property
    def committed_turn(self) -> int | None:
        """The newest turn of speech, once it has ended."""
        utterance = self._utterance
        return None if utterance is None or utterance.item is None else utterance.turn

    def started(self, output: SpeechStarted) -> list[Event]:
        """Speech began. If the client ends turns itself, the API has no event for it."""
        session = self._session()
        item_id = self._new_id("item")
        self._utterance = _Utterance(output.turn, item_id, output.at_ms, output.at_ms)
        if session.detection is None:
            return []
        start_ms = max(0, output.at_ms - session.detection.prefix_padding_ms)
        kind = "input_audio_buffer.speech_started"
        return [{"type": kind, "item_id": item_id, "audio_start_ms": start_ms}]

    def superseded(self, turn: int) -> list[Event]:
        """A turn of speech begins: earlier speech that was never recognised belongs to it."""
        utterance = self._utterance
        if utterance is None or utterance.settled or utterance.turn >= turn:
            return []
        utterance.settled = True
        if utterance.item is None or utterance.item_id not in self._conversation:
            return []
        self._conversation.delete(utterance.item_id)
        return [{"type": "conversation.item.deleted", "item_id": utterance.item_id}]

    def stopped(self, output: SpeechStopped) -> list[Event]:
        """The turn ended: its audio becomes an item."""
        session = self._session()
        utterance = self._utterance
        events: list[Event] = []
        if utterance is None or utterance.turn != output.turn:
            events += self.started(SpeechStarted(output.turn, output.at_ms))
            utterance = self._utterance
            assert utterance is not None
        if utterance.item is not None:
            return []
        if not self._waiting:
            self._appended_ms = 0.0
        self._waiting = False
        self._committing = None
        utterance.ended_ms = output.at_ms
        item_id = utterance.item_id
        item = RealtimeItem(
            item_id,
            "message",
            role="user",
            parts=[ContentPart("input_audio", None)],
            turn=output.turn,
        )
        utterance.item = item
        if session.detection is not None:
            end_ms = output.at_ms
            if session.detection.kind == "server_vad":
                end_ms += session.detection.silence_duration_ms
            kind = "input_audio_buffer.speech_stopped"
            events.append({"type": kind, "item_id": item_id, "audio_end_ms": end_ms})
        previous = self._conversation.append(item)
        committed = {"item_id": item_id, "previous_item_id": previous}
        return [
            *events,
            {"type": "input_audio_buffer.committed", **committed},
            conversations.added(item, previous),
            conversations.done(item, previous),
        ]

    def timed_out(self, turn: int, silent_ms: int, passed_ms: float | None) -> list[Event]:
        """Add an item for `silent_ms` of silence. Over RTP, where audio is not counted, it ends at
        `passed_ms`, the time since the session began."""
        end_ms = int(self._total_ms if passed_ms is None else passed_ms)
        item_id = self._new_id("item")
        part = ContentPart("input_audio", "")
        item = RealtimeItem(item_id, "message", role="user", parts=[part], turn=turn)
        previous = self._conversation.append(item)
        return [
            {
                "type": "input_audio_buffer.timeout_triggered",
                "item_id": item_id,
                "audio_start_ms": max(0, end_ms - silent_ms),
                "audio_end_ms": end_ms,
            },
            {
                "type": "input_audio_buffer.committed",
                "item_id": item_id,
                "previous_item_id": previous,
            },
            conversations.added(item, previous),
            conversations.done(item, previous),
        ]

    # --- its words ---------------------------------------------------------------------------

    def transcript(self, output: Transcript) -> list[Event]:
        """Gives the events for a partial or the final transcript."""
        utterance = self._utterance
        if utterance is None or utterance.settled or output.turn < utterance.turn:
            return []
        if not output.final:
            return self._partial(utterance, output)
        if utterance.item is None:  # the text of another turn
            return []
        utterance.settled = True
        utterance.item.parts = [ContentPart("input_audio", output.text)]
        if not self._shows(utterance):
            return []
        usage = {"type": "duration", "seconds": self._seconds(utterance)}
        completed: Event = {
            "type": f"{_TRANSCRIPTION}.completed",
            "item_id": utterance.item_id,
            "content_index": 0,
            "transcript": output.text,
            "usage": usage,
        }
        return [*self._delta(utterance, output.text), completed]

    def _partial(self, utterance: _Utterance, output: Transcript) -> list[Event]:
        # Without speech_started the client does not know the item before it is committed.
        unknown = utterance.item is None and self._session().manual
        if unknown or output.turn != utterance.turn or not self._shows(utterance):
            return []
        return self._delta(utterance, output.text)

    def _delta(self, utterance: _Utterance, text: str) -> list[Event]:
        """The new words only. A partial that takes words back is not shown: the final has all."""
        if not text.startswith(utterance.shown) or text == utterance.shown:
            return []
        delta = text[len(utterance.shown) :]
        utterance.shown = text
        place = {"item_id": utterance.item_id, "content_index": 0}
        return [{"type": f"{_TRANSCRIPTION}.delta", **place, "delta": delta}]

    def unheard(self, turn: int, reason: str) -> list[Event]:
        """This turn's words will never be known."""
        utterance = self._utterance
        if utterance is None or utterance.turn != turn or utterance.settled:
            return []
        if utterance.item is None:
            return []
        utterance.settled = True
        if not self._shows(utterance):
            return []
        error = {"type": "transcription_error", "code": "audio_unintelligible", "message": reason}
        place = {"item_id": utterance.item_id, "content_index": 0}
        return [{"type": f"{_TRANSCRIPTION}.failed", **place, "error": error}]

    def _shows(self, utterance: _Utterance) -> bool:
        deleted = utterance.item is not None and utterance.item_id not in self._conversation
        return self._session().transcription is not None and not deleted

    def _seconds(self, utterance: _Utterance) -> float:
        return max(0, utterance.ended_ms - utterance.began_ms) / 1000
