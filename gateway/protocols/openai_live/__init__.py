"""OpenAI's Live API ("GPT-Live") as a dialect; see `docs/gpt-live.md`. Pure."""

from gateway.protocols.openai_live.dialect import OpenAiLive
from gateway.protocols.openai_live.opening import LiveOpening, start_of

__all__ = ["LiveOpening", "OpenAiLive", "start_of"]
