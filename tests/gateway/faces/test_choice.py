"""The provider of the avatar slot, by configuration."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from gateway.providers.build import options
from gateway.runtime import Runtime
from gateway.settings import Settings
from pipeline.breaker import Mode
from stages import registry
from stages.fakes import FakeDetector, FakeResponder, FakeSynthesizer, FakeTranscriber
from stages.registry import Provider
from tests.support.memory_store import MemoryStore

URL = "http://avatar:secret-secret@127.0.0.1:9/v1"


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The status of a runtime with these settings and fakes in other slots."""
    fakes = {"vad": FakeDetector, "stt": FakeTranscriber, "llm": FakeResponder}
    others = [
        Provider(
            cast("Any", slot), "fake", "for tests", lambda _: None, lambda _, fake=fake: fake()
        )
        for slot, fake in {**fakes, "tts": FakeSynthesizer}.items()
    ]
    own = [provider for provider in registry.PROVIDERS if provider.slot in ("turn", "avatar")]
    monkeypatch.setattr(registry, "PROVIDERS", (*others, *own))

    def look(see: Callable[[Runtime], Any], **settings: Any) -> Any:
        async def main() -> Any:
            async with Runtime(Settings(**settings), MemoryStore(time.monotonic)) as engine:
                await engine.lineup().probes.ask()
                return see(engine)

        return asyncio.run(main())

    return look


def report(engine: Runtime) -> tuple[str, str, str]:
    [found] = [entry for entry in engine.reports() if entry.slot == "avatar"]
    return found.provider, found.status, found.why


@pytest.mark.parametrize(
    ("settings", "provider"),
    [
        ({}, "face"),
        ({"avatar_server": URL}, "remote"),
        ({"avatar": "remote", "avatar_server": URL}, "remote"),
        ({"avatar": "face", "avatar_server": URL}, "face"),
        ({"avatar": "visemes"}, "visemes"),
        ({"avatar_video": "off"}, "visemes"),
    ],
)
def test_the_settings_choose_the_avatar_provider(
    look: Any, settings: dict[str, Any], provider: str
) -> None:
    assert look(lambda engine: engine.calls().faces.provider, **settings) == provider


def test_a_server_that_does_not_answer_is_reported(look: Any) -> None:
    provider, status, why = look(report, avatar_server=URL)
    assert (provider, status, why) == ("remote", "degraded", "chosen by configuration")


def test_a_server_is_reported_with_its_breaker(look: Any) -> None:
    def see(engine: Runtime) -> Any:
        [candidate] = [entry for entry in engine.candidates() if entry.slot == "avatar"]
        return candidate.provider, candidate.breaker

    assert look(see, avatar_server=URL) == ("remote", "closed")

    def tripped(engine: Runtime) -> Any:
        animators = engine.lineup().stages.animators
        assert animators is not None
        [candidate] = animators.candidates
        candidate.breaker.mode = Mode.FORCED_OPEN
        return report(engine)[:2]

    assert look(tripped, avatar_server=URL) == ("remote", "degraded")


def test_a_server_needs_an_address_and_its_password_is_not_shown() -> None:
    with pytest.raises(ValueError, match="PARLEY_AVATAR=remote needs PARLEY_AVATAR_URL"):
        Settings(avatar="remote")
    with pytest.raises(ValueError, match="PARLEY_AVATAR_KEY needs PARLEY_AVATAR_URL"):
        Settings(avatar_key="sesame-sesame")
    settings = Settings(avatar_server=URL, avatar_key="sesame-sesame")
    told = options(settings)
    assert (told.avatar_url, told.avatar_key) == (URL, "sesame-sesame")
    assert "secret-secret" not in repr(settings) + repr(told)
    assert "sesame" not in repr(settings) + repr(told)
