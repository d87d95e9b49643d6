"""Client for Parley, the realtime gateway for spoken interviews.

    async with parley_client.connect("ws://127.0.0.1:8000", role="Data Analyst") as call:
        async for event in call:
            ...

`connect` holds a call, `events` has what it brings, `sound` joins it to the machine's microphone
and loudspeaker, `Playout` is for those who play the audio themselves.
"""

from parley_client.call import Call, connect
from parley_client.clip import Speech, read_clip
from parley_client.errors import CallEnded, CallError, LineLost, MessageError, Refused
from parley_client.events import (
    AvatarFrame,
    AvatarState,
    Clear,
    Degraded,
    Error,
    Event,
    Expiring,
    GoingAway,
    Interview,
    LineBroke,
    Pong,
    Ready,
    ReplyAudio,
    ReplyDone,
    ReplyPaused,
    ReplyResumed,
    ReplyStarted,
    ReplyText,
    SpeechStarted,
    SpeechStopped,
    ToolCall,
    Transcript,
    TurnMetrics,
    Unknown,
    Visemes,
)
from parley_client.options import Options
from parley_client.playout import Playout
from parley_client.sound import NoSound, sound

__all__ = [
    "AvatarFrame",
    "AvatarState",
    "Call",
    "CallEnded",
    "CallError",
    "Clear",
    "Degraded",
    "Error",
    "Event",
    "Expiring",
    "GoingAway",
    "Interview",
    "LineBroke",
    "LineLost",
    "MessageError",
    "NoSound",
    "Options",
    "Playout",
    "Pong",
    "Ready",
    "Refused",
    "ReplyAudio",
    "ReplyDone",
    "ReplyPaused",
    "ReplyResumed",
    "ReplyStarted",
    "ReplyText",
    "Speech",
    "SpeechStarted",
    "SpeechStopped",
    "ToolCall",
    "Transcript",
    "TurnMetrics",
    "Unknown",
    "Visemes",
    "connect",
    "read_clip",
    "sound",
]
