"""The OpenAPI 3.1 document of a table of operations."""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any, Literal

from pydantic import TypeAdapter

from gateway.rest import problems
from gateway.rest.access import refusals
from gateway.rest.operation import JSON, Operation, ResponseSpec
from gateway.rest.problems import Kind, ProblemDetails

SCHEMAS = "#/components/schemas/"

PATH_PARAMETER = re.compile(r"{(\w+)}")
PATH_PARAMETERS: dict[str, dict[str, Any]] = {
    "id": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
}
"""Schemas of path parameters by name; others are strings."""

Mode = Literal["validation", "serialization"]
Schemas = tuple[dict[tuple[Any, Mode], Any], dict[str, Any]]


def document(
    operations: Iterable[Operation], *, title: str, version: str, description: str = ""
) -> dict[str, Any]:
    """The document, as JSON values. Its schemas (2020-12) come from the models that validate."""
    shown = [operation for operation in operations if not operation.hidden]
    schemas, definitions = _schemas(shown)
    paths: dict[str, dict[str, Any]] = {}
    for operation in shown:
        entry = _operation(operation, schemas)
        paths.setdefault(operation.path, {})[operation.method.lower()] = entry
    tags = dict.fromkeys(tag for operation in shown for tag in operation.tags)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": version,
            "description": description,
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "tags": [{"name": tag} for tag in tags],
        "paths": paths,
        "components": {
            "schemas": definitions,
            "headers": {
                "X-Correlation-ID": {
                    "description": "The id of this request, yours where you sent a usable one",
                    "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
                },
                "Retry-After": {
                    "description": "Seconds after which another attempt is worth it",
                    "schema": {"type": "integer"},
                },
                "Allow": {
                    "description": "The methods that the path knows",
                    "schema": {"type": "string"},
                },
            },
            "parameters": {
                "X-Correlation-ID": {
                    "name": "X-Correlation-ID",
                    "in": "header",
                    "description": "An id for the request, to be found in answers and logs: 1 to"
                    " 128 of A-Z a-z 0-9 . _ -; anything else is replaced",
                    "schema": {"type": "string"},
                },
                "Idempotency-Key": {
                    "name": "Idempotency-Key",
                    "in": "header",
                    "description": "A new value for each request that you mean; repeat it to repeat"
                    " the request without doing it twice",
                    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
                },
            },
        },
    }


def _schemas(operations: Sequence[Operation]) -> Schemas:
    uses: dict[tuple[Any, Mode], None] = {(ProblemDetails, "serialization"): None}
    for operation in operations:
        if operation.body is not None:
            uses[operation.body, "validation"] = None
        for answer in operation.answers.values():
            if answer.model is not None:
                uses[answer.model, "serialization"] = None
    return _schemas_of(tuple(uses))


@lru_cache(maxsize=32)
def _schemas_of(uses: tuple[tuple[Any, Mode], ...]) -> Schemas:
    """The schema of each use of a model, and the definitions that they refer to. Do not change
    them.

    They are cached, because making them takes nearly all of the time to make an application.
    """
    schemas, definitions = TypeAdapter.json_schemas(
        [(model, mode, TypeAdapter(model)) for model, mode in uses],
        by_alias=True,
        ref_template=SCHEMAS + "{model}",
    )
    return dict(schemas), definitions.get("$defs", {})


def _operation(operation: Operation, schemas: dict[tuple[Any, Mode], Any]) -> dict[str, Any]:
    responses = {str(code): _success(answer, schemas) for code, answer in operation.answers.items()}
    errors = sorted(
        {*operation.all_errors(), *refusals(operation.method, operation.path)},
        key=lambda kind: (kind.status, kind.code),
    )
    for status, kinds in groupby(errors, key=lambda kind: kind.status):
        responses[str(status)] = _failure(
            [*kinds], schemas[ProblemDetails, "serialization"], status
        )
    entry: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": list(operation.tags),
        "parameters": [*_parameters(operation, schemas)],
        "responses": responses,
    }
    if operation.description:
        entry["description"] = operation.description
    content: dict[str, Any] = {}
    if operation.body is not None:
        content[JSON] = {"schema": schemas[operation.body, "validation"]}
        if operation.body_example is not None:
            content[JSON]["example"] = operation.body_example
    if operation.upload is not None:
        content |= {kind: {} for kind in operation.upload.types}
    if operation.text is not None:
        content[operation.text] = {"schema": {"type": "string"}}
    if content:
        entry["requestBody"] = {"required": True, "content": content}
    return entry


def _parameters(
    operation: Operation, schemas: dict[tuple[Any, Mode], Any]
) -> Iterator[dict[str, Any]]:
    for name in PATH_PARAMETER.findall(operation.path):
        schema = PATH_PARAMETERS.get(name, {"type": "string"})
        yield {"name": name, "in": "path", "required": True, "schema": schema}
    if operation.query is not None:
        model = operation.query.model_json_schema(by_alias=True)  # flat, so it has no references
        for name, schema in model["properties"].items():
            parameter = {
                "name": name,
                "in": "query",
                "required": name in model.get("required", ()),
                "schema": {key: value for key, value in schema.items() if key != "description"},
            }
            if "description" in schema:
                parameter["description"] = schema["description"]
            yield parameter
    if operation.once is not None:
        yield {"$ref": "#/components/parameters/Idempotency-Key"}
    yield {"$ref": "#/components/parameters/X-Correlation-ID"}


def _success(answer: ResponseSpec, schemas: dict[tuple[Any, Mode], Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "description": answer.description,
        "headers": {
            "X-Correlation-ID": {"$ref": "#/components/headers/X-Correlation-ID"},
            **{
                name: {"description": text, "schema": {"type": "string"}}
                for name, text in answer.headers.items()
            },
        },
    }
    content: dict[str, Any] = {}
    if answer.model is not None:
        content[JSON] = {"schema": schemas[answer.model, "serialization"]}
        if answer.example is not None:
            content[JSON]["example"] = answer.example
    for kind in answer.media:  # an event stream has no schema
        content[kind] = {} if kind == "text/event-stream" else {"schema": {"type": "string"}}
    if content:
        described["content"] = content
    return described


def _failure(kinds: list[Kind], schema: Any, status: int) -> dict[str, Any]:
    headers = {"X-Correlation-ID": {"$ref": "#/components/headers/X-Correlation-ID"}}
    if status in (409, 429, 503):
        headers["Retry-After"] = {"$ref": "#/components/headers/Retry-After"}
    return {
        "description": "; ".join(f"`{kind.code}`: {kind.title}" for kind in kinds),
        "headers": headers,
        "content": {
            problems.MEDIA_TYPE: {
                "schema": schema,
                "examples": {
                    kind.code: {"summary": kind.title, "value": kind().to_json()} for kind in kinds
                },
            }
        },
    }
