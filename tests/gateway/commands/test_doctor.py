import asyncio
import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from gateway.commands import doctor as module
from gateway.commands.doctor import Finding, doctor, examine, requirements
from gateway.settings import Settings
from gateway.store import SqliteStore
from gateway.variables import variables
from stages import registry
from stages.stt.whisper_sources import fetched
from stages.stt.whisper_speeds import keep, machine, speeds_file
from tests.support.served import free_port


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields.values():
        for name in variables(field):
            monkeypatch.delenv(name, raising=False)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Port 0 stands for any free one: nothing on this machine is in the way."""
    return Settings(port=0, data_dir=tmp_path)


def found(settings: Settings, area: str, subject: str) -> Finding:
    (finding,) = (f for f in examine(settings) if (f.area, f.subject) == (area, subject))
    return finding


def all_providers_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that needs no configuration."""
    providers = tuple(p if p.configured else replace(p, check=_works) for p in registry.PROVIDERS)
    _register(monkeypatch, providers)


def _works(options: registry.Options) -> None:
    return None


def _register(monkeypatch: pytest.MonkeyPatch, providers: tuple[registry.Provider, ...]) -> None:
    monkeypatch.setattr(registry, "PROVIDERS", providers)
    monkeypatch.setattr(module, "PROVIDERS", providers)


