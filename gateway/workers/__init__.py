"""One gateway in several processes, which share a port: `parley serve --workers N`.

The parent (`supervisor`) starts the processes, starts one again that died as `restarts` decides, or
that was silent too long by its `hearing`,
and passes on what they tell one another over the `bus`. Each of them is a whole gateway; `siblings`
is what it knows of the others, and `board` how much each has to do. A client's connection may come
to any; `routes` decides where it belongs. A process that should not have it hands a WebSocket over
(`routed`, by `handover`, or by a `tunnel` under TLS) and other requests by `forwarding`. What all
of them have to say, `merging` and `metrics_pages` make one answer; `kept_pages` has what those
counted that do not answer. Their sockets and files are in a `folder`.
"""

__all__: list[str] = []
