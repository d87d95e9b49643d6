"""The endpointing rules alone: the slot's provider if no turn model is asked."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rules:
    """A stage that only has a provider's name: `pipeline.turns` has the rules."""

    provider: str = "rules"

    async def aclose(self) -> None: ...
