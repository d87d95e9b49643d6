"""Which providers fill the slots of this process.

`build` goes from settings to providers, `lineup` puts them behind guards with `breakers`, `probes`
asks in the background whether they answer, `starts` loads their models, and `languages` finds those
that know a session's language. `drills` lets an operator break one for a while: `broken_stage`.
`tools` are an operator's functions for chat models.
"""

__all__: list[str] = []
