"""Parley's engine: turns, budgets, breakers, channels, playout. Knows no provider, no transport."""
