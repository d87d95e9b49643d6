"""The peers as servers. Each is run by the interpreter of its own environment, never imported."""
