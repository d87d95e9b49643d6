"""The operator's file of functions for chat models: YAML, or JSON, which is YAML.

::

    tools:
      - name: weather
        description: The weather in a city, now.
        parameters: {type: object, properties: {city: {type: string}}, required: [city]}
        url: http://127.0.0.1:9000/weather
"""

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from pipeline.tool_rounds import LIMIT_S
from stages._http_address import BaseAddress

NAME = r"^[A-Za-z0-9_-]{1,64}$"
"""The names that chat servers take for a function."""

MOST_TOOLS = 64
MOST_FILE_BYTES = 1 << 20
LONGEST_LIMIT_S = 60.0
"""The longest time that a turn waits for a function."""


class ToolsFileError(Exception):
    """The file cannot be used. The text is one line and repeats no secret."""


def _address(text: str) -> str:
    BaseAddress.read(text, None)  # raises ValueError
    return text


class HttpToolSpec(BaseModel):
    """One function, and the endpoint that runs it.

    A session has it if its client names it; with `always`, every session has it.
    `filler` is said while it runs and takes long; "" says nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=NAME)]
    description: Annotated[str, Field(max_length=4000)] = ""
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})
    url: Annotated[str, AfterValidator(_address)]
    key: SecretStr | None = None
    limit_s: Annotated[float, Field(gt=0, le=LONGEST_LIMIT_S)] = LIMIT_S
    filler: Annotated[str, Field(max_length=200)] | None = None
    always: bool = False


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tools: Annotated[list[HttpToolSpec], Field(max_length=MOST_TOOLS)]


def usable(path: Path) -> Path:
    """The path of a file that can be used. Raises `ValueError` for another."""
    try:
        read_tools(path)
    except ToolsFileError as error:
        raise ValueError(f"is no file of functions: {error}") from None
    return path


def read_tools(path: Path) -> tuple[HttpToolSpec, ...]:
    """The functions in their order. Raises `ToolsFileError`."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_FILE_BYTES + 1)
    except OSError as error:
        raise ToolsFileError(f"it cannot be read: {error.strerror}") from None
    if len(data) > MOST_FILE_BYTES:
        raise ToolsFileError(f"it has more than {MOST_FILE_BYTES} bytes")
    try:
        # Aliases let a short text stand for an endless value.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(data)):
            raise ToolsFileError("aliases (*name) are not taken")
        value = yaml.safe_load(data)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        where = getattr(error, "problem_mark", None)
        line = "" if where is None else f" at line {where.line + 1}"
        raise ToolsFileError(f"it is no YAML{line}") from None
    try:
        tools = _File.model_validate(value).tools
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ToolsFileError(f"{where or 'the file'}: {first['msg']}") from None
    names = [tool.name for tool in tools]
    for name in names:
        if names.count(name) > 1:
            raise ToolsFileError(f"{name} comes twice")
    return tuple(tools)
