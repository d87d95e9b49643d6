"""`parley doctor`: reports what works on this machine, what does not, and what to do."""

import asyncio
import http.client
import json
import os
import platform
import re
import socket
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, astuple, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from rich.table import Table
from rich.text import Text

from gateway.commands.access_check import access_findings
from gateway.commands.terminal import DONE, FAILED, output
from gateway.printable import printable
from gateway.providers.build import build, options, wanted
from gateway.providers.lineup import learned
from gateway.providers.probes import Place, ask_all, try_all
from gateway.redis_url import shown
from gateway.settings import Settings
from gateway.store import StoreUnavailable
from gateway.variables import variables
from pipeline.frames import Slot
from stages.registry import (
    PROVIDERS,
    Choice,
    NoProvider,
    Options,
    choose,
    flaw,
    obstacle,
    third_party,
)
from stages.stt.whisper_facts import WhisperFacts, whisper_facts
from stages.stt.whisper_models import installed_engine

DISTRIBUTION = "parley-gateway"
NEEDED_PYTHON = (3, 11)
PORT_TIMEOUT_S = 2.0
DEVELOPMENT = "dev"
"""The extra that is needed only for development; it is not reported."""

REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)[^;]*(;.*extra == ['\"](?P<extra>[\w-]+)['\"])?"
)

State = Literal["ok", "note", "problem"]
SIGNS: dict[State, tuple[str, str]] = {
    "ok": ("✓", "green"),
    "note": ("·", "yellow"),
    "problem": ("✗", "red"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. A "problem" prevents interviews; a "note" does not.

    `advice` says what to do; empty if nothing.
    """

    area: str
    subject: str
    state: State
    detail: str
    advice: str = ""


def doctor(settings: Settings, *, as_json: bool) -> int:
    """Print all findings; the exit code says whether a spoken interview would work here."""
    findings = examine(settings)
    problems = [finding for finding in findings if finding.state == "problem"]
    console = output()
    if as_json:
        report = {"works": not problems, "findings": [asdict(finding) for finding in findings]}
        console.out(json.dumps(report, indent=2, ensure_ascii=False), highlight=False)
        return FAILED if problems else DONE
    console.print(_table(findings))
    console.print()
    if not problems:
        console.print("A spoken interview works here. Start with `parley serve`.")
        return DONE
    console.print("A spoken interview would not work here:")
    for finding in problems:
        todo = finding.advice or finding.detail
        console.print(f"  {finding.subject}: {printable(todo)}", soft_wrap=True)
    return FAILED


def examine(settings: Settings) -> list[Finding]:
    """Run all checks. Nothing is changed or downloaded; each configured server gets a request that
    shows whether it answers, and a chat server is asked for one short reply."""
    whisper = _whisper_facts(settings)
    return [
        _python(),
        *_packages(),
        *_providers(settings, whisper),
        _whisper_model(whisper),
        _port(settings.host, settings.port, keys=settings.guarded or settings.insecure),
        _data_folder(settings.data_dir),
        _store(settings),
        *(Finding("access", *astuple(found)) for found in access_findings(settings)),
        *_changed(settings),
    ]


def _table(findings: list[Finding]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    area = ""
    for finding in findings:
        if area and finding.area != area:
            table.add_row()
        sign, style = SIGNS[finding.state]
        detail = Text(printable(finding.detail), overflow="fold")
        if finding.advice:
            detail.append(f"\n→ {printable(finding.advice)}", "yellow")
        shown = finding.area if finding.area != area else ""
        table.add_row(Text(shown, "bold"), Text(sign, style), Text(finding.subject), detail)
        area = finding.area
    return table


# --- packages --------------------------------------------------------------------------------


def _python() -> Finding:
    version = platform.python_version()
    if sys.version_info >= NEEDED_PYTHON:
        return Finding("python", "Python", "ok", version)
    least = ".".join(map(str, NEEDED_PYTHON))
    return Finding("python", "Python", "problem", version, f"Parley needs Python {least} or later")


def requirements(declared: list[str]) -> dict[str, str]:
    """Package names of a distribution's declared requirements, with the extra of each or ""."""
    found: dict[str, str] = {}
    for line in declared:
        if (match := REQUIREMENT.match(line)) is not None:
            found.setdefault(match["name"], match["extra"] or "")
    return {name: extra for name, extra in found.items() if extra != DEVELOPMENT}


def _packages() -> Iterator[Finding]:
    try:
        declared = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        yield Finding(
            "packages", DISTRIBUTION, "note", "runs from its folder, not installed", "make run"
        )
        return
    for name, extra in requirements(declared).items():
        belongs = f" (extra {extra})" if extra else ""
        try:
            yield Finding("packages", name, "ok", metadata.version(name) + belongs)
        except metadata.PackageNotFoundError:
            state: State = "note" if extra else "problem"
            package = f"{DISTRIBUTION}[{extra}]" if extra else name
            yield Finding(
                "packages", name, state, f"not installed{belongs}", f"pip install '{package}'"
            )


# --- providers -------------------------------------------------------------------------------


def _providers(settings: Settings, whisper: WhisperFacts | None) -> Iterator[Finding]:
    told = options(settings)
    installed = third_party()
    choices: dict[Slot, Choice] = {}
    unfilled: dict[Slot, NoProvider] = {}
    for slot, name in wanted(settings).items():
        try:
            choices[slot] = choose(slot, name, told)
        except NoProvider as error:
            unfilled[slot] = error
    silent, learned = _asked(choices.values(), told)
    for slot, nobody in unfilled.items():
        silent.update(((slot, name), reason) for name, reason in nobody.reasons)
    for choice in choices.values():
        for provider in choice.providers:
            if (wrong := flaw(provider, told)) is not None:
                silent[choice.slot, provider.name] = wrong
    if whisper is not None and whisper.weights is None:
        silent["stt", "whisper"] = str(whisper)
    for slot in wanted(settings):
        for provider in (*PROVIDERS, *installed.providers):
            if provider.slot != slot:
                continue
            problem = obstacle(provider, told) or silent.get((slot, provider.name))
            note = f" ({provider.note})" if provider.note else ""
            found = "".join(f"; {words}" for words in learned.get((slot, provider.name), ()))
            detail = problem or f"{provider.summary}{note}{found}"
            yield Finding(slot, provider.name, "note" if problem else "ok", detail)
        if slot in unfilled:
            advice = "; ".join(reason for _, reason in unfilled[slot].reasons)
            yield Finding(slot, "answers", "problem", "nobody", advice)
        else:
            yield _answers(choices[slot], silent)
    for entry in installed.refused:
        yield Finding("others", entry.name, "note", entry.reason)


def _asked(
    choices: Iterable[Choice], told: Options
) -> tuple[dict[Place, str], dict[Place, tuple[str, ...]]]:
    """The chosen providers whose server does not answer, with the reason, and what was learned
    about the others."""
    remote = {
        (choice.slot, provider.name): provider
        for choice in choices
        for provider in choice.providers
        if provider.remote
    }
    if not remote:
        return {}, {}

    async def asked() -> tuple[dict[Place, str], dict[Place, tuple[str, ...]]]:
        problems: dict[Place, str] = {}
        stages = {}
        for place, provider in remote.items():
            try:
                _, [stages[place]] = build(Choice(provider.slot, (provider,), ""), told)
            except NoProvider as error:
                problems[place] = error.reasons[0][1]
        try:
            problems |= await ask_all(stages)
            answering = {place: stages[place] for place in stages if place not in problems}
            problems |= await try_all(answering)
            return problems, {place: learned(stage) for place, stage in answering.items()}
        finally:
            for stage in stages.values():
                await stage.aclose()

    return asyncio.run(asked())


def _answers(choice: Choice, silent: dict[Place, str]) -> Finding:
    passed = [
        f"{provider.name}: {silent[choice.slot, provider.name]}"
        for provider in choice.providers
        if (choice.slot, provider.name) in silent
    ]
    able = [p for p in choice.providers if (choice.slot, p.name) not in silent]
    if not able:
        return Finding(choice.slot, "answers", "problem", "nobody", "; ".join(passed))
    first, *others = able
    note = f", {first.note}" if first.note else ""
    why = choice.why if first is choice.first else "; ".join(passed)
    names = ", ".join(provider.name for provider in others)
    then = f"; if it fails: {names}" if names and choice.slot != "vad" else ""
    return Finding(choice.slot, "answers", "ok", f"{first.name}{note}: {why}{then}")


def _whisper_facts(settings: Settings) -> WhisperFacts | None:
    """The weights that Whisper would use; None if Whisper is not installed."""
    if installed_engine() is not None:
        return None
    return whisper_facts(settings.whisper_model, settings.data_dir, settings.stt_language)


def _whisper_model(facts: WhisperFacts | None) -> Finding:
    if facts is None:
        return Finding("files", "Whisper model", "note", "faster-whisper is not installed")
    state: State = "note" if facts.weights is None or facts.passed else "ok"
    return Finding("files", "Whisper model", state, str(facts), facts.advice)


# --- port, folder, settings ------------------------------------------------------------------


def _port(host: str, port: int, *, keys: bool) -> Finding:
    subject = f"port {port}"
    if not keys and host in ("0.0.0.0", "::"):
        why = f"PARLEY_HOST={host} opens it to the network, without keys"
        advice = "set PARLEY_API_KEYS=auto, or PARLEY_INSECURE=1 where you trust everybody"
        return Finding("port", subject, "problem", why, advice)
    if port == 0:
        return Finding("port", subject, "ok", "any free one")
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    try:
        socket.create_connection((reached, port), PORT_TIMEOUT_S).close()
    except ConnectionRefusedError:
        return Finding("port", subject, "ok", f"free on {host}")
    except OSError as error:
        return Finding(
            "port",
            subject,
            "problem",
            f"PARLEY_HOST={host} cannot be reached: {error.strerror or error}",
            "choose an address of this machine, such as PARLEY_HOST=127.0.0.1",
        )
    if (version := _parley_version(reached, port)) is not None:
        return Finding("port", subject, "ok", f"Parley {version} answers there")
    return Finding(
        "port",
        subject,
        "problem",
        "in use by another program",
        f"stop it or choose another port: PARLEY_PORT={port + 1 if port < 65535 else port - 1}",
    )


def _parley_version(host: str, port: int) -> str | None:
    """The version of the Parley at this address; None if there is none."""
    connection = http.client.HTTPConnection(host, port, timeout=PORT_TIMEOUT_S)
    try:
        connection.request("GET", "/health")
        health = json.loads(connection.getresponse().read(1024 * 1024))
        if "stages" in health:
            return str(health["gateway"]["version"])
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
        return None
    finally:
        connection.close()
    return None


def _data_folder(folder: Path) -> Finding:
    subject = str(folder)
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    advice = "choose another folder with PARLEY_DATA_DIR, or change its permissions"
    if not existing.is_dir():
        return Finding("files", subject, "problem", f"{existing} is no folder", advice)
    if not os.access(existing, os.W_OK | os.X_OK):
        return Finding("files", subject, "problem", f"{existing} is not writable", advice)
    detail = "writable" if existing == folder else "will be made at the first start"
    return Finding("files", subject, "ok", detail)


def _store(settings: Settings) -> Finding:
    """The session store, and whether it answers. A database is opened for reading."""
    url, file = settings.redis_url, settings.database
    if url is not None:
        return asyncio.run(_redis(url))
    if not file.exists():
        return Finding("store", "SQLite", "ok", f"{file} will be made at the first start")
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as database:
            database.execute("PRAGMA schema_version")
    except sqlite3.Error as error:
        advice = "move the file away, or choose another folder with PARLEY_DATA_DIR"
        return Finding("store", "SQLite", "problem", f"{file}: {error}", advice)
    return Finding("store", "SQLite", "ok", f"{file} can be read")


async def _redis(url: str) -> Finding:
    try:
        from gateway.store.redis import RedisStore
    except ModuleNotFoundError:
        install = f"pip install '{DISTRIBUTION}[redis]'"
        return Finding("store", "Redis", "problem", "the client for it is not installed", install)
    store = RedisStore(url)
    try:
        await store.ping()
        risk = await store.durability()
    except StoreUnavailable as error:
        return Finding("store", "Redis", "problem", str(error))
    finally:
        await store.aclose()
    if risk is not None:
        return Finding("store", "Redis", "note", f"{shown(url)} answers, but {risk}")
    return Finding("store", "Redis", "ok", f"{shown(url)} answers")


def _changed(settings: Settings) -> Iterator[Finding]:
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        if value != field.default:
            shown = value if field.repr else _without_secrets(str(value))
            yield Finding("settings", variables(field)[0], "ok", str(shown))


def _without_secrets(url: str) -> str:
    """The URL without user, password and query."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{place}{parts.path}"
