"""Calls of chat models that clients make through the gateway. `routing` decides *(pure)*, `replies`
reads what servers answer and `usage` counts its tokens *(pure)*, `calls` asks the services.
`sources` says which models there are by the settings."""

__all__: list[str] = []
