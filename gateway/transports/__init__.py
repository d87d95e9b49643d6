"""The connections that carry a client's messages and audio: `websocket` and `webrtc`.

Both implement the contract in `gateway.live.transport` and do not use each other. `http` limits the
requests that begin them, `http_head` checks the heads of these requests, and `proxies` reads the
headers of proxies, with `forwarded` for one of these. `accepting` decides how many connections are
accepted at once, and `hosts` which names a gateway without keys answers to.
"""

__all__: list[str] = []
