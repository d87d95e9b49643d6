"""How sentences end, as recognisers write them."""

import pytest

from pipeline.endings import ending, is_backchannel


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("that is a good question let me think", "thinking"),
        ("Good question.", "thinking"),
        ("Let me think...", "thinking"),
        ("i would look at the logs and", "open"),
        ("I would look at the logs, um", "open"),
        ("it depends on the", "open"),
        ("because", "open"),
        ("well…", "open"),
        ("well, I would say that...", "open"),
        ("we measured it,", "open"),
        ("I started the service –", "open"),
        ("...", "open"),
        ("so we rolled it back and that was it", "closed"),
        ("So we rolled it back, and that was it.", "closed"),
        ("I fixed it. Thank you!", "closed"),
        ("yes", "closed"),
        ("Yes.", "closed"),
        ("Next question, please.", "closed"),
        ("i would look at the logs", "unclear"),
        ("i would look at it", "unclear"),
        ("", "unclear"),
        ("?", "unclear"),
    ],
)
def test_endings(text: str, expected: str) -> None:
    assert ending(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I looked at the logs.", "unclear"),
        ("Is that all right?", "unclear"),
        ("I looked at the logs and.", "open"),
        ("You know, like?", "open"),
    ],
)
def test_a_full_stop_at_a_pause_tells_nothing(text: str, expected: str) -> None:
    assert ending(text) == expected
    assert ending(text.rstrip(".?")) == expected


@pytest.mark.parametrize("text", ["mm-hm", "Uh-huh, okay.", "Yeah. Right.", "MHM"])
def test_signs_of_listening(text: str) -> None:
    assert is_backchannel(text)


@pytest.mark.parametrize("text", ["", "...", "yes", "no", "okay but wait", "I see no reason"])
def test_what_is_more_than_a_sign_of_listening(text: str) -> None:
    assert not is_backchannel(text)
