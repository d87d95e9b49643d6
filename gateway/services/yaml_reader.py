"""Reads values of given types out of YAML, and names the line of a value that is wrong. Pure."""

import math
from collections.abc import Callable, Collection, Iterator
from enum import Enum
from typing import Any, Final, NoReturn, TypeVar

import yaml

DEEPEST: Final = 20
"""No operator's file has more levels; a list that contains itself has."""

MOST_VALUES: Final = 10_000
"""The most values in a file: aliases of aliases make a short file very large."""

E = TypeVar("E", bound=Enum)
T = TypeVar("T")


class YamlError(Exception):
    """A file that cannot be used. `line` counts from 1; the text is one line and names it."""

    def __init__(self, file: str, line: int, problem: str) -> None:
        super().__init__(f"{file}:{line}: {problem}")
        self.line = line
        self.problem = problem


class YamlValue:
    """A value with its place. Each method raises `YamlError` if the value has another type."""

    def __init__(self, file: str, node: yaml.Node, name: str) -> None:
        self._file = file
        self._node = node
        self._name = name

    @classmethod
    def parsed(cls, text: str, file: str, name: str) -> "YamlValue":
        """The one document of a text; `name` is what errors call it."""
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            problem = error.problem or error.context or "this is no YAML"
            raise YamlError(file, 1 if mark is None else mark.line + 1, problem) from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise YamlError(
                file, line, f"character #x{error.character:04x} is not allowed"
            ) from None
        except RecursionError:
            raise YamlError(file, 1, "this has too many levels") from None
        if node is None:
            raise YamlError(file, 1, f"{name} is empty")
        return cls(file, node, name)

    @property
    def line(self) -> int:
        """The line where the value begins, counted from 1."""
        return int(self._node.start_mark.line) + 1

    def refuse(self, problem: str) -> NoReturn:
        """Raise `YamlError` for this value; `problem` completes a sentence after its name."""
        raise YamlError(self._file, self.line, f"{self._name} {problem}")

    def fields(self, known: Collection[str]) -> "YamlFields":
        """The fields of a mapping, which has none but the known ones."""
        if not isinstance(self._node, yaml.MappingNode):
            self.refuse("must be a mapping, such as name: value")
        found: dict[str, YamlValue] = {}
        for key, value in self._node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else "a key that is no text"
            at = YamlValue(self._file, key, name)
            if name not in known:
                at.refuse(f"is no field of {self._name}; there are {', '.join(known)}")
            if name in found:
                at.refuse(f"comes twice; the first is at line {found[name].line}")
            found[name] = YamlValue(self._file, value, name)
        return YamlFields(self, found)

    def items(self, name: str) -> list["YamlValue"]:
        """The values of a list, at least one; `name` is what errors call each."""
        if not isinstance(self._node, yaml.SequenceNode) or not self._node.value:
            self.refuse("must be a list with at least one entry, each after a hyphen")
        return [YamlValue(self._file, node, name) for node in self._node.value]

    @property
    def is_list(self) -> bool:
        """Whether it is a list."""
        return isinstance(self._node, yaml.SequenceNode)

    @property
    def is_empty(self) -> bool:
        """Whether it is a list without entries."""
        return isinstance(self._node, yaml.SequenceNode) and not self._node.value

    @property
    def is_null(self) -> bool:
        """Whether it is null, or nothing."""
        return isinstance(self._node, yaml.ScalarNode) and self._scalar() is None

    def text(self) -> str:
        """A text that is not empty. A number is none: quote it."""
        value = self._scalar()
        if not isinstance(value, str) or not value:
            self.refuse("must be a text")
        return value

    def whole(self, least: int, most: int) -> int:
        """A whole number between these limits."""
        value = self._scalar()
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            self.refuse(f"must be a whole number from {least} to {most}")
        return value

    def number(self, above: float, most: float, unit: str) -> float:
        """A number above the one and at most the other; `unit` is its plural."""
        value = self._scalar()
        good = isinstance(value, int | float) and not isinstance(value, bool)
        if not good or not math.isfinite(value) or not above < value <= most:
            self.refuse(f"must be a number above {above:g} and at most {most:g} ({unit})")
        return float(value)

    def choice(self, kind: type[E]) -> E:
        """A member by its value. Underscores count as hyphens."""
        value = self._scalar()
        for member in kind:
            if isinstance(value, str) and value.replace("_", "-") == member.value:
                return member
        self.refuse(f"must be {', '.join(member.value for member in kind)}")

    def json(self) -> Any:
        """Any value that JSON can hold."""
        return _json(self, self._node, self._file, DEEPEST, iter(range(MOST_VALUES)))

    def _scalar(self) -> Any:
        if not isinstance(self._node, yaml.ScalarNode):
            self.refuse("must be one value")
        return _constructed(self, self._node)


class YamlFields:
    """The fields of a mapping."""

    def __init__(self, of: YamlValue, found: dict[str, YamlValue]) -> None:
        self._of = of
        self._found = found

    def __contains__(self, name: str) -> bool:
        return name in self._found

    def __getitem__(self, name: str) -> YamlValue:
        """A required field."""
        if name not in self._found:
            self._of.refuse(f"needs {name}")
        return self._found[name]

    def get(self, name: str, read: Callable[[YamlValue], T], otherwise: T) -> T:
        """A field, read by `read`, or the default if it is missing."""
        return read(self._found[name]) if name in self._found else otherwise


def _json(at: YamlValue, node: yaml.Node, file: str, levels: int, left: Iterator[int]) -> Any:
    here = YamlValue(file, node, "a value")
    if levels == 0:
        at.refuse("has too many levels")
    if next(left, None) is None:
        at.refuse("has too many values")
    if isinstance(node, yaml.SequenceNode):
        return [_json(at, part, file, levels - 1, left) for part in node.value]
    if isinstance(node, yaml.MappingNode):
        return {
            YamlValue(file, key, "a key").text(): _json(at, value, file, levels - 1, left)
            for key, value in node.value
        }
    assert isinstance(node, yaml.ScalarNode)
    value = _constructed(here, node)
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    here.refuse("cannot stand in JSON: quote it")


def _constructed(at: YamlValue, node: yaml.ScalarNode) -> Any:
    try:
        return yaml.constructor.SafeConstructor().construct_object(node)
    except (yaml.MarkedYAMLError, ValueError, LookupError, AttributeError):
        at.refuse("cannot be read")
