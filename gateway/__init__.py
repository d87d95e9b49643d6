"""Parley's outside: transports, wire dialects, storage, settings and the `parley` command."""

__version__ = "0.1.0"
