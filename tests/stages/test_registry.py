"""Which provider answers, and why."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.frames import Slot
from stages import registry
from stages.registry import (
    Choice,
    Installed,
    NoProvider,
    Options,
    Provider,
    ProviderRefused,
    Server,
    UnknownProvider,
    choose,
    obstacle,
)

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


@pytest.mark.parametrize("raises", [False, True])
def test_a_named_provider_whose_files_are_wrong_is_an_error(
    monkeypatch: pytest.MonkeyPatch, raises: bool
) -> None:
    def verify(options: Options) -> str | None:
        if raises:
            raise OSError(5, "the disk")
        return "its file is another one"

    wrong = replace(provider("wrong"), verify=verify)
    monkeypatch.setattr(registry, "PROVIDERS", (wrong,))
    with pytest.raises(NoProvider, match=r"wrong: its file.* (another one|the disk)"):
        choose("stt", "wrong", OPTIONS)
    assert choose("stt", "auto", OPTIONS).first is wrong  # the next one answers if it fails


@pytest.mark.usefixtures("known")
def test_a_named_provider_that_cannot_work_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(NoProvider, match=r"no stt provider works here \(broken: not installed\)"):
        choose("stt", "broken", OPTIONS)


@pytest.mark.usefixtures("known")
def test_an_unknown_name_is_an_error_that_lists_the_known_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    extra = replace(provider("extra"), slot="stt")
    other = replace(provider("other"), slot="tts")
    torn = ProviderRefused("none such", "x:y cannot be loaded: ImportError: no y")
    monkeypatch.setattr(registry, "third_party", lambda: Installed((extra, other), (torn,)))
    with pytest.raises(UnknownProvider) as caught:
        choose("stt", "none such", OPTIONS)
    assert str(caught.value) == (
        "stt has no provider 'none such' (best, good, plain, broken, extra);"
        " x:y cannot be loaded: ImportError: no y"
    )


@pytest.mark.usefixtures("known")
def test_a_provider_of_another_package_answers_where_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    extra = provider("extra")
    monkeypatch.setattr(registry, "third_party", lambda: Installed((extra,), ()))
    assert Choice("stt", (extra,), "chosen by configuration") == choose("stt", "extra", OPTIONS)
    assert extra not in choose("stt", "auto", OPTIONS).providers


@pytest.mark.usefixtures("known")
def test_those_that_need_no_network_stay_behind_one_that_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cloud = replace(provider("cloud"), remote=True)
    other = replace(provider("other"), remote=True)
    monkeypatch.setattr(registry, "PROVIDERS", (other, cloud, *registry.PROVIDERS))
    assert names(choose("stt", "cloud", OPTIONS)) == ["cloud", "good", "plain"]


def test_a_check_that_raises_is_a_reason() -> None:
    def check(options: Options) -> str | None:
        raise OSError("disk\non fire")

    assert (
        obstacle(replace(provider("x"), check=check), OPTIONS)
        == "its check failed: OSError: disk on fire"
    )


def names(choice: Choice) -> list[str]:
    return [provider.name for provider in choice.providers]


SERVER = Server("http://127.0.0.1:9", "m", "secret-key")


@pytest.mark.parametrize(
    ("slot", "options"),
    [
        ("stt", Options(stt_server=SERVER)),
        ("llm", Options(llm_server=SERVER)),
        ("tts", Options(tts_server=SERVER, tts_voice="anna")),
    ],
)
def test_auto_takes_a_configured_server_first_and_what_is_here_behind_it(
    monkeypatch: pytest.MonkeyPatch, slot: Slot, options: Options
) -> None:
    works_here(monkeypatch)
    choice = choose(slot, "auto", options)
    assert (choice.first.name, choice.why) == ("openai", "chosen by configuration")
    offline = {"stt": "pocketsphinx", "llm": "scripted", "tts": "espeak-ng"}
    assert offline[slot] == choice.providers[-1].name
    assert "openai" not in names(choose(slot, "auto", OPTIONS))


def works_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that needs no configuration has what it needs."""
    providers = tuple(
        p if p.configured else replace(p, check=lambda _: None) for p in registry.PROVIDERS
    )
    monkeypatch.setattr(registry, "PROVIDERS", providers)


