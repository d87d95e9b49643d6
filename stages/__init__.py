"""Parley's providers, one per module; each implements a protocol of `pipeline.stage`.

`provider` says what is known of a provider, `registry` which one fills a slot and why. For authors
of providers there are `testing`, which puts the contract's rules to one, and `fakes`, which follow
a script. All names are imported from their modules.
"""

__all__: list[str] = []
