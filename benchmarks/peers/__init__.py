"""Parley beside its peers; `python -m benchmarks.peers --help`."""
