"""The providers that fill the slots of this process.

`build` goes from settings to providers, `lineup` puts them behind guards with `breakers`, `probes`
asks in the background whether they answer, `starts` loads their models, and `languages` finds those
that know a session's language. With `drills` an operator breaks one for a while (`broken_stage`).
`tools` are an operator's functions for chat models.
"""

__all__: list[str] = []
