"""The services behind the gateway: their definitions, their health, and the choice of instances.

`definition`, `yaml_reader`, `services_file` and `sources` say which services there are,
`model_specs` which models they have, `leases` which instances have registered themselves, and
`networks` where these may be; `health`, `balancing`, `retries`, `instances` and `registry` decide
about calls, `forwarding` about the parts of a request and an answer that pass, `answer_reader`
reads answers, `totals` counts: these are pure but for `sources`. `exchange` makes the attempts of
one call by `upstreams`, with the body of `request_body`, each on an `http_connection`, which waits
in `idle_connections` between calls; `websocket_calls` makes those
of a WebSocket, which is a `service_connection`; `resolving` finds the addresses. `probing` probes
instances, `reloading` reads the file again, `registration` takes leases, `current` has the registry
follow both. `failures` has words for failures.
"""

__all__: list[str] = []
