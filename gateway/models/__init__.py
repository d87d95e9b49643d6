"""Calls of chat models that clients make through the gateway. `routing` chooses the model,
`requests` writes requests to servers, `replies` reads their replies and `usage` counts the tokens
*(pure)*; `calls` asks the services, `answer` is one service's answer. `sources` reads from the
settings which models there are."""

__all__: list[str] = []
