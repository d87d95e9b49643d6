"""The messages of the native dialect to its clients: their types and fields. Pure."""

import base64
import json
from typing import Any

from gateway.protocols.dialect import (
    GoingAway,
    InterviewProgress,
    Outgoing,
    OutOfBand,
    ReplyTiming,
    Resumed,
    SentenceSpoken,
    SessionExpires,
    SessionOver,
    SessionReady,
    ToolCallEnded,
    WireAudio,
)
from gateway.protocols.left_out import MESSAGE_LEFT_OUT, LeftOut
from gateway.protocols.native.messages import VERSION
from gateway.protocols.native.server_messages import MessageType
from pipeline.frames import (
    AvatarFrame,
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
    ReplyUsage,
    SpeechStarted,
    SpeechStopped,
    ToolCall,
    Transcript,
    TurnMetrics,
    Visemes,
)


def describe(output: Outgoing) -> tuple[MessageType, dict[str, Any]] | None:
    """The type and the fields of the message for an output; None where there is no message.

    Reply audio has none: it travels as a binary message or over RTP.
    """
    match output:
        case SessionReady():
            return "ready", _ready(output)
        case InterviewProgress(state):
            return "interview", state
        case GoingAway(in_ms):
            return "going_away", {"in_ms": in_ms}
        case SessionExpires(in_ms):
            return "expiring", {"in_ms": in_ms}
        case ReplyTiming(turn, at_ms, rtp):
            return "reply.audio", {"turn": turn, "at_ms": at_ms, "rtp": rtp}
        case AvatarFrame():
            return "avatar.frame", _picture(output)
        case SpeechStarted(turn, at_ms):
            return "speech.started", {"turn": turn, "at_ms": at_ms}
        case SpeechStopped(turn, at_ms):
            return "speech.stopped", {"turn": turn, "at_ms": at_ms}
        case Transcript():
            return "transcript", _transcript(output)
        case ReplyStarted(turn):
            return "reply.started", {"turn": turn}
        case ReplyText(turn, text):
            return "reply.text", {"turn": turn, "text": text}
        case Visemes(turn, start_ms, cues):
            return "visemes", {
                "turn": turn,
                "start_ms": start_ms,
                "cues": [
                    {"t": cue.at_ms, "d": cue.duration_ms, "v": cue.shape, "w": cue.weight}
                    for cue in cues
                ],
            }
        case ReplyDone(turn, interrupted, heard):
            return "reply.done", {"turn": turn, "interrupted": interrupted, "heard": heard}
        case ReplyPaused(turn, at_ms):
            return "reply.paused", {"turn": turn, "at_ms": at_ms}
        case ReplyResumed(turn, at_ms):
            return "reply.resumed", {"turn": turn, "at_ms": at_ms}
        case Clear(turn, at_ms):
            return "clear", {"turn": turn, "at_ms": at_ms}
        case AvatarState(_, state):
            return "avatar.state", {"state": state}
        case Degraded(turn, stage, source, target, reason):
            fields = {"turn": turn, "stage": stage, "from": source, "to": target, "reason": reason}
            return "degraded", fields
        case TurnMetrics():
            return "turn.metrics", _metrics(output)
        case Fault(turn, code, text, fatal):
            return "error", {"turn": turn, "code": code, "message": text, "fatal": fatal}
        case LeftOut(text=text):
            return "error", {"turn": 0, "code": MESSAGE_LEFT_OUT, "message": text, "fatal": False}
        case ToolCall(turn, call_id, name, arguments):
            # The engine has read them: they are an object.
            fields = {"call_id": call_id, "name": name, "arguments": json.loads(arguments)}
            return "tool.call", {"turn": turn, **fields}
        case ReplyAudio() | ReplyUsage() | OutOfBand() | SentenceSpoken() | SessionOver():
            return None
        case ToolCallEnded():  # the client knows its own functions' time
            return None


def _ready(ready: SessionReady) -> dict[str, Any]:
    return {
        "version": VERSION,
        "session_id": ready.session_id,
        "audio_in": _audio(ready.audio_in) | {"channels": ready.audio_in.channels},
        "audio_out": _audio(ready.audio_out),
        "providers": ready.providers,
        "resume": ready.resume,
        **({} if ready.resumed is None else {"resumed": _resumed(ready.resumed)}),
        "interview": ready.interview,
        "language": ready.language,
        "notices": [{"code": code, "message": text} for code, text in ready.notices],
    }


def _resumed(resumed: Resumed) -> dict[str, Any]:
    back: dict[str, Any] = {"kept": resumed.kept, "complete": resumed.complete}
    return back | {"texts": resumed.texts} if resumed.kept else back


def _audio(audio: WireAudio) -> dict[str, Any]:
    fields: dict[str, Any] = {"encoding": audio.encoding, "rate": audio.rate_hz}
    if audio.noise_reduction != "off":
        fields["noise_reduction"] = audio.noise_reduction
    return fields


def _picture(frame: AvatarFrame) -> dict[str, Any]:
    data = base64.b64encode(frame.data).decode("ascii")
    return {"turn": frame.turn, "at_ms": frame.at_ms, "mime": frame.mime, "data": data}


def _transcript(frame: Transcript) -> dict[str, Any]:
    fields: dict[str, Any] = {"turn": frame.turn, "text": frame.text, "final": frame.final}
    if frame.language is not None:
        fields["language"] = frame.language
    if frame.confidence is not None:
        fields["confidence"] = round(frame.confidence, 3)
    if frame.words:
        fields["words"] = [
            {"text": word.text, "start_ms": word.start_ms, "end_ms": word.end_ms}
            for word in frame.words
        ]
    return fields


def _metrics(frame: TurnMetrics) -> dict[str, Any]:
    return {
        "turn": frame.turn,
        "budget_ms": frame.budget_ms,
        "stages": [
            {
                "stage": span.stage,
                "provider": span.provider,
                "start": span.start,
                "first": span.first,
                "end": span.end,
            }
            for span in frame.stages
        ],
        "voice_to_voice_ms": frame.voice_to_voice_ms,
        "shares": [
            {
                "stage": share.stage,
                "provider": share.provider,
                "ms": share.ms,
                "failed": share.failed,
            }
            for share in frame.shares
        ],
    }
