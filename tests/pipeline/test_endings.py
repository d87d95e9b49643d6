"""How sentences end, as recognisers write them."""

import pytest

from pipeline.endings import ending


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("that is a good question let me think", "thinking"),
        ("Good question.", "thinking"),
        ("i would look at the logs and", "open"),
        ("I would look at the logs, um", "open"),
        ("it depends on the", "open"),
        ("because", "open"),
        ("well…", "open"),
        ("well, I would say that...", "open"),
        ("we measured it,", "open"),
        ("I fixed it.", "closed"),
        ("Is that all right?", "closed"),
        ("so we rolled it back and that was it", "closed"),
        ("yes", "closed"),
        ("next question please", "closed"),
        ("i would look at the logs", "unclear"),
        ("", "unclear"),
        ("...", "open"),
        ("?", "unclear"),
    ],
)
def test_endings(text: str, expected: str) -> None:
    assert ending(text) == expected
