"""`parley bench`: what this machine can do.

The load generator of the project's own benchmarks, and the gateway with scripted stages; it comes
with the package so that an operator can measure a machine without the repository.
"""