@contextmanager
def http_server(body: bytes) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def test_a_machine_where_everything_works_is_sent_to_serve(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    all_providers_work(monkeypatch)
    assert doctor(settings, as_json=False) == 0
    assert capsys.readouterr().out.endswith(
        "\nA spoken interview works here. Start with `parley serve`.\n"
    )


def test_a_slot_without_provider_is_a_problem_with_what_to_do(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mute = replace(
        next(p for p in registry.PROVIDERS if p.slot == "tts"),
        check=lambda options: "espeakng-loader is not installed: pip install it",
    )
    others = tuple(replace(p, check=_works) for p in registry.PROVIDERS if p.slot != "tts")
    _register(monkeypatch, (*others, mute))
    assert doctor(settings, as_json=True) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["works"] is False
    assert [finding for finding in report["findings"] if finding["state"] == "problem"] == [
        {
            "area": "tts",
            "subject": "answers",
            "state": "problem",
            "detail": "nobody",
            "advice": "espeakng-loader is not installed: pip install it",
        }
    ]
    assert doctor(settings, as_json=False) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "  answers: espeakng-loader is not installed: pip install it" in lines


@pytest.mark.parametrize(
    ("slot", "name", "then"), [("turn", "smart-turn", "rules"), ("tts", "hibari", "espeak-ng")]
)
def test_a_chosen_provider_whose_file_is_another_one_is_told_with_the_next(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, slot: str, name: str, then: str
) -> None:
    wrong = "its file has another hash"
    known = tuple(
        replace(p, verify=lambda options: wrong, check=_works)
        if p.name == name
        else p
        if p.configured
        else replace(p, check=_works)
        for p in registry.PROVIDERS
    )
    _register(monkeypatch, known)
    finding = found(settings, slot, name)
    assert (finding.state, finding.detail) == ("note", wrong)
    assert found(settings, slot, "answers").detail.startswith(then)
    assert f"{name}: {wrong}" in found(settings, slot, "answers").detail
    field = {"turn": "turn", "tts": "tts_engine"}[slot]
    named = settings.model_copy(update={field: name})
    assert found(named, slot, name).detail == wrong
    assert found(named, slot, "answers").advice == wrong


def test_the_chosen_provider_is_shown_with_the_reason_and_its_fallbacks(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_providers_work(monkeypatch)
    detail = found(settings, "stt", "answers").detail
    assert detail == ("whisper: the best that needs no configuration; if it fails: pocketsphinx")
    demo = settings.model_copy(update={"stt": "pocketsphinx"})
    detail = found(demo, "stt", "answers").detail
    assert detail == "pocketsphinx, demo quality: chosen by configuration"


def test_a_provider_that_does_not_work_says_why(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_providers_work(monkeypatch)
    first, *rest = registry.PROVIDERS
    _register(monkeypatch, (replace(first, check=lambda options: "no model"), *rest))
    assert found(settings, first.slot, first.name) == Finding(
        first.slot, first.name, "note", "no model"
    )


def test_a_server_that_answers_is_the_chosen_provider(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, peer: Any
) -> None:
    all_providers_work(monkeypatch)
    served = settings.model_copy(update={"llm_url": peer.url, "llm_model": "hello"})
    assert found(served, "llm", "openai") == Finding(
        "llm", "openai", "ok", "a chat model behind an OpenAI-compatible server"
    )
    detail = found(served, "llm", "answers").detail
    assert detail == "openai: chosen by configuration; if it fails: scripted"


@pytest.mark.parametrize(
    ("model", "state", "words"),
    [
        (
            "strict/doctor",
            "ok",
            "a chat model behind an OpenAI-compatible server; no stream_options",
        ),
        ("mute-always/doctor", "note", "it gives no reply: HTTP 400: Bad Request"),
        ("missing", "note", "it gives no reply: HTTP 404: model 'missing' not found"),
        ("broken", "note", "it gives no reply: server error (HTTP 500: Internal Server Error)"),
    ],
)
def test_what_a_chat_server_says_to_a_short_conversation_is_told(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    peer: Any,
    model: str,
    state: str,
    words: str,
) -> None:
    all_providers_work(monkeypatch)
    served = settings.model_copy(update={"llm_url": peer.url, "llm_model": model})
    finding = found(served, "llm", "openai")
    assert (finding.state, finding.detail) == (state, words)
    answers = found(served, "llm", "answers").detail
    assert answers.startswith("openai: chosen" if state == "ok" else f"scripted: openai: {words}")


def test_a_server_that_is_down_is_shown_with_its_fallback(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_providers_work(monkeypatch)
    url = f"http://127.0.0.1:{free_port()}"
    down = settings.model_copy(update={"llm": "openai", "llm_url": url, "llm_model": "hello"})
    reason = f"{url} cannot be used (ConnectError: All connection attempts failed)"
    assert found(down, "llm", "openai") == Finding("llm", "openai", "note", reason)
    assert found(down, "llm", "answers").detail == f"scripted: openai: {reason}"
    alone = tuple(p for p in registry.PROVIDERS if p.name != "scripted")
    _register(monkeypatch, alone)
    assert found(down, "llm", "answers") == Finding(
        "llm", "answers", "problem", "nobody", f"openai: {reason}"
    )


def test_a_server_that_cannot_be_asked_says_why(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_providers_work(monkeypatch)
    odd = settings.model_copy(update={"llm_url": "nonsense", "llm_model": "hello"})
    finding = found(odd, "llm", "openai")
    assert finding.detail == ("it cannot be built: ValueError: must be a URL like http://host:port")


def test_providers_of_other_packages_are_listed_and_so_is_why_one_is_refused(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(options: registry.Options) -> str | None:
        raise KeyError("BEEP")

    beep = registry.Provider("tts", "beep", "a beep for every word", check, lambda _: None)
    boop = registry.ProviderRefused("boop", "boop:X cannot be loaded: ImportError: no sound")
    monkeypatch.setattr(module, "third_party", lambda: registry.Installed((beep,), (boop,)))
    assert found(settings, "tts", "beep").detail == "its check failed: KeyError: 'BEEP'"
    assert found(settings, "others", "boop") == Finding("others", "boop", "note", boop.reason)


def test_requirements_know_their_extra() -> None:
    declared = [
        "av<19,>=15",
        'uvloop<0.30,>=0.21; sys_platform != "win32"',
        'onnxruntime<2,>=1.20; extra == "offline"',
        'pytest<10,>=8.3; extra == "dev"',
        "numpy>=2; python_version > \"3\" and extra == 'whisper'",
    ]
    assert requirements(declared) == {
        "av": "",
        "uvloop": "",
        "onnxruntime": "offline",
        "numpy": "whisper",
    }


def test_a_missing_package_names_what_installs_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        if name in ("av", "pocketsphinx"):
            raise metadata.PackageNotFoundError(name)
        return "1.0"

    declared = ["av>=15", 'pocketsphinx>=5; extra == "offline"', "numpy>=2"]
    monkeypatch.setattr(metadata, "requires", lambda name: declared)
    monkeypatch.setattr(metadata, "version", version)
    assert found(settings, "packages", "av") == Finding(
        "packages", "av", "problem", "not installed", "pip install 'av'"
    )
    assert found(settings, "packages", "pocketsphinx") == Finding(
        "packages",
        "pocketsphinx",
        "note",
        "not installed (extra offline)",
        "pip install 'parley-gateway[offline]'",
    )
    assert found(settings, "packages", "numpy") == Finding("packages", "numpy", "ok", "1.0")


def test_a_folder_that_was_never_installed_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", nothing)
    assert found(settings, "packages", "parley-gateway").advice == "make run"


def test_an_old_python_is_a_problem(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.version_info", (3, 10, 1))
    finding = found(settings, "python", "Python")
    assert (finding.state, finding.advice) == ("problem", "Parley needs Python 3.11 or later")


def test_a_free_port_is_fine(settings: Settings) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    finding = found(settings.model_copy(update={"port": port}), "port", f"port {port}")
    assert finding == Finding("port", f"port {port}", "ok", "free on 127.0.0.1")


def test_a_parley_on_the_port_is_recognised(settings: Settings) -> None:
    with http_server(b'{"gateway": {"version": "9.9"}, "stages": []}') as port:
        finding = found(
            settings.model_copy(update={"port": port, "host": "0.0.0.0", "insecure": True}),
            "port",
            f"port {port}",
        )
    assert (finding.state, finding.detail) == ("ok", "Parley 9.9 answers there")


def test_an_address_of_the_network_without_keys_is_a_problem(settings: Settings) -> None:
    open_to_all = settings.model_copy(update={"port": 8000, "host": "0.0.0.0"})
    finding = found(open_to_all, "port", "port 8000")
    assert finding.state == "problem"
    assert finding.detail == "PARLEY_HOST=0.0.0.0 opens it to the network, without keys"
    assert "PARLEY_API_KEYS=auto" in finding.advice


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"gateway": {}}', b'{"stages": 1}'])
def test_another_program_on_the_port_is_a_problem(settings: Settings, body: bytes) -> None:
    with http_server(body) as port:
        finding = found(settings.model_copy(update={"port": port}), "port", f"port {port}")
    assert (finding.state, finding.detail) == ("problem", "in use by another program")
    assert "PARLEY_PORT=" in finding.advice


def test_an_address_that_cannot_be_reached_is_a_problem(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*arguments: object) -> socket.socket:
        raise OSError(113, "No route to host")

    monkeypatch.setattr(socket, "create_connection", unreachable)
    elsewhere = settings.model_copy(update={"port": 8000, "host": "192.0.2.1"})
    finding = found(elsewhere, "port", "port 8000")
    assert finding.detail == "PARLEY_HOST=192.0.2.1 cannot be reached: No route to host"
    assert finding.state == "problem"


@pytest.fixture
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with faster-whisper and no weights."""
    monkeypatch.setattr("stages.stt.whisper_models.find_spec", lambda name: object())
    monkeypatch.setattr("stages.stt.whisper_sources.PACKAGES", ())
    monkeypatch.setattr("stages.stt.whisper_sources.cached", lambda: iter(()))


def put(folder: Path, *, digest: str) -> None:
    """A fetched model that is complete, and whose weights should have this hash."""
    folder.mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        (folder / name).touch()
    (folder / "model.bin").write_bytes(b"weights")
    record = {"source": "the moon", "licence": "MIT", "files": {"model.bin": digest}}
    (folder / "origin.json").write_text(json.dumps(record))


@pytest.mark.usefixtures("no_weights")
def test_the_recognisers_model_is_shown_with_its_origin_hash_and_speed(settings: Settings) -> None:
    folder = settings.data_dir / "models" / "whisper" / "tiny.en"
    put(folder, digest=hashlib.sha256(b"weights").hexdigest())
    base = "fewer errors, and other languages: parley fetch base"
    whole = "tiny.en, fetched from the moon, MIT, SHA-256 verified, "
    assert found(settings, "files", "Whisper model") == Finding(
        "files", "Whisper model", "ok", f"{whole}its speed is measured at the first start", base
    )
    [weights] = fetched(settings.data_dir)
    keep(speeds_file(settings.data_dir), machine(), {weights.identity: 0.5})
    finding = found(settings, "files", "Whisper model")
    assert finding.detail == f"{whole}0.50 s for a 10 s answer, as measured here"
    assert finding.advice == f"{base} (about 0.9 s for a 10 s answer)"
    keep(speeds_file(settings.data_dir), machine(), {weights.identity: 0.9})
    finding = found(settings, "files", "Whisper model")
    assert finding.advice == (
        "a faster machine: replies wait for this one, and no weights are smaller"
    )


@pytest.mark.usefixtures("no_weights")
@pytest.mark.parametrize(("name", "faster"), [("base", "tiny"), ("base.en", "tiny.en")])
def test_a_model_that_is_too_slow_here_is_told_with_a_faster_one_for_its_languages(
    settings: Settings, name: str, faster: str
) -> None:
    digest = hashlib.sha256(b"weights").hexdigest()
    put(settings.data_dir / "models" / "whisper" / name, digest=digest)
    assert found(settings, "files", "Whisper model").advice == ""
    [weights] = fetched(settings.data_dir)
    keep(speeds_file(settings.data_dir), machine(), {weights.identity: 1.1})
    assert found(settings, "files", "Whisper model").advice == (
        f"replies wait for what takes over 0.6 s: WHISPER_MODEL={faster}"
    )


@pytest.mark.usefixtures("no_weights")
def test_damaged_weights_are_shown_with_what_to_do(settings: Settings) -> None:
    folder = settings.data_dir / "models" / "whisper" / "base"
    put(folder, digest="0" * 64)
    finding = found(settings, "files", "Whisper model")
    assert finding.detail == (
        f"{folder / 'model.bin'} is damaged or another file: its SHA-256 is"
        f" {hashlib.sha256(b'weights').hexdigest()[:12]}…, not 000000000000…:"
        " run `parley fetch base`"
    )
    assert (finding.state, finding.advice) == ("note", "parley fetch base")
    assert found(settings, "stt", "whisper").detail == finding.detail
    answers = found(settings, "stt", "answers").detail
    assert answers == f"pocketsphinx, demo quality: whisper: {finding.detail}"


@pytest.mark.usefixtures("no_weights")
def test_a_machine_without_weights_is_told_what_to_fetch(settings: Settings) -> None:
    finding = found(settings, "files", "Whisper model")
    assert finding.detail == "there are no weights on this machine"
    assert (finding.state, finding.advice) == ("note", "parley fetch base")
    gone = settings.model_copy(update={"whisper_model": "/no/where"})
    finding = found(gone, "files", "Whisper model")
    assert finding.detail.startswith("WHISPER_MODEL=/no/where is neither a folder nor a model's")


def test_without_faster_whisper_no_model_is_looked_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.stt.whisper_models.find_spec", lambda name: None)
    finding = found(settings, "files", "Whisper model")
    assert (finding.state, finding.detail) == ("note", "faster-whisper is not installed")


def test_the_data_folder_is_looked_at_and_left_alone(settings: Settings, tmp_path: Path) -> None:
    assert found(settings, "files", str(tmp_path)).detail == "writable"
    new = tmp_path / "a" / "b"
    finding = found(settings.model_copy(update={"data_dir": new}), "files", str(new))
    assert (finding.state, finding.detail) == ("ok", "will be made at the first start")
    assert not new.exists()
    (tmp_path / "file").touch()
    wrong = tmp_path / "file" / "x"
    finding = found(settings.model_copy(update={"data_dir": wrong}), "files", str(wrong))
    assert (finding.state, finding.detail) == ("problem", f"{tmp_path / 'file'} is no folder")


def test_the_store_is_named_and_asked_without_being_made(settings: Settings) -> None:
    file = settings.database
    assert found(settings, "store", "SQLite").detail == f"{file} will be made at the first start"
    assert not file.exists()
    asyncio.run(_made(file))
    assert found(settings, "store", "SQLite").detail == f"{file} can be read"
    file.write_bytes(b"These are somebody's notes. " * 40)
    finding = found(settings, "store", "SQLite")
    assert (finding.state, finding.detail) == ("problem", f"{file}: file is not a database")
    assert "move the file away" in finding.advice


async def _made(file: Path) -> None:
    await (await SqliteStore.open(file)).aclose()


def test_a_data_folder_that_is_not_writable_is_a_problem(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("os.access", lambda *arguments: False)
    finding = found(settings, "files", str(tmp_path))
    assert (finding.state, finding.detail) == ("problem", f"{tmp_path} is not writable")


def test_changed_settings_are_shown_without_secrets(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = settings.model_copy(
        update={
            "redis_url": "redis://user:secret@cache:6379/0",
            "ollama_url": "http://me:secret@gpu:11434",
            "silence_ms": 500,
            "llm_model": "hello",
            "llm_url": "http://me:secret@127.0.0.1:9/v1",
            "llm_key": SecretStr("a-secret-key"),
        }
    )
    doctor(changed, as_json=True)
    out = capsys.readouterr().out
    assert "secret" not in out
    shown = {
        finding["subject"]: finding["detail"]
        for finding in json.loads(out)["findings"]
        if finding["area"] == "settings"
    }
    assert shown == {
        "PARLEY_PORT": "0",
        "PARLEY_DATA_DIR": str(settings.data_dir),
        "PARLEY_SILENCE_MS": "500",
        "PARLEY_LLM_URL": "http://127.0.0.1:9/v1",
        "PARLEY_LLM_MODEL": "hello",
        "PARLEY_LLM_KEY": "**********",
        "OLLAMA_URL": "http://gpu:11434",
        "REDIS_URL": "redis://cache:6379/0",
    }


def test_a_port_that_says_nothing_is_another_program(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PORT_TIMEOUT_S", 0.05)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        port = silent.getsockname()[1]
        finding = found(settings.model_copy(update={"port": port}), "port", f"port {port}")
    assert finding.detail == "in use by another program"
