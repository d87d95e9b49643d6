"""Figures, logs and traces of the gateway for its operator.

`turn_record` puts a turn together from its session's outputs, and `sessions` follows the live ones
and logs a line for each turn. `metrics` counts for Prometheus, `scrape` samples when it asks, and
`loop_lag` measures how late the event loop is. `tracing` sends a trace of each turn, with the ids
that `trace_context` gives. This package knows sessions by their outputs only.
"""

__all__: list[str] = []
