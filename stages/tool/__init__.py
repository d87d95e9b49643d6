"""Functions for chat models that an operator's HTTP endpoints run: see `docs/tools.md`.

`tools_file` reads which there are, `http` calls one.
"""

__all__: list[str] = []
