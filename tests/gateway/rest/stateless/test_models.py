import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rest.stateless.models import (
    ANSWER_WITHIN_S,
    FALLBACK_MODELS,
    GRANITE,
    OLLAMA,
    ModelCatalogue,
    ModelEntry,
    UnknownModel,
    from_ollama,
    from_service,
)
from pipeline.testing import run_virtual

LLAMA = {
    "name": "llama3.2:1b",
    "model": "llama3.2:1b",
    "modified_at": "2026-11-04T14:56:49+01:00",
    "size": 1_321_098_329,
    "digest": "a80c4f17acd5",
    "details": {
        "format": "gguf",
        "family": "llama",
        "families": None,
        "parameter_size": "1.2B",
        "quantization_level": "Q8_0",
    },
}
GRANITE_2B = {
    "id": "vetta-granite-2b-gguf-v4",
    "name": "Granite 2B (Trained)",
    "paramCount": "2B",
    "ramRequired": "8-12 GB",
    "downloadSize": "1.2 GB",
    "description": "Custom trained on interview dataset",
    "dataset": "vetta-interviews",
    "source": "granite-interview-service",
}


def test_a_model_of_the_service_is_as_the_contract_shows_it() -> None:
    [model] = from_service({"models": [GRANITE_2B]})
    assert model.to_contract() == GRANITE_2B


def test_a_model_of_ollama_is_put_into_the_contracts_words() -> None:
    [model] = from_ollama({"models": [LLAMA]})
    assert model.to_contract() == {
        "id": "llama3.2:1b",
        "name": "Llama 3.2 1.2B",
        "paramCount": "1.2B",
        "ramRequired": "4-6 GB",
        "downloadSize": "1.3 GB",
        "description": "Installed in Ollama (llama family, Q8_0)",
        "source": "ollama",
    }


@pytest.mark.parametrize(
    ("size", "parameters", "download", "ram"),
    [
        (600_000_000, "1B", "600 MB", "4-6 GB"),
        (300_000, "137M", "1 MB", "4-6 GB"),
        (1_200_000_000, "2B", "1.2 GB", "8-12 GB"),
        (4_700_000_000, "8.0B", "4.7 GB", "16 GB"),
        (26_000_000_000, "8x7B", "26.0 GB", "64 GB"),
        (-1, "many", "unknown", "unknown"),
        (float("nan"), "", "unknown", "unknown"),
        (True, "999999999999B", "unknown", "unknown"),
        ("1 GB", "9B", "unknown", "16 GB"),
    ],
)
def test_sizes_are_given_in_words(size: Any, parameters: str, download: str, ram: str) -> None:
    entry = {"name": "x:1b", "size": size, "details": {"parameter_size": parameters}}
    [model] = from_ollama({"models": [entry]})
    assert (download, ram) == (model.download_size, model.ram_required)


@pytest.mark.parametrize(
    "told", [{}, {"models": None}, {"models": {"id": "x"}}, {"models": "granite"}]
)
def test_an_answer_without_models_is_an_error(told: dict[str, Any]) -> None:
    for read in (from_ollama, from_service):
        with pytest.raises(ValueError, match="without a list of models"):
            read(told)


