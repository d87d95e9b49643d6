"""Providers of other packages, found by entry point.

An entry point of the group `parley.providers` gives a `stages.provider.Provider`, or a callable
that returns one. `docs/providers.md` shows a whole package. Loading runs the package's code, so it
happens only when a provider is asked for that is not built in.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from pipeline.frames import Slot
from stages.provider import Provider

GROUP = "parley.providers"
SLOTS: tuple[Slot, ...] = ("vad", "turn", "stt", "llm", "tts", "avatar")

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class ProviderRefused:
    """An entry point that gives no usable provider, and the reason. `name` is the entry point's."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Installed:
    """The providers of installed packages, in the order of the entry points' names."""

    providers: tuple[Provider, ...]
    refused: tuple[ProviderRefused, ...]


class _Unusable(Exception):
    pass


def load(built_in: Collection[Provider], reserved: Collection[str] = ()) -> Installed:
    """Load all of them. Entry points that fail or use a `built_in` or `reserved` name are refused.

    Never raises, whatever a package does.
    """
    taken = {(provider.slot, provider.name): "built in" for provider in built_in}
    providers: list[Provider] = []
    refused: list[ProviderRefused] = []
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        try:
            provider = _provider(entry)
            if provider.name in reserved:
                raise _Unusable(f"no provider may be called {provider.name!r}")
            key = provider.slot, provider.name
            if key in taken:
                raise _Unusable(f"the {key[0]} provider {key[1]!r} is {taken[key]} already")
        except _Unusable as error:
            refused.append(ProviderRefused(entry.name, str(error)))
        else:
            taken[key] = f"that of {entry.value}"
            providers.append(provider)
    return Installed(tuple(providers), tuple(refused))


def _provider(entry: EntryPoint) -> Provider:
    try:
        given = entry.load()
        if not isinstance(given, Provider) and callable(given):
            given = given()
    # A package may raise anything while it is loaded; the process goes on.
    except (Exception, SystemExit) as error:
        raise _Unusable(f"{entry.value} cannot be loaded: {describe(error)}") from error
    if not isinstance(given, Provider):
        raise _Unusable(f"{entry.value} gives no stages.provider.Provider: {type(given).__name__}")
    if given.slot not in SLOTS:
        raise _Unusable(f"there is no slot {given.slot!r} ({', '.join(SLOTS)})")
    if not isinstance(given.name, str) or not _NAME.fullmatch(given.name):
        raise _Unusable(f"{given.name!r} is no name: lower-case letters, digits, '.', '_', '-'")
    return given


def describe(error: BaseException) -> str:
    """An exception of third-party code in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
