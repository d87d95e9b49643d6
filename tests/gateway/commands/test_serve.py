import asyncio
import socket
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from gateway.commands import serve as module
from gateway.commands.announcement import access_line, announce, tell_when_ready, token_file, ws_url
from gateway.commands.serve import check_public, listen, serve
from gateway.commands.terminal import CommandFailed
from gateway.settings import Settings
from gateway.status import StageReport
from stages.registry import NoProvider


@pytest.fixture(autouse=True)
def no_logging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "configure", lambda *values: None)


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which models were downloaded; the start ends after that."""
    models: list[str] = []
    monkeypatch.setattr(module, "fetch", lambda name, data_dir: models.append(name))

    def nobody(settings: Settings) -> None:
        raise NoProvider("stt", (("whisper", "no model"),))

    monkeypatch.setattr(module, "chosen", nobody)
    return models


def refusal(settings: Settings) -> str:
    with pytest.raises(CommandFailed) as caught:
        serve(settings)
    assert caught.value.code == 2
    return caught.value.message


def test_any_free_port_is_the_same_on_every_address() -> None:
    listeners = listen("localhost", 0)
    try:
        ports = {listener.getsockname()[1] for listener in listeners}
        assert len(ports) == 1
        assert ports != {0}
        with socket.create_connection(listeners[0].getsockname()[:2], 5):
            pass
    finally:
        for listener in listeners:
            listener.close()


def test_a_port_in_use_names_the_setting_to_change() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        another = port + 1 if port < 65535 else port - 1
        assert refusal(Settings(host="127.0.0.1", port=port)) == (
            f"port {port} is in use; stop the other program or choose another:"
            f" PARLEY_PORT={another} make run"
        )


@pytest.mark.parametrize("host", ["192.0.2.1", "a" * 70])
def test_an_address_that_is_not_this_machines_names_the_setting(host: str) -> None:
    assert refusal(Settings(host=host, port=0)).startswith(f"PARLEY_HOST={host} ")


def test_an_unknown_host_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*arguments: object, **options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    expected = "PARLEY_HOST=typo is not an address of this machine"
    assert refusal(Settings(host="typo", port=0)) == expected


def test_a_port_of_the_administrator_says_which_to_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*arguments: object, **options: object) -> socket.socket:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket, "create_server", forbidden)
    with pytest.raises(CommandFailed, match="port 80 is for the administrator only"):
        listen("127.0.0.1", 80)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_an_address_of_the_network_wants_keys(host: str, tmp_path: Path) -> None:
    try:
        words = refusal(Settings(host=host, port=0, data_dir=tmp_path))
    except OSError:
        pytest.skip("this machine has no IPv6")
    assert words == (
        f"PARLEY_HOST={host} would let everybody in the network use this gateway. Either set"
        " PARLEY_API_KEYS, to keys from `openssl rand -hex 24` or to auto, which makes one in"
        f" {tmp_path}/api-key; or listen on 127.0.0.1, behind a proxy that asks for a password;"
        " or, where you trust everybody, set PARLEY_INSECURE=1 (--insecure)"
    )
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    "settings",
    [
        {"host": "0.0.0.0", "api_keys": SecretStr("a-key-of-ours")},
        {"host": "0.0.0.0", "api_keys": SecretStr("auto")},
        {"host": "0.0.0.0", "insecure": True},
        {"host": "127.0.0.3"},
        {"host": "localhost"},
    ],
)
def test_who_has_keys_or_stays_on_this_machine_may_start(settings: dict[str, Any]) -> None:
    asked = Settings(port=0, **settings)
    listeners = listen(asked.host, asked.port)
    try:
        check_public(asked, listeners)
    finally:
        for listener in listeners:
            listener.close()


def test_a_key_that_cannot_be_made_is_answered_with_its_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "chosen", lambda settings: {})
    (tmp_path / "api-key").touch()
    settings = Settings(port=0, data_dir=tmp_path, api_keys=SecretStr("auto"))
    assert refusal(settings) == (
        f"PARLEY_API_KEYS=auto: {tmp_path}/api-key holds no key; delete it and start again"
    )


@pytest.mark.parametrize(
    ("settings", "line", "option"),
    [
        ({}, "", ""),
        (
            {"api_keys": SecretStr("a-key-of-ours")},
            "Clients need one of PARLEY_API_KEYS",
            " --token-file FILE",
        ),
        (
            {"api_keys": SecretStr("auto")},
            "Clients need the API key in var/api-key",
            " --token-file var/api-key",
        ),
        ({"insecure": True}, "Everybody who reaches it may use it: PARLEY_INSECURE", ""),
    ],
)
def test_the_start_says_who_may_use_the_gateway(
    settings: dict[str, Any], line: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = Settings(data_dir=Path("var"), **settings)
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
        announce(listener, [], access=access_line(asked), token_file=token_file(asked))
    shown = capsys.readouterr().out
    assert line in shown
    assert shown.rstrip().endswith(f" --url ws://127.0.0.1:{port}{option}")


def test_where_no_provider_works_the_reasons_are_shown(fetched: list[str], tmp_path: Path) -> None:
    assert refusal(Settings(port=0, data_dir=tmp_path)) == (
        "no stt provider works here (whisper: no model); `parley doctor` shows what is missing"
    )
    assert fetched == []


def test_a_folder_that_cannot_be_made_names_the_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "chosen", lambda settings: {})
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "var"
    assert refusal(Settings(port=0, data_dir=folder)).startswith(f"PARLEY_DATA_DIR={folder} ")
    monkeypatch.setattr("os.access", lambda *arguments: False)
    assert refusal(Settings(port=0, data_dir=tmp_path)).endswith("is not writable for this user")


def test_a_mistake_in_the_file_of_services_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "services.yaml"
    file.write_text("services:\n  - name: admin\n")
    told = refusal(Settings(port=0, data_dir=tmp_path, services=file))
    assert told.startswith(f"PARLEY_SERVICES: {file}:2: name admin is the beginning of a path")
    missing = tmp_path / "none.yaml"
    told = refusal(Settings(port=0, data_dir=tmp_path, services=missing))
    assert told == f"PARLEY_SERVICES: {missing} cannot be read: No such file or directory"


def test_redis_without_its_client_is_answered_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "chosen", lambda settings: {})
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    settings = Settings(port=0, data_dir=tmp_path, redis_url="redis://127.0.0.1:1")
    assert refusal(settings) == (
        "REDIS_URL needs the client for Redis: pip install 'parley-gateway[redis]'"
    )


def test_two_addresses_of_other_machines_are_refused_in_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "chosen", lambda settings: {})
    settings = Settings(
        port=0, data_dir=tmp_path, webrtc_addresses="127.0.0.1,203.0.113.8,203.0.113.9"
    )
    assert refusal(settings) == (
        "PARLEY_WEBRTC_ADDRESSES: of 203.0.113.8, 203.0.113.9 none is an address of this machine;"
        " name this machine's addresses and at most one other, the public one of its NAT"
    )


@pytest.fixture
def no_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine with faster-whisper and no weights."""
    monkeypatch.setattr("stages.stt.whisper_models.find_spec", lambda name: object())
    monkeypatch.setattr("stages.stt.whisper_sources.PACKAGES", ())
    monkeypatch.setattr("stages.stt.whisper_sources.cached", lambda: iter(()))


