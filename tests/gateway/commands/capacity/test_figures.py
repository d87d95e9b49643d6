"""The figures' form in a file: what is read again, and what is refused."""

import json
from typing import Any

import pytest

from gateway.commands.capacity.figures import UnusableFigures, parsed
from tests.support.capacity import FIGURES


def written(**changes: Any) -> str:
    return json.dumps({"figures": {**FIGURES.as_dict(), **changes}, "plans": []})


def test_what_was_written_is_read_again() -> None:
    assert parsed(written()) == FIGURES
    bare = parsed(written(sessions_per_core=None, recogniser=None, redis=None, doubts=["noise"]))
    assert (bare.sessions_per_core, bare.redis, bare.doubts) == (None, None, ("noise",))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no JSON"),
        ("sessions: 5", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", 'has no "figures"'),
        ("{}", 'has no "figures"'),
        ('{"figures": []}', 'has no "figures"'),
        ('{"figures": {}}', "figures.version: Field required"),
        (written(version=2), "figures.version: Input should be 1"),
        (written(cores=0), "figures.cores: Input should be greater than or equal to 1"),
        (written(sessions_per_core=-5), "figures.sessions_per_core: Input should be greater"),
        (written(sessions_per_core="90"), "figures.sessions_per_core: Input should be a valid int"),
        (written(sessions_per_core=True), "figures.sessions_per_core: Input should be a valid int"),
        (written(session_mb=float("nan")), "figures.session_mb: Input should be"),
        (written(session_mb=float("inf")), "figures.session_mb: Input should be"),
        (written(gateway_mb=1e300), "figures.gateway_mb: Input should be less than"),
        (written(session_cpu_ms=0), "figures.session_cpu_ms: Input should be greater"),
        (written(date="yesterday"), "figures.date: String should match pattern"),
        (written(recogniser={"provider": "whisper"}), "figures.recogniser.detail: Field required"),
    ],
    ids=[
        *("empty", "yaml", "deep", "list", "no figures", "figures a list", "figures empty"),
        *("version", "no cores", "negative", "text", "truth", "no number", "without end"),
        *("huge", "no time", "date", "recogniser"),
    ],
)
def test_what_cannot_be_used_is_named(text: str, said: str) -> None:
    with pytest.raises(UnusableFigures) as refused:
        parsed(text)
    assert str(refused.value).startswith(said)
