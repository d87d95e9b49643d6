"""Dialects, without I/O and without a clock: messages to commands, outputs to messages. Pure.

`dialect` is their contract, with the commands and outputs; `request` is what a client asks for when
a session begins, with each function for its replies as a `tool_wish`. `native` is Parley's own
dialect, `openai_realtime` that of OpenAI's Realtime API, `openai_live` that of its Live API, `rtvi`
that of Pipecat's clients, `twilio` that of telephone calls; none imports another. The first two
read numbers by `whole`, OpenAI's two read JSON by `client_events`, and `json_text` writes it.
`left_out` is for messages that are longer than their client takes.
"""

__all__: list[str] = []
