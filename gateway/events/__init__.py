"""Events: what happened, kept in the store with it, and told to others.

`event` is one event, `signing` how its delivery is signed, `webhooks_file` the file of webhooks,
`deliveries` in which order and how often (all of them pure). `outbox` makes events, `webhooks`
reads the file, `sending` makes one delivery, `delivering` all of a process: to the webhooks whose
`webhook_lease` it has, from their `webhook_progress` on. `dead_letters` keeps what was given up,
and `happenings` makes events of what happens in memory alone. `notifications` lets clients follow
the events that they may see (`viewers`): it keeps the `recent_events`, from which each
`notification_stream` reads, and older ones are read in `catch_ups`.
"""

__all__: list[str] = []
