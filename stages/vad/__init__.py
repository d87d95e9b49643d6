"""Voice detectors: `silero`, a network, and `energy`, loudness over the background.

`silero` runs for all sessions at once; `energy` needs numpy only.
"""

__all__: list[str] = []
