"""OpenAI's Realtime API as a dialect; see `docs/openai-realtime.md`. Pure."""

from gateway.protocols.openai_realtime.dialect import OpenAiRealtime
from gateway.protocols.openai_realtime.requests import effective_session
from gateway.protocols.openai_realtime.session import INTERVIEW, RealtimeSession

__all__ = ["INTERVIEW", "OpenAiRealtime", "RealtimeSession", "effective_session"]
