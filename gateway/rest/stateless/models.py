"""The language models that a client may choose: those of the services around the gateway.

Their list is cached for `CACHE_S`. For any number of callers one round of requests is under way,
and no caller waits for it longer than `ANSWER_WITHIN_S`. If a service does not answer, its earlier
answer is used for a while; if no service has ever answered, a fixed list is used.
"""

import logging
import math
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from gateway.refreshed import Refreshed

logger = logging.getLogger("parley.models")

CACHE_S = 30.0
RETRY_S = 5.0
"""How soon the services are asked again if none has offered a model."""

ANSWER_WITHIN_S = 0.4
"""The contract gives the whole request half a second."""

ROUND_S = 3.0
"""How long one service may take; one slower than `ANSWER_WITHIN_S` is in the next answer."""

STALE_S = 600.0
"""How long a service's list is used after the service has stopped answering."""

MAX_MODELS = 100
"""Models that are taken of one service."""

GRANITE, OLLAMA = "granite-interview-service", "ollama"

_ID = re.compile(r"[!-~]{1,128}")
_SIZE = re.compile(r"(?:(\d{1,3})x)?(\d{1,6}(?:\.\d{1,4})?)([KMBT])B?", re.IGNORECASE)
_SCALE = {"K": 1e-6, "M": 1e-3, "B": 1.0, "T": 1e3}
_RAM = ((1.5, "4-6 GB"), (4.0, "8-12 GB"), (9.0, "16 GB"), (15.0, "32 GB"))
"""Memory up to a number of billion parameters: the contract's own steps, continued."""
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model, described for people; a client names its `id` to choose it."""

    id: str
    name: str
    param_count: str
    ram_required: str
    download_size: str
    description: str
    source: str
    dataset: str | None = None

    def to_contract(self) -> dict[str, str]:
        """The model in the form of the client contract; `dataset` only if it is known."""
        contract = {
            "id": self.id,
            "name": self.name,
            "paramCount": self.param_count,
            "ramRequired": self.ram_required,
            "downloadSize": self.download_size,
            "description": self.description,
        }
        if self.dataset is not None:
            contract["dataset"] = self.dataset
        return {**contract, "source": self.source}


FALLBACK_MODELS = (
    ModelEntry(
        id="granite4:2b",
        name="Granite 4 2B (Fallback)",
        param_count="2B",
        ram_required="8-12 GB",
        download_size="1.2 GB",
        description="Fallback model",
        source="fallback",
    ),
    ModelEntry(
        id="llama3.2:1b",
        name="Llama 3.2 1B (Fallback)",
        param_count="1B",
        ram_required="4-6 GB",
        download_size="600 MB",
        description="Lightweight fallback",
        source="fallback",
    ),
)
"""The contract's own list, word for word."""


class UnknownModel(Exception):
    """No service offers a model of that name."""

    def __init__(self, model_id: str) -> None:
        super().__init__(model_id)
        self.model_id = model_id


# --- the services' answers -------------------------------------------------------------------


def from_service(received: Mapping[str, Any], source: str = GRANITE) -> tuple[ModelEntry, ...]:
    """The models in an answer of the contract's form. Invalid entries are left out."""
    found = {}
    for entry in _entries(received):
        name = _text(entry, "id")
        if _ID.fullmatch(name) is None:
            continue
        size = _text(entry, "paramCount")
        found[name] = ModelEntry(
            name,
            _text(entry, "name") or _readable(name, size),
            size or UNKNOWN,
            _text(entry, "ramRequired") or _ram(size),
            _text(entry, "downloadSize") or UNKNOWN,
            _text(entry, "description") or f"Model of the {source}",
            source,
            _text(entry, "dataset") or None,
        )
    return tuple(found.values())


def from_ollama(received: Mapping[str, Any]) -> tuple[ModelEntry, ...]:
    """The models in an answer to Ollama's `GET /api/tags`. Invalid entries are left out."""
    found = {}
    for entry in _entries(received):
        name = _text(entry, "name") or _text(entry, "model")
        if _ID.fullmatch(name) is None:
            continue
        given = entry.get("details")
        details = given if isinstance(given, dict) else {}
        size = _text(details, "parameter_size")
        family, level = _text(details, "family"), _text(details, "quantization_level")
        made = ", ".join(part for part in (family and f"{family} family", level) if part)
        found[name] = ModelEntry(
            name,
            _readable(name, size),
            size or UNKNOWN,
            _ram(size),
            _bytes(entry.get("size")),
            f"Installed in Ollama ({made})" if made else "Installed in Ollama",
            OLLAMA,
        )
    return tuple(found.values())


