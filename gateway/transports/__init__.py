"""The connections that carry a client's messages and audio: `websocket` and `webrtc`.

They fill the contract in `gateway.live.transport` and know nothing of one another. `http` limits
the requests from which they begin, `http_head` judges their heads, and `proxies` reads what proxies
say about them, with `forwarded` for one of its headers. `accepting` says how many connections come
in at once, and `hosts` is the names that a gateway without keys answers to.
"""

__all__: list[str] = []
