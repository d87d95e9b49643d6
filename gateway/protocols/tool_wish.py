"""A function that a session's replies may call, as clients and REST declare it. Pure."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, StrictStr

from gateway.protocols.whole import whole
from pipeline.stage import Tool
from pipeline.tool_rounds import LIMIT_S

MOST_TOOLS = 32


class ToolWish(BaseModel):
    """A `name` alone is one of the operator's functions; with `description` or `parameters` it is
    a function that the client runs itself, within `timeout_ms`.

    `filler` is said if the function takes long; "" says nothing.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    description: Annotated[StrictStr, Field(max_length=4000)] | None = None
    parameters: dict[str, Any] | None = None
    timeout_ms: Annotated[StrictInt, Field(ge=100, le=60_000), BeforeValidator(whole)] = round(
        LIMIT_S * 1000
    )
    filler: Annotated[StrictStr, Field(max_length=200)] | None = None

    @property
    def of_client(self) -> bool:
        return self.description is not None or self.parameters is not None

    def tool(self) -> Tool:
        """The client's function, in the form that the model gets."""
        parameters = self.parameters or {"type": "object", "properties": {}}
        return Tool(self.name, self.description or "", parameters)


ToolWishes = Annotated[list[ToolWish], Field(max_length=MOST_TOOLS)]
