"""Providers of other packages, found by entry point."""

import asyncio
import re
import sys
import tomllib
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

import pytest

from pipeline.errors import CallerError
from pipeline.frames import Sentence, Speech
from pipeline.testing import run_virtual
from stages import registry, third_party
from stages.registry import Options, Provider, choose
from tests.support.paths import DOCS, ROOT

DOCUMENT = (DOCS / "providers.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "examples/provider-package"


def tts(name: str) -> Provider:
    return Provider("tts", name, "for tests", lambda _: None, lambda _: None)


def install(monkeypatch: pytest.MonkeyPatch, **entries: str) -> None:
    """Have packages declare these entry points."""
    declared = [EntryPoint(name, value, third_party.GROUP) for name, value in entries.items()]

    def entry_points(*, group: str) -> list[EntryPoint]:
        return [entry for entry in declared if entry.group == group]

    monkeypatch.setattr(third_party, "entry_points", entry_points)


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """An importable module, `sounds`."""
    module = ModuleType("sounds")
    monkeypatch.setitem(sys.modules, "sounds", module)
    return module


def test_an_entry_point_gives_a_provider_or_makes_one(
    monkeypatch: pytest.MonkeyPatch, package: Any
) -> None:
    package.BEEP, boop = tts("beep"), tts("boop")
    package.boop = lambda: boop
    install(monkeypatch, boop="sounds:boop", beep="sounds:BEEP")
    installed = registry.third_party()
    assert (package.BEEP, boop) == installed.providers
    assert installed.refused == ()
    assert boop is registry.find("tts", "boop")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (
            "nowhere_at_all:PROVIDER",
            "nowhere_at_all:PROVIDER cannot be loaded:"
            " ModuleNotFoundError: No module named 'nowhere_at_all'",
        ),
        (
            "sounds:missing",
            "sounds:missing cannot be loaded:"
            " AttributeError: module 'sounds' has no attribute 'missing'",
        ),
        ("sounds:leaves", "sounds:leaves cannot be loaded: SystemExit: 1"),
        ("sounds:text", "sounds:text gives no stages.provider.Provider: str"),
        ("sounds:face", "there is no slot 'smell' (vad, turn, stt, llm, tts, avatar)"),
        ("sounds:shout", "'BEEP' is no name: lower-case letters, digits, '.', '_', '-'"),
        ("sounds:auto", "no provider may be called 'auto'"),
        ("sounds:espeak", "the tts provider 'espeak-ng' is built in already"),
        ("sounds:again", "the tts provider 'beep' is that of sounds:beep already"),
    ],
)
def test_what_is_broken_or_takes_a_name_is_refused_and_harms_no_other(
    monkeypatch: pytest.MonkeyPatch, package: Any, value: str, reason: str
) -> None:
    package.beep = package.again = tts("beep")
    package.leaves = lambda: sys.exit(1)
    package.text = "beep"
    package.face = Provider("smell", "face", "", lambda _: None, lambda _: None)
    package.shout, package.auto, package.espeak = tts("BEEP"), tts("auto"), tts("espeak-ng")
    install(monkeypatch, a="sounds:beep", b=value)
    installed = registry.third_party()
    assert (package.beep,) == installed.providers
    assert [("b", reason)] == [(entry.name, entry.reason) for entry in installed.refused]


def test_nothing_is_loaded_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def entry_points(*, group: str) -> list[EntryPoint]:
        raise AssertionError("nobody asked")

    monkeypatch.setattr(third_party, "entry_points", entry_points)
    assert choose("vad", "energy", Options()).first.name == "energy"
    assert choose("llm", "auto", Options()).first.name == "scripted"


# --- the example package, which docs/providers.md prints -------------------------------------


@pytest.fixture
def beeper(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The synthesizer of the example package, as it is found where that is installed."""
    monkeypatch.syspath_prepend(EXAMPLE)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    install(monkeypatch, **project["entry-points"][third_party.GROUP])
    yield choose("tts", "beep", Options()).first.build(Options())
    sys.modules.pop("parley_beep", None)


def test_the_example_provider_speaks(beeper: Any) -> None:
    async def spoken(text: str) -> list[Speech]:
        return [speech async for speech in beeper.speak(Sentence(3, text))]

    speech = run_virtual(spoken("so, so far"))
    assert [(word.offset, word.length, word.at_ms) for piece in speech for word in piece.words] == [
        (0, 3, 0),
        (4, 2, 200),
        (7, 3, 400),
    ]
    assert [sum(len(piece.pcm) for piece in speech) * 1000 // beeper.rate_hz] == [600]
    assert {3} == {piece.turn for piece in speech}
    with pytest.raises(CallerError, match="empty"):
        run_virtual(spoken(" "))
    asyncio.run(beeper.aclose())


def test_the_document_lists_what_is_built_in_in_its_order() -> None:
    listed = dict(re.findall(r"^\| `(\w+)` \| `\w+` \| (.*) \|$", DOCUMENT, re.M))
    assert listed == {
        slot: ", ".join(f"`{p.name}`" for p in registry.PROVIDERS if p.slot == slot)
        for slot in third_party.SLOTS
    }
