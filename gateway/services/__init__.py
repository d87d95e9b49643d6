"""The services behind the gateway: which there are, how they are, and which instance a call gets.

`definition`, `yaml_reader`, `services_file` and `sources` say which services there are; `health`,
`balancing`, `retries`, `instances` and `registry` decide about calls, `forwarding` about what
passes of a request and its answer: these are pure. `exchange` makes the attempts of one call, over
the connections of `upstreams`, with the body of `request_body`; `resolving` looks names up,
`websocket_calls` opens WebSockets, `probing` asks instances how they are, `reloading` reads the
file again, `failures` has words for failures.
"""

__all__: list[str] = []
