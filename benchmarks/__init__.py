"""Measures the gateway's speed, cost and accuracy; `python -m benchmarks --help`."""
