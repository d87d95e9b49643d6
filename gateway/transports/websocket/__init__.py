"""WebSockets: `endpoint` and `realtime` are the routes, `transport` fills the contract.

`protocol` is uvicorn's protocol with a short way through, for which `framing` cuts the stream.
"""

__all__: list[str] = []
