"""OpenAI's Realtime API as a dialect; see `docs/openai-realtime.md`. Pure."""

from gateway.protocols.openai_realtime.dialect import OpenAiRealtime
from gateway.protocols.openai_realtime.requests import effective_session
from gateway.protocols.openai_realtime.session import INTERVIEW, Session

__all__ = ["INTERVIEW", "OpenAiRealtime", "Session", "effective_session"]
