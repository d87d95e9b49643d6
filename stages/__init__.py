"""Parley's providers, one per module; each implements a protocol of `pipeline.stage`.

`provider` describes a provider, `registry` chooses the one that fills a slot. For authors of
providers, `testing` checks a provider against the contract, and `fakes` are scripted stages. Import
all names from their modules.
"""

__all__: list[str] = []
