"""The models that clients may choose: `/api/v1/models`."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from gateway.rest.operation import Operation, ResponseSpec
from gateway.rest.problems import Kind
from gateway.rest.stateless import FALLBACK_MODELS, ModelCatalogue, UnknownModel
from gateway.rest.stateless.endpoints import Lenient, ModelId

TAGS = ("desktop",)

UNKNOWN_MODEL = Kind("unknown_model", 400, "There is no model of this name")


class ModelCard(BaseModel):
    """One model, described for people; a client names its `id` to choose it."""

    model_config = ConfigDict(extra="forbid")

    id: ModelId
    name: str
    paramCount: str
    ramRequired: str
    downloadSize: str
    description: str
    dataset: Annotated[
        str | None,
        Field(description="left out where it is not known", exclude_if=lambda value: value is None),
    ] = None
    source: Annotated[str, Field(examples=["granite-interview-service", "ollama", "fallback"])]


class ModelList(BaseModel):
    """Never empty."""

    models: list[ModelCard]


class Selection(Lenient):
    """The model to be chosen."""

    modelId: ModelId


class Selected(BaseModel):
    """The model exists. `timestamp` is UTC."""

    selected: str
    timestamp: str


def model_operations(catalogue: ModelCatalogue) -> list[Operation]:
    """The list, and the check of a choice."""

    async def listed(request: Request) -> ModelList:
        cards = [ModelCard(**model.to_contract()) for model in await catalogue.models()]
        return ModelList(models=cards)

    async def select(request: Request, body: Selection) -> Selected:
        try:
            model = await catalogue.select(body.modelId)
        except UnknownModel:
            raise UNKNOWN_MODEL(f"{body.modelId!r} is not in the list of models") from None
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return Selected(selected=model.id, timestamp=now)

    example = {"models": [model.to_contract() for model in FALLBACK_MODELS]}
    return [
        Operation(
            method="GET",
            path="/api/v1/models",
            name="listModels",
            handler=listed,
            summary="List the models",
            description="Those of the interview service and of Ollama, or a fixed list where"
            " neither has any. Answers within half a second.",
            tags=TAGS,
            answers={200: ResponseSpec("The models", ModelList, example)},
        ),
        Operation(
            method="POST",
            path="/api/v1/models/select",
            name="selectModel",
            handler=select,
            summary="Check that a model can be chosen",
            description="Nothing is kept of it: every interview names its model.",
            tags=TAGS,
            body=Selection,
            body_example={"modelId": "llama3.2:1b"},
            answers={
                200: ResponseSpec(
                    "It can be chosen",
                    Selected,
                    {"selected": "llama3.2:1b", "timestamp": "2026-11-21T10:30:00Z"},
                )
            },
            errors=(UNKNOWN_MODEL,),
        ),
    ]
