"""Parley's providers, one per module; each implements a protocol of `pipeline.stage`."""