@pytest.mark.usefixtures("no_weights")
@pytest.mark.parametrize(("wanted", "name"), [("tiny", "tiny"), ("auto", "base")])
def test_a_wanted_whisper_model_is_downloaded_before_the_start(
    fetched: list[str], tmp_path: Path, wanted: str, name: str
) -> None:
    settings = Settings(port=0, stt="whisper", whisper_model=wanted, data_dir=tmp_path)
    refusal(settings)
    assert fetched == [name]
    place = tmp_path / "models" / "whisper" / name
    place.mkdir(parents=True)
    for file in ("config.json", "tokenizer.json", "vocabulary.txt"):
        (place / file).touch()
    refusal(settings)  # there, but incomplete
    assert fetched == [name, name]
    (place / "model.bin").touch()
    refusal(settings)
    assert fetched == [name, name]


@pytest.mark.usefixtures("no_weights")
def test_a_model_that_does_not_know_the_language_is_refused_before_a_download(
    fetched: list[str], tmp_path: Path
) -> None:
    settings = Settings(
        port=0, stt="whisper", whisper_model="tiny.en", stt_language="de", data_dir=tmp_path
    )
    refusal(settings)
    assert fetched == []


@pytest.mark.usefixtures("no_weights")
def test_a_whisper_folder_that_is_incomplete_is_answered_with_the_missing_files(
    fetched: list[str], tmp_path: Path
) -> None:
    for name in ("config.json", "preprocessor_config.json", "vocabulary.txt"):
        (tmp_path / name).touch()
    settings = Settings(port=0, stt="whisper", whisper_model=str(tmp_path), data_dir=tmp_path)
    assert refusal(settings) == (
        f"WHISPER_MODEL={tmp_path} is incomplete (model.bin, tokenizer.json missing);"
        " PARLEY_STT=auto starts with what is here"
    )
    assert fetched == []


