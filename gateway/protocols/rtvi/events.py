"""The events of RTVI that tell a client about its session. Pure.

`BotEvents` knows what the client believes about the bot: whether it composes, synthesises or
speaks. So each `…-started` is followed by one `…-stopped`, whatever becomes of a reply.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from gateway.protocols.dialect import (
    GoingAway,
    InterviewProgress,
    Outgoing,
    ReplyTiming,
    SessionExpires,
    ToolCallEnded,
)
from gateway.protocols.left_out import LeftOut
from gateway.protocols.rtvi.functions import Event, FunctionCalls
from pipeline.frames import (
    AvatarState,
    Clear,
    Degraded,
    Fault,
    ReplyAudio,
    ReplyDone,
    ReplyPaused,
    ReplyResumed,
    ReplyStarted,
    ReplyText,
    SpeechStarted,
    SpeechStopped,
    StageSpan,
    ToolCall,
    Transcript,
    TurnMetrics,
)

PERSON = "candidate"
"""The `user_id` of transcripts: a session has one person."""


class BotEvents:
    """The events of one session. `clock` turns the loop's time into seconds since the epoch."""

    def __init__(self, clock: Callable[[float], float]) -> None:
        self.old = False
        """The client speaks version 1."""
        self.calls = FunctionCalls()
        self._clock = clock
        self._composing = False
        self._synthesising = False
        self.speaking = False
        self._said: list[str] = []  # the sentences of the reply under way
        self._segments = 0  # of all replies so far

    def of(self, output: Outgoing, now: float) -> list[Event]:
        """The events for an output; none where RTVI has nothing for it."""
        match output:
            case SpeechStarted():
                return [("user-started-speaking", None)]
            case SpeechStopped():
                return [("user-stopped-speaking", None)]
            case Transcript():
                return self._transcript(output, now)
            case AvatarState(_, "thinking") | ReplyStarted():
                return self._compose()
            case AvatarState(_, "idle"):
                return self._end()
            case ReplyText(_, text):
                return self._say(text)
            case ReplyAudio() | ReplyTiming() | ReplyResumed():
                return self.heard()
            case Clear() | ReplyPaused():  # it may go on: the speech may prove to be none
                return self._silent()
            case ToolCall():
                return self.calls.called(output, old=self.old)
            case ToolCallEnded(call_id):
                return self.calls.ended(call_id)
            case ReplyDone(turn):
                return [*self.calls.over(turn), *self._done(output)]
            case TurnMetrics(turn):
                return [*self.calls.over(turn), ("metrics", _metrics(output))]
            case Fault(_, _, text, fatal):
                return [error(text, fatal=fatal)]
            case LeftOut(text=text):
                return [error(text, fatal=False)]
            case _:
                return _of_gateway(output)

    def heard(self) -> list[Event]:
        """Audio of a reply goes to the client."""
        if self.speaking:
            return []
        self.speaking = True
        return [("bot-started-speaking", None)]

    def _silent(self) -> list[Event]:
        if not self.speaking:
            return []
        self.speaking = False
        return [("bot-stopped-speaking", None)]

    def _compose(self) -> list[Event]:
        if self._composing:
            return []
        self._composing = True
        self._said = []
        return [("bot-llm-started", None)]

    def _say(self, text: str) -> list[Event]:
        """A sentence is about to be spoken."""
        made = self._compose()
        if not self._synthesising:
            self._synthesising = True
            made.append(("bot-tts-started", None))
        # Clients join the pieces of a reply as they are.
        made.append(("bot-llm-text", {"text": f" {text}" if self._said else text}))
        made.append(("bot-tts-text", {"text": text}))
        made.append(("bot-output", self._segment(text, self._segments)))
        made.append(("bot-transcription", {"text": text}))
        self._segments += 1
        self._said.append(text)
        return made

    def _segment(self, text: str, number: int, *, said: bool = False) -> dict[str, Any]:
        if self.old:
            return {"text": text, "aggregated_by": "sentence", "spoken": True}
        return {
            "text": text,
            "aggregated_by": "sentence",
            "segment_id": number,
            "will_be_spoken": True,
            "spoken_status": "completed" if said else "new",
            "spoken_progress": {
                "accumulated_text": text if said else "",
                "remaining_text": "" if said else text,
            },
        }

    def _done(self, done: ReplyDone) -> list[Event]:
        if done.interrupted:
            return [("bot-interrupted", None), *self._end()]
        whole = [] if self.old else self._said
        first = self._segments - len(self._said)
        completed = [
            ("bot-output", self._segment(text, first + at, said=True))
            for at, text in enumerate(whole)
        ]
        return [*completed, *self._end()]

    def _end(self) -> list[Event]:
        made: list[Event] = []
        if self._composing:
            made.append(("bot-llm-stopped", None))
        if self._synthesising:
            made.append(("bot-tts-stopped", None))
        self._composing = self._synthesising = False
        self._said = []
        return [*made, *self._silent()]

    def _transcript(self, transcript: Transcript, now: float) -> list[Event]:
        at = datetime.fromtimestamp(self._clock(now), UTC).isoformat(timespec="milliseconds")
        told = {
            "text": transcript.text,
            "user_id": PERSON,
            "timestamp": at.replace("+00:00", "Z"),
            "final": transcript.final,
        }
        made: list[Event] = [("user-transcription", told)]
        if transcript.final:
            made.append(("user-llm-text", {"text": transcript.text}))
        return made


def error(text: str, *, fatal: bool) -> Event:
    """An error without a request. Clients' types call its text `message`, servers' `error`."""
    return "error", {"error": text, "message": text, "fatal": fatal}


def server_message(kind: str, data: Any) -> Event:
    """A message of the gateway's own, for things that RTVI has no event for."""
    return "server-message", {"t": kind, "d": data}


def _of_gateway(output: Outgoing) -> list[Event]:
    match output:
        case InterviewProgress(state):
            return [server_message("interview", state)]
        case GoingAway(in_ms):
            return [server_message("going-away", {"in_ms": in_ms})]
        case SessionExpires(in_ms):
            return [server_message("session-expires", {"in_ms": in_ms})]
        case Degraded(turn, stage, source, target, reason):
            fields = {"turn": turn, "stage": stage, "from": source, "to": target, "reason": reason}
            return [server_message("degraded", fields)]
        case _:  # mouth shapes, pictures: RTVI has no event that would carry them
            return []


def _metrics(metrics: TurnMetrics) -> dict[str, Any]:
    """In seconds, as Pipecat's servers have it."""
    spans = metrics.stages
    ttfb = [_entry(span, span.first) for span in spans if span.first is not None]
    processing = [_entry(span, span.end) for span in spans if span.end is not None]
    if metrics.voice_to_voice_ms is not None:
        value = round(metrics.voice_to_voice_ms / 1000, 4)
        ttfb.append({"processor": "voice-to-voice", "value": value})
    return {"ttfb": ttfb, "processing": processing}


def _entry(span: StageSpan, until: float) -> dict[str, Any]:
    value = round((until - span.start) / 1000, 4)
    return {"processor": span.stage, "model": span.provider, "value": value}
