"""Which provider answers, and why."""

import pytest

from stages import registry
from stages.registry import NoProvider, Options, Provider, choose

OPTIONS = Options()


def provider(name: str, reason: str | None = None) -> Provider:
    return Provider("stt", name, f"{name} summary", lambda _: reason, lambda _: name)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        registry,
        "PROVIDERS",
        (
            provider("best", "its model is not here: run `parley fetch base`"),
            provider("good"),
            provider("plain"),
            provider("broken", "not installed"),
        ),
    )


@pytest.mark.usefixtures("known")
def test_auto_takes_all_that_work_best_first_and_says_why_the_better_ones_do_not() -> None:
    choice = choose("stt", "auto", OPTIONS)
    assert [p.name for p in choice.providers] == ["good", "plain"]
    assert choice.first.name == "good"
    assert choice.why == "best: its model is not here: run `parley fetch base`"


@pytest.mark.usefixtures("known")
def test_a_named_provider_is_taken_alone() -> None:
    choice = choose("stt", "plain", OPTIONS)
    assert [p.name for p in choice.providers] == ["plain"]
    assert choice.why == "chosen by configuration"


@pytest.mark.usefixtures("known")
def test_a_named_provider_that_cannot_work_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(NoProvider, match=r"no stt provider works here \(broken: not installed\)"):
        choose("stt", "broken", OPTIONS)


@pytest.mark.usefixtures("known")
def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(KeyError):
        choose("stt", "none such", OPTIONS)


def test_what_needs_no_extra_can_be_built_anywhere() -> None:
    assert choose("vad", "energy", OPTIONS).first.build(OPTIONS).provider == "energy"
    assert choose("llm", "scripted", OPTIONS).first.build(OPTIONS).provider == "scripted"


def test_the_only_provider_of_a_slot_needs_no_reason() -> None:
    assert choose("llm", "auto", OPTIONS).why == "the only one built in"


def test_recognition_by_pocketsphinx_is_labelled_as_demo_quality() -> None:
    notes = {p.name: p.note for p in registry.PROVIDERS}
    assert notes["pocketsphinx"] == "demo quality"
