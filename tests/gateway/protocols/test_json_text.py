"""Messages as JSON."""

import json

import pytest

from gateway.protocols.json_text import json_text


@pytest.mark.parametrize(
    "message",
    [
        {"type": "reply.text", "seq": 7, "text": "“Fünf” 😀", "words": [{"at_ms": 0.5}]},
        {"text": "half a pair: \ud83d", "none": None, "pair": (1, 2)},
    ],
    ids=["whole", "half a surrogate pair"],
)
def test_a_message_is_the_same_when_it_is_read(message: dict[str, object]) -> None:
    text = json_text(message)
    assert json.loads(json.dumps(message)) == json.loads(text)
    text.encode()  # may be sent


def test_a_message_has_no_spaces_between_its_parts() -> None:
    assert json_text({"a": [1, "b c"], "d": None}) == '{"a":[1,"b c"],"d":null}'
