"""The services behind the gateway: which there are, how they are, and which instance a call gets.

`definition`, `yaml_reader`, `services_file` and `sources` say which services there are,
`model_specs` which models they have, `leases` and `networks` which instances have registered
themselves, and where they may be; `health`, `balancing`, `retries`, `instances` and `registry`
decide about calls, `forwarding` about what passes of a request and its answer, `totals` counts:
these are pure but for `sources`. `exchange` makes the attempts of one call, over the connections of
`upstreams` and `idle_connections`, with the body of `request_body`; `websocket_calls` those of a
WebSocket, which is a `service_connection`; `resolving` finds the addresses. `probing` asks
instances how they are, `reloading` reads the file again, `registration` takes leases, `current` has
the registry follow both. `failures` has words for failures.
"""

__all__: list[str] = []
