"""Dialects, without I/O and without a clock: messages to commands, outputs to messages. Pure.

`dialect` is their contract. `native` is Parley's own dialect, `openai_realtime` that of OpenAI's
Realtime API; neither imports the other. Both read numbers by `whole`.
"""

__all__: list[str] = []
