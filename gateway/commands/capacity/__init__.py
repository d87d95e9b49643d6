"""`parley capacity`: how many sessions this machine carries, and what a number of calls needs.

- `command` is the command;
- `measuring` makes the figures of this machine: sessions by the load generator of `parley bench`,
  `recognition` by the configured recogniser, and what `own_redis` has to do meanwhile;
- `figures` holds them, and reads them from a file; `planning` is the arithmetic from figures to
  machines, and `text` says both in words.
"""

__all__: list[str] = []
