"""How fast, how cheap and how right the gateway is; `python -m benchmarks --help`."""
