"""`parley bench`: how many sessions this machine can hold.

The load generator of the project's own benchmarks, and the gateway with scripted stages; it comes
with the package so that an operator can measure a machine without the repository.

- `command` is the command; `search` finds the largest number of sessions;
- `run` is one load run against a server (`server`, `scripted`), with what `resources` tell of it,
  and `validity` says whether it may be believed;
- `load` is the generator's process: `caller` one of its sessions, `scenario` what they do,
  `dialect`, `wire` and `sounds` what is sent, `observed` and `figures` what came of it.
"""

__all__: list[str] = []
