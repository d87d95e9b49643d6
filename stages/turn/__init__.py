"""Turn models: from the sound of a pause, has the person finished?

A provider is one module with a class of the shape `pipeline.stage.TurnModel`.
"""

__all__: list[str] = []
