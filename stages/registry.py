"""The providers by name: which of them work here, which one fills a slot, and why.

::

    NoProvider                    no wanted provider works here; `reasons` say what to do
    UnknownProvider               there is no provider of that name
"""

from dataclasses import dataclass

from pipeline.frames import Slot
from stages.built_in import PROVIDERS
from stages.provider import Options, Provider, Server
from stages.third_party import Installed, ProviderRefused, describe, load

__all__ = [
    "AUTO",
    "PROVIDERS",
    "Choice",
    "Installed",
    "NoProvider",
    "Options",
    "Provider",
    "ProviderRefused",
    "Server",
    "UnknownProvider",
    "choose",
    "find",
    "flaw",
    "obstacle",
    "third_party",
]

AUTO = "auto"
CHOSEN = "chosen by configuration"


class NoProvider(Exception):
    """No provider of a slot can work here. `reasons` are pairs of a name and a sentence."""

    def __init__(self, slot: Slot, reasons: tuple[tuple[str, str], ...]) -> None:
        super().__init__(slot, reasons)
        self.slot = slot
        self.reasons = reasons

    def __str__(self) -> str:
        tried = "; ".join(f"{name}: {reason}" for name, reason in self.reasons)
        return f"no {self.slot} provider works here ({tried})"


class UnknownProvider(LookupError):
    """A slot has no provider of that name. `known` are the names that it has.

    `refused` are third-party providers of that name that could not be used.
    """

    def __init__(
        self, slot: Slot, name: str, known: tuple[str, ...], refused: tuple[ProviderRefused, ...]
    ) -> None:
        super().__init__(slot, name, known, refused)
        self.slot = slot
        self.name = name
        self.known = known
        self.refused = refused

    def __str__(self) -> str:
        return "; ".join(
            (
                f"{self.slot} has no provider {self.name!r} ({', '.join(self.known)})",
                *(entry.reason for entry in self.refused),
            )
        )


@dataclass(frozen=True, slots=True)
class Choice:
    """The providers that fill a slot, best first, and why the first of them is first."""

    slot: Slot
    providers: tuple[Provider, ...]
    why: str

    @property
    def first(self) -> Provider:
        return self.providers[0]


def third_party() -> Installed:
    """The providers of other packages. Runs their code, which may be slow."""
    return load(PROVIDERS, reserved=(AUTO,))


def find(slot: Slot, name: str) -> Provider:
    """The slot's provider of that name. Raises `UnknownProvider`.

    Other packages are loaded only if no built-in provider has the name.
    """
    built_in = [provider for provider in PROVIDERS if provider.slot == slot]
    for provider in built_in:
        if provider.name == name:
            return provider
    installed = third_party()
    others = [provider for provider in installed.providers if provider.slot == slot]
    for provider in others:
        if provider.name == name:
            return provider
    known = tuple(provider.name for provider in (*built_in, *others))
    refused = tuple(entry for entry in installed.refused if entry.name == name)
    raise UnknownProvider(slot, name, known, refused)


def obstacle(provider: Provider, options: Options) -> str | None:
    """Why a provider cannot work here, or None. Never raises."""
    try:
        return provider.check(options)
    except Exception as error:  # third-party code: any exception is a reason
        return f"its check failed: {describe(error)}"


def flaw(provider: Provider, options: Options) -> str | None:
    """The fault in a provider's files that its check does not find, or None. Never raises.

    Reads the files whole.
    """
    try:
        return None if provider.verify is None else provider.verify(options)
    except Exception as error:  # third-party code: any exception is a reason
        return f"its files could not be verified: {describe(error)}"


def choose(slot: Slot, wanted: str, options: Options) -> Choice:
    """Providers for `slot`, best first.

    "auto" takes all built-in providers that work here. A name takes that provider alone; if it is
    remote, the built-in providers without a network follow it. Raises `NoProvider` if the wanted
    providers do not work, `UnknownProvider` if no provider has the name.
    """
    built_in = [provider for provider in PROVIDERS if provider.slot == slot]
    if wanted == AUTO:
        return _best(slot, built_in, options)
    named = find(slot, wanted)
    if (reason := obstacle(named, options) or flaw(named, options)) is not None:
        raise NoProvider(slot, ((named.name, reason),))
    behind = (provider for provider in built_in if named.remote and not provider.remote)
    working = [provider for provider in behind if obstacle(provider, options) is None]
    return Choice(slot, (named, *working), CHOSEN)


def _best(slot: Slot, known: list[Provider], options: Options) -> Choice:
    working, reasons, missed = [], [], []
    for provider in known:
        reason = obstacle(provider, options)
        if reason is None:
            working.append(provider)
            continue
        reasons.append((provider.name, reason))
        wanted = provider.configured is None or provider.configured(options)
        if wanted and not working:
            missed.append(f"{provider.name}: {reason}")
    if not working:
        raise NoProvider(slot, tuple(reasons))
    first = working[0]
    if missed:
        why = "; ".join(missed)
    elif first.configured is not None:
        why = CHOSEN
    elif first is known[0]:
        why = "the best of those built in"
    else:
        why = "the best that needs no configuration"
    return Choice(slot, tuple(working), why)
