"""The models of the settings, and the keys that are sent to their services."""

import logging
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from gateway.models.sources import models_of, warn_of_unused_keys
from gateway.services.sources import BUILT_IN, proxied
from gateway.settings import Settings
from tests.support.gateway import Gateway

UNUSED = (
    "PARLEY_MODEL_KEYS has a key for {}, but PARLEY_SERVICES has no model of a service of that"
    " name: the key is not used until it has one"
)
FILE = {
    "services": [
        {"name": name, "host": "127.0.0.1", "port": 1, "health_endpoint": None}
        for name in ("large-llm", "drawing")
    ],
    "models": [{"name": "large", "service": "large-llm"}],
}


def file_in(folder: Path) -> Path:
    path = folder / "services.yaml"
    path.write_text(yaml.safe_dump(FILE))
    return path


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.name == "parley.models"]


@pytest.mark.parametrize(
    ("keys", "services", "unused"),
    [
        pytest.param(None, "file", [], id="no keys"),
        pytest.param("large-llm=sk-1", "file", [], id="of a model"),
        pytest.param(
            "larg-llm=sk-1,large-llm=sk,drawing=sk",
            "file",
            ["drawing", "larg-llm"],
            id="two not",
        ),
        pytest.param("large-llm=sk-1", None, ["large-llm"], id="no file"),
        pytest.param("ollama=sk-1", BUILT_IN, ["ollama"], id="built-in"),
    ],
)
def test_a_key_of_no_models_service_is_told_in_words(
    keys: str | None,
    services: Any,
    unused: list[str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = Settings(
        data_dir=tmp_path,
        model_keys=None if keys is None else SecretStr(keys),
        services=file_in(tmp_path) if services == "file" else services,
    )
    with caplog.at_level(logging.WARNING, "parley.models"):
        warn_of_unused_keys(settings, models_of(proxied(settings).models, settings))
    assert warned(caplog) == [UNUSED.format(service) for service in unused]
    assert "sk-" not in caplog.text


def test_the_start_tells_of_keys_that_are_not_used_and_goes_on(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.settings["services"] = file_in(Path(gateway.settings["data_dir"]))
    gateway.settings["model_keys"] = SecretStr("larg-llm=sk-1")

    async def story() -> None:
        assert warned(caplog) == [UNUSED.format("larg-llm")]

    gateway.run(story)
