"""The models that clients may ask for, as `services.yaml` defines them. Pure.

The names are those of the file (docs/services.md).
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.services.yaml_reader import YamlValue

MODEL_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}")
FIELDS: Final = ("name", "service", "model", "escalate_to", "confidence")

LEAST_CONFIDENCE: Final = 0.7
"""The value of the seed (docs/services-endpoints.md, design B)."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model: `service` has it under the name `model`.

    If a reply is refused, fails, or has less than this `confidence`, the model `escalate_to` is
    asked, too; if that is "", no reply is judged. With `confidence` 0 no confidence is checked.
    """

    name: str
    service: str
    model: str
    escalate_to: str = ""
    confidence: float = LEAST_CONFIDENCE


class Models:
    """The current models; `otherwise` if the file names none."""

    def __init__(self, specs: Mapping[str, ModelSpec], otherwise: ModelSpec | None = None) -> None:
        self._otherwise = {} if otherwise is None else {otherwise.name: otherwise}
        self._specs = dict(specs) or self._otherwise

    def __iter__(self) -> Iterator[ModelSpec]:
        return iter(self._specs.values())

    def find(self, name: str) -> ModelSpec | None:
        """The model of a name."""
        return self._specs.get(name)

    def replace(self, specs: Mapping[str, ModelSpec]) -> None:
        """Use these models from here on."""
        self._specs = dict(specs) or self._otherwise


def parse_models(value: YamlValue, services: Collection[str]) -> dict[str, ModelSpec]:
    """The models by their names, in their order; `services` are the known services.

    Raises `YamlError` for the first thing that is wrong.
    """
    found: dict[str, ModelSpec] = {}
    places: dict[str, YamlValue] = {}
    for entry in value.items("a model"):
        fields = entry.fields(FIELDS)
        name = fields["name"].text()
        if MODEL_NAME.fullmatch(name) is None:
            fields["name"].refuse("must be letters, digits and . _ : / @ + -, at most 128")
        if name in found:
            fields["name"].refuse(f"{name} comes twice")
        service = fields["service"].text()
        if service not in services:
            fields["service"].refuse(f"names {service}, which is no service of this file")
        found[name] = ModelSpec(
            name=name,
            service=service,
            model=fields.get("model", lambda v: v.text(), name),
            escalate_to=fields.get("escalate_to", lambda v: v.text(), ""),
            confidence=fields.get("confidence", _confidence, LEAST_CONFIDENCE),
        )
        places[name] = fields.get("escalate_to", lambda v: v, entry)
    for name, place in places.items():
        _check_escalation(found, name, place)
    return found


def _confidence(value: YamlValue) -> float:
    return max(0.0, value.number(-1e-9, 1.0, "probability"))


def _check_escalation(specs: Mapping[str, ModelSpec], name: str, place: YamlValue) -> None:
    seen = [name]
    while following := specs[seen[-1]].escalate_to:
        if following not in specs:
            place.refuse(f"names {following}, which is no model of this file")
        if following in seen:
            place.refuse(f"leads back to {following}")
        seen.append(following)
