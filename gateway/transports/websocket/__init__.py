"""WebSockets: `endpoint`, `realtime`, `openai_live`, `rtvi` and `twilio` are the routes, and
`transport` fills the contract. `sideband` is that of a call over WebRTC.

`entry` finds out who may begin a session, and `refusal` turns a crowd away before that. `protocol`
is uvicorn's protocol with a short way through, for which `framing` cuts the stream; `send_queue`
says how much has not left yet. `relay` passes the messages of a service's WebSocket on.
"""

__all__: list[str] = []
