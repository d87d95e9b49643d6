"""Wire dialects, without I/O and without a clock: messages to commands, outputs to messages. Pure.

`dialect` is their contract. `native` is Parley's own, `openai_realtime` that of OpenAI's Realtime
API; they know nothing of one another.
"""

__all__: list[str] = []
