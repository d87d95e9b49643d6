from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.providers.build import options, wanted
from gateway.settings import Settings
from gateway.variables import variables
from stages.registry import Options, Server


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields.values():
        for name in variables(field):
            monkeypatch.delenv(name, raising=False)


def test_nothing_is_configured_by_default() -> None:
    assert options(Settings()) == Options()
    assert set(wanted(Settings()).values()) == {"auto"}


@pytest.mark.parametrize("llm", ["auto", "openai"])
def test_a_chat_model_without_a_server_is_ollamas(llm: str) -> None:
    settings = Settings(llm=llm, llm_model="llama3.2", ollama_url="http://gpu:11434/ollama")
    assert options(settings).llm_server == Server("http://gpu:11434/ollama/v1", "llama3.2")


def test_a_chat_server_that_is_named_is_taken_as_it_is() -> None:
    settings = Settings(llm_url="http://gpu:8000", llm_model="qwen", llm_key=SecretStr("abc"))
    assert options(settings).llm_server == Server("http://gpu:8000", "qwen", "abc")


def test_everything_that_is_set_reaches_the_providers() -> None:
    settings = Settings(
        whisper_model="small",
        stt_url="http://ears",
        stt_model="large",
        stt_key=SecretStr("e"),
        stt_language="de",
        stt_words=True,
        whisper_words=True,
        tts_url="http://mouth",
        tts_model="kokoro",
        tts_voice="anna",
        tts_key=SecretStr("m"),
        tts_rate_hz=16_000,
        piper_voice=Path("anna.onnx"),
    )
    assert options(settings) == Options(
        whisper_model="small",
        language="de",
        stt_words=True,
        whisper_words=True,
        stt_server=Server("http://ears", "large", "e"),
        tts_server=Server("http://mouth", "kokoro", "m"),
        tts_voice="anna",
        tts_rate_hz=16_000,
        piper_voice=Path("anna.onnx"),
    )
