"""Figures of a machine as they might have been measured, for tests of what is made of them."""

from gateway.commands.capacity.figures import CapacityFigures, RecogniserFigures, RedisFigures

WHISPER = RecogniserFigures("whisper", "tiny.en", False, 0.05, 1.6, 300.0)
SERVER = RecogniserFigures("openai", "", True, None, None, None)
REDIS = RedisFigures(turn_commands=16.0, turn_cpu_ms=0.4, session_kb=6.0, turn_kb=1.0)

FIGURES = CapacityFigures(
    version=1,
    date="2026-11-30",
    parley="0.1.0",
    processor="A processor",
    cores=8,
    sessions_per_core=100,
    sessions_by="search",
    session_cpu_ms=5.0,
    gateway_mb=150.0,
    session_mb=0.5,
    recogniser=WHISPER,
    redis=REDIS,
    doubts=(),
)
"""A machine of eight cores on which nothing went wrong."""
