"""Calls of chat models that clients make through the gateway. `routing` decides, `requests` says
what servers are asked for, `replies` reads what they answer and `usage` counts its tokens *(pure)*;
`calls` asks the services, `answer` is what one gives. `sources` says which models there are by the
settings."""

__all__: list[str] = []
