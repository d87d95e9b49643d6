"""The `parley` command: `cli` has its sub-commands, `options` their options.

`serve`, `call`, `interview`, `replay`, `doctor`, `fetch` and `drill` are one sub-command each;
`terminal` has the output and errors that they share.
"""

__all__: list[str] = []