def test_what_is_no_model_is_left_out() -> None:
    entries = [7, None, {}, {"id": ""}, {"id": "two words"}, {"id": "x" * 129}, {"id": ["x"]}]
    told = {"models": [*entries, {"id": "plain"}, *({"id": f"m{n}"} for n in range(500))]}
    models = from_service(told)
    assert (models[0].id, models[0].name, models[0].param_count) == ("plain", "Plain", "unknown")
    assert 100 - len(entries) == len(models)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inside: (
        st.lists(inside, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["id", "name", "model", "size", "details", "parameter_size", "paramCount", "family"]
            ),
            inside,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@given(st.lists(JSON, max_size=5))
def test_whatever_services_tell_comes_out_as_cards_of_text(entries: list[Any]) -> None:
    for read in (from_ollama, from_service):
        for model in read({"models": entries}):
            card = model.to_contract()
            assert all(isinstance(value, str) and value for value in card.values())
            assert all(value.isprintable() for value in card.values())


# --- the list --------------------------------------------------------------------------------


@dataclass
class Source:
    """Gives `models`, late by `delay_s`; raises where there are none."""

    models: tuple[ModelEntry, ...] | None
    delay_s: float = 0.0
    calls: int = 0

    async def __call__(self) -> tuple[ModelEntry, ...]:
        self.calls += 1
        await asyncio.sleep(self.delay_s)
        if self.models is None:
            raise OSError("no connection")
        return self.models


def model(name: str, source: str = OLLAMA) -> ModelEntry:
    return ModelEntry(name, name, "1B", "4-6 GB", "600 MB", "a model", source)


def run(sources: dict[str, Source], scenario: Callable[[ModelCatalogue], Awaitable[None]]) -> None:
    async def main() -> None:
        catalogue = ModelCatalogue(dict(sources))
        try:
            await scenario(catalogue)
        finally:
            await catalogue.aclose()

    run_virtual(main())


async def ids(catalogue: ModelCatalogue) -> list[str]:
    return [found.id for found in await catalogue.models()]


def now() -> float:
    return asyncio.get_running_loop().time()


def test_both_lists_are_merged_and_the_services_own_comes_first() -> None:
    granite = Source((model("a", GRANITE), model("b", GRANITE)))
    ollama = Source((model("b"), model("c")))

    async def scenario(catalogue: ModelCatalogue) -> None:
        found = await catalogue.models()
        assert [(m.id, m.source) for m in found] == [("a", GRANITE), ("b", GRANITE), ("c", OLLAMA)]

    run({GRANITE: granite, OLLAMA: ollama}, scenario)


def test_one_of_them_is_enough() -> None:
    async def scenario(catalogue: ModelCatalogue) -> None:
        assert await ids(catalogue) == ["c"]

    run({GRANITE: Source(None), OLLAMA: Source((model("c"),))}, scenario)


def test_without_any_model_the_contracts_list_is_used() -> None:
    async def scenario(catalogue: ModelCatalogue) -> None:
        assert await catalogue.models() == FALLBACK_MODELS

    run({GRANITE: Source(None), OLLAMA: Source(())}, scenario)


def test_many_callers_cause_one_round_and_half_a_minute_of_them_no_other() -> None:
    source = Source((model("c"),), delay_s=0.1)

    async def scenario(catalogue: ModelCatalogue) -> None:
        for pause_s in (0.0, 29.0):
            await asyncio.sleep(pause_s)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(ids(catalogue)) for _ in range(50)]
            assert {("c",)} == {tuple(task.result()) for task in tasks}
        assert source.calls == 1
        await asyncio.sleep(1.0)
        await ids(catalogue)
        assert source.calls == 2

    run({OLLAMA: source}, scenario)


def test_a_service_that_hangs_costs_a_caller_less_than_half_a_second() -> None:
    async def scenario(catalogue: ModelCatalogue) -> None:
        began = now()
        assert await ids(catalogue) == ["c"]
        assert pytest.approx(ANSWER_WITHIN_S) == now() - began
        await ids(catalogue)  # the round is under way, and has been waited for long enough
        assert pytest.approx(ANSWER_WITHIN_S) == now() - began

    hanging = Source((), delay_s=1e6)
    run({GRANITE: hanging, OLLAMA: Source((model("c"),))}, scenario)


def test_a_slow_service_is_in_the_next_answer() -> None:
    async def scenario(catalogue: ModelCatalogue) -> None:
        assert await ids(catalogue) == ["c"]
        await asyncio.sleep(2.0)
        assert await ids(catalogue) == ["a", "c"]

    slow = Source((model("a"),), delay_s=2.0)
    run({GRANITE: slow, OLLAMA: Source((model("c"),))}, scenario)


def test_a_services_last_answer_is_used_for_a_limited_time_after_it_fails() -> None:
    source = Source((model("c"),))

    async def scenario(catalogue: ModelCatalogue) -> None:
        await ids(catalogue)
        source.models = None
        await asyncio.sleep(31.0)
        assert await ids(catalogue) == ["c"]
        await asyncio.sleep(600.0)
        assert await catalogue.models() == FALLBACK_MODELS
        source.models = (model("d"),)  # it is asked again soon where there is nothing else
        await asyncio.sleep(5.0)
        assert await ids(catalogue) == ["d"]

    run({OLLAMA: source}, scenario)


def test_one_sources_models_are_not_waited_for_again() -> None:
    source = Source((model("c"),), delay_s=0.2)

    async def scenario(catalogue: ModelCatalogue) -> None:
        assert [m.id for m in await catalogue.of(OLLAMA)] == ["c"]
        source.models = (model("d"),)
        await asyncio.sleep(60.0)
        began = now()
        assert [m.id for m in await catalogue.of(OLLAMA)] == ["c"]
        assert began == now()
        await asyncio.sleep(1.0)
        assert [m.id for m in await catalogue.of(OLLAMA)] == ["d"]

    run({OLLAMA: source}, scenario)


def test_only_a_model_of_the_list_can_be_selected() -> None:
    async def scenario(catalogue: ModelCatalogue) -> None:
        assert (await catalogue.select("c")).id == "c"
        with pytest.raises(UnknownModel):
            await catalogue.select("granite4:2b")

    run({OLLAMA: Source((model("c"),))}, scenario)
