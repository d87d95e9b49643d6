"""Parley's outside: transports, wire dialects, storage, settings and the `parley` command.

`app.create_app` makes the application. All other names are imported from their modules.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
