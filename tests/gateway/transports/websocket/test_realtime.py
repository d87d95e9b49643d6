"""What the URL of a session of the Realtime API asks for."""

import pytest

from gateway.protocols.dialect import ProtocolError
from gateway.transports.websocket.realtime import opened


@pytest.mark.parametrize(
    ("named", "outputs"),
    [
        ("speech_to_speech", ["speech_to_speech"]),
        ("viseme_id,speech_to_speech", ["viseme_id", "speech_to_speech"]),
        ("", None),
    ],
)
def test_mouth_shapes_can_be_asked_for_by_the_url(named: str, outputs: list[str] | None) -> None:
    """It comes before the session object: a front end may be unable to send one with these."""
    given = {"animation": {"outputs": ["viseme_id"]}}
    session, _ = opened(given, {"model": "assistant", "animation": named})
    assert session.payload().get("animation") == (outputs and {"outputs": outputs})
    session, _ = opened(given, {"model": "assistant"})
    assert session.payload()["animation"] == {"outputs": ["viseme_id"]}


def test_mouth_shapes_that_are_not_to_be_had_are_refused_by_their_field() -> None:
    with pytest.raises(ProtocolError) as refused:
        opened({}, {"model": "assistant", "animation": "viseme_id,blendshapes"})
    assert refused.value.code == "invalid_value"
    assert refused.value.param == "session.animation.outputs[1]"
