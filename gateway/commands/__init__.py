"""The `parley` command: `cli` has its sub-commands, `options` their options and
`help_texts` the texts of their help.

`serve`, `call`, `interview`, `replay`, `doctor`, `fetch`, `keys`, `drill`, `drain`, `bench` and
`capacity` are one sub-command each, and `stage_worker` is `parley worker`, and `ray_stage` the
same on Ray Serve; `access_check` is what `doctor` says of keys and tokens, `announcement` has the
lines of a server that starts, `terminal` the output and errors that they share, `tls` the files for
HTTPS, `operator_client` the connection of `drill` and `drain` to a gateway. If several processes
serve, `workers` is their parent and `worker` one of them.
"""

__all__: list[str] = []
