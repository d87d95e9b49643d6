"""The providers that fill the slots of this process.

`build` makes providers from settings, `lineup` puts them behind guards, and `probes` asks in the
background whether they answer.
"""

__all__: list[str] = []