def _entries(received: Mapping[str, Any]) -> list[dict[str, Any]]:
    models = received.get("models")
    if not isinstance(models, list):
        raise ValueError("an answer without a list of models")
    return [entry for entry in models[:MAX_MODELS] if isinstance(entry, dict)]


def _text(entry: Mapping[str, Any], key: str) -> str:
    """One line of text, "" for anything else."""
    value = entry.get(key)
    if not isinstance(value, str):
        return ""
    return " ".join("".join(c if c.isprintable() else " " for c in value[:200]).split())


def _readable(model_id: str, size: str) -> str:
    """A name for people: "llama3.2:1b" of 1.2B is "Llama 3.2 1.2B"."""
    base = model_id.rpartition("/")[2].partition(":")[0]
    words = re.sub(r"(?<=[a-z])(?=\d)|[-_]+", " ", base).split()
    return " ".join((*(word[:1].upper() + word[1:] for word in words), size)).strip() or model_id


def _ram(size: str) -> str:
    found = _SIZE.fullmatch(size)
    if found is None:
        return UNKNOWN
    experts, number, unit = found.groups()
    billions = float(number) * int(experts or 1) * _SCALE[unit.upper()]
    return next((ram for most, ram in _RAM if billions <= most), "64 GB")


def _bytes(size: object) -> str:
    if isinstance(size, bool) or not isinstance(size, int | float):
        return UNKNOWN
    if not 0 < size < 1e15 or not math.isfinite(size):
        return UNKNOWN
    if size >= 995e6:
        return f"{size / 1e9:.1f} GB"
    return f"{max(1, round(size / 1e6))} MB"


# --- the list --------------------------------------------------------------------------------


class ModelCatalogue:
    """The models of several `sources`, asked in parallel; for the same id the first source counts.

    A source returns its models or raises. The catalogue owns the requests under way; `aclose`
    cancels them.
    """

    def __init__(
        self, sources: Mapping[str, Callable[[], Awaitable[tuple[ModelEntry, ...]]]]
    ) -> None:
        self._lists = {
            source: Refreshed[tuple[ModelEntry, ...]](
                ask, (), limit_s=ROUND_S, changed=partial(_log, source)
            )
            for source, ask in sources.items()
        }

    async def models(self) -> tuple[ModelEntry, ...]:
        """All models, at least one. Takes `ANSWER_WITHIN_S` at most."""
        self._ask_where_due()
        await self._wait()
        merged: dict[str, ModelEntry] = {}
        for source in self._lists:
            for model in self._known(source):
                merged.setdefault(model.id, model)
        return tuple(merged.values()) or FALLBACK_MODELS

    async def of(self, source: str) -> tuple[ModelEntry, ...]:
        """The models of one source. Waits only for its first answer."""
        first = math.isinf(self._lists[source].since_begun_s)
        self._ask_where_due()
        if first:
            await self._wait()
        return self._known(source)

    async def select(self, model_id: str) -> ModelEntry:
        """The model of that id. Raises `UnknownModel`."""
        for model in await self.models():
            if model.id == model_id:
                return model
        raise UnknownModel(model_id)

    async def aclose(self) -> None:
        """Cancel the requests under way."""
        for models in self._lists.values():
            await models.aclose()

    def _known(self, source: str) -> tuple[ModelEntry, ...]:
        models = self._lists[source]
        return models.value if models.age_s < STALE_S else ()

    def _ask_where_due(self) -> None:
        every_s = CACHE_S if any(map(self._known, self._lists)) else RETRY_S
        for models in self._lists.values():
            models.latest(every_s)

    async def _wait(self) -> None:
        """Wait until all have answered, each for `ANSWER_WITHIN_S` at most."""
        for models in self._lists.values():
            await models.wait(max(0.0, ANSWER_WITHIN_S - models.since_begun_s))


def _log(source: str, error: Exception | None) -> None:
    """Log the first failure after a success only, not one every half minute."""
    if error is not None:
        late = f"no answer within {ROUND_S:g} s"
        why = late if isinstance(error, TimeoutError) else error
        logger.info("%s tells no models: %s", source, why)