@pytest.mark.usefixtures("no_weights")
def test_a_download_that_fails_says_how_to_start_without(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def failing(name: str, data_dir: Path) -> None:
        raise CommandFailed("no network", 1)

    monkeypatch.setattr(module, "fetch", failing)
    assert refusal(Settings(port=0, stt="whisper", data_dir=tmp_path)) == (
        "no network; PARLEY_STT=auto starts with what is here"
    )


def test_without_faster_whisper_nothing_is_downloaded(
    fetched: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("stages.stt.whisper_models.find_spec", lambda name: None)
    refusal(Settings(port=0, stt="whisper", data_dir=tmp_path))
    assert fetched == []


def test_the_start_shows_address_providers_and_what_to_try(
    capsys: pytest.CaptureFixture[str],
) -> None:
    reports = [
        StageReport("vad", "silero", "online", "the best", detail="v5"),
        StageReport("stt", "pocketsphinx", "online", "[no markup]", "demo quality"),
    ]
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        announce(listener, reports)
        port = listener.getsockname()[1]
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0][:4] == ["Parley", "listens", "at", f"http://127.0.0.1:{port}"]
    assert ["vad", "silero", "v5", "the", "best"] in lines
    assert ["stt", "pocketsphinx", "demo", "quality", "[no", "markup]"] in lines
    assert lines[-1] == [
        ".venv/bin/parley",
        "call",
        "fixtures/audio/software-engineer-1.wav",
        "--url",
        f"ws://127.0.0.1:{port}",
    ]


@pytest.mark.parametrize(
    ("family", "address", "url"),
    [
        (socket.AF_INET, "0.0.0.0", "ws://127.0.0.1:"),
        (socket.AF_INET6, "::", "ws://[::1]:"),
        (socket.AF_INET6, "::1", "ws://[::1]:"),
    ],
)
def test_an_open_address_is_reached_on_this_machine(
    family: socket.AddressFamily, address: str, url: str
) -> None:
    try:
        listener = socket.create_server((address, 0), family=family)
    except OSError:
        pytest.skip("no IPv6 here")
    with closing(listener):
        assert ws_url(listener) == f"{url}{listener.getsockname()[1]}"


class Engine:
    """Stands for the runtime: a line-up whose models are loaded, or could not be."""

    def __init__(self, *lost: str) -> None:
        self.starts = self.probes = self
        self._lost = [*lost]

    def lineup(self) -> "Engine":
        return self

    async def settled(self) -> None:
        pass

    async def ask(self) -> None:
        pass

    def lost(self) -> list[str]:
        return self._lost

    def reports(self) -> list[StageReport]:
        detail = "tiny.en, 0.55 s for a 10 s answer"
        return [
            StageReport("stt", "whisper", "online", "the best", detail=detail),
            StageReport("tts", "espeak-ng", "online", "the best", "demo quality"),
        ]


@pytest.mark.parametrize(
    ("engine", "line"),
    [
        (
            Engine(),
            "Ready: hears with whisper tiny.en, 0.55 s for a 10 s answer;"
            " speaks with espeak-ng, demo quality",
        ),
        (Engine("stt: whisper: no model"), "Not ready: stt: whisper: no model"),
    ],
)
def test_one_line_says_when_the_models_are_loaded(
    engine: Any, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(tell_when_ready(engine))
    assert capsys.readouterr().out.strip() == line


def test_each_of_several_processes_needs_a_place() -> None:
    module.check_workers(Settings(workers=4, max_sessions=4))
    with pytest.raises(CommandFailed, match="PARLEY_MAX_SESSIONS=3 leaves no place for some of"):
        module.check_workers(Settings(workers=4, max_sessions=3))
