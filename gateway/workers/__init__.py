"""One gateway in several processes, which share a port: `parley serve --workers N`.

The parent (`supervisor`) starts the processes. It starts one again that has died, when `restarts`
decides, or that was silent for too long by its `hearing`, and relays the messages between them over
the `bus`. Each process is a whole gateway; `siblings` has what it knows of the others, and `board`
the load of each. A client may connect to any process, and `routes` decides where the connection
belongs. If it belongs to another process, a WebSocket is handed over (`routed`, by `handover`, or
by a `tunnel` under TLS), and other requests go there by `forwarding`. `merging` and `metrics_pages`
make one answer of the answers of all processes; `kept_pages` has the counts of processes that do
not answer. The processes' sockets and files are in a `folder`.
"""

__all__: list[str] = []
