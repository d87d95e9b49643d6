"""Dialects, without I/O and without a clock: messages to commands, outputs to messages. Pure.

`dialect` is their contract. `native` is Parley's own dialect, `openai_realtime` that of OpenAI's
Realtime API, `rtvi` that of Pipecat's clients, `twilio` that of telephone calls; none imports
another. The first two read numbers by
`whole`.
"""

__all__: list[str] = []