@pytest.mark.parametrize(
    ("slot", "why"),
    [
        ("vad", "the best of those built in"),
        ("stt", "the best that needs no configuration"),
        ("llm", "the best that needs no configuration"),
        ("tts", "the best that needs no configuration"),
    ],
)
def test_unconfigured_providers_are_not_reported(
    monkeypatch: pytest.MonkeyPatch, slot: Slot, why: str
) -> None:
    works_here(monkeypatch)
    assert why == choose(slot, "auto", OPTIONS).why


def test_a_voice_that_is_configured_but_not_there_is_missed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from stages.tts import piper

    works_here(monkeypatch)
    monkeypatch.setattr(piper, "find_spec", lambda name: object())
    voice = tmp_path / "anna.onnx"
    choice = choose("tts", "auto", Options(piper_voice=voice))
    reason = f"there is no Piper voice at {voice}: name a local .onnx file"
    assert f"piper: PARLEY_PIPER_VOICE is set, but {reason}" == choice.why
    assert names(choice) == ["hibari", "espeak-ng"]


@pytest.mark.parametrize(
    ("slot", "name", "reason"),
    [
        ("stt", "openai", "no server is named: set PARLEY_STT_URL and PARLEY_STT_MODEL"),
        ("llm", "openai", "no model is named: set PARLEY_LLM_MODEL"),
        (
            "tts",
            "openai",
            "no voice is named: set PARLEY_TTS_URL, PARLEY_TTS_MODEL and PARLEY_TTS_VOICE",
        ),
        ("tts", "piper", "no voice is named: set PARLEY_PIPER_VOICE to its .onnx file"),
    ],
)
def test_what_is_not_configured_says_what_to_set(slot: Slot, name: str, reason: str) -> None:
    with pytest.raises(NoProvider) as caught:
        choose(slot, name, OPTIONS)
    assert ((name, reason),) == caught.value.reasons


def test_servers_get_what_was_configured() -> None:
    options = Options(
        language="de",
        stt_server=SERVER,
        llm_server=SERVER,
        tts_server=SERVER,
        tts_voice="anna",
        tts_rate_hz=16_000,
    )
    stages = {s: choose(s, "openai", options).first.build(options) for s in ("stt", "llm", "tts")}
    assert {"openai"} == {stage.provider for stage in stages.values()}
    assert stages["tts"].rate_hz == 16_000
    assert "secret" not in repr(options)


def test_what_knows_only_english_is_not_asked_for_german() -> None:
    german = Options(language="de", whisper_model="base.en")
    for name, start in (("pocketsphinx", "it"), ("whisper", "WHISPER_MODEL=base.en")):
        with pytest.raises(NoProvider) as caught:
            choose("stt", name, german)
        reason = f"{start} understands English only, not PARLEY_STT_LANGUAGE=de"
        assert ((name, reason),) == caught.value.reasons


def test_what_needs_no_extra_can_be_built_anywhere() -> None:
    assert choose("vad", "energy", OPTIONS).first.build(OPTIONS).provider == "energy"
    assert choose("llm", "scripted", OPTIONS).first.build(OPTIONS).provider == "scripted"


def test_recognition_by_pocketsphinx_is_labelled_as_demo_quality() -> None:
    notes = {p.name: p.note for p in registry.PROVIDERS}
    assert notes["pocketsphinx"] == "demo quality"


def test_smart_turn_by_name_is_refused_with_a_file_of_another_hash(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(b"A model")
    monkeypatch.setattr("stages.turn.smart_turn_model.BYTES", 7)
    with pytest.raises(NoProvider, match=r"is not Smart Turn v3\.2: its sha256 is"):
        choose("turn", "smart-turn", Options(turn_model=file))
    assert names(choose("turn", "auto", Options(turn_model=file))) == ["smart-turn", "rules"]
