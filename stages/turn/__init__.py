"""Turn models say from the sound whether a person who pauses has finished.

`smart_turn` asks Smart Turn v3.2 in a worker process, `smart_turn_model` finds and fetches its
file. `rules` is the name of the slot without a model.
"""

__all__: list[str] = []
