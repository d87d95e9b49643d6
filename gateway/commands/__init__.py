"""The `parley` command: `cli` has its sub-commands and their options.

`serve`, `call`, `interview`, `replay`, `doctor` and `fetch` are one sub-command each; `terminal` is
how all of them write to a person.
"""

__all__: list[str] = []
