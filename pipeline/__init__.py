"""Parley's engine: turns, budgets, breakers, channels, playout. Knows no provider, no transport.

`session` is one conversation, `stage` the protocols that providers implement, `frames` what flows,
`errors` what can go wrong, `testing` the tools for tests of code that waits. All names are imported
from their modules.
"""

__all__: list[str] = []
