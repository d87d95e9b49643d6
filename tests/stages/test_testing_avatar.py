"""Every rule for animators catches what it should, and says so in words."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from pipeline.errors import StageFailed
from pipeline.frames import AvatarFrame
from pipeline.stage import Scene
from pipeline.testing import run_virtual
from stages.fakes import FakeAnimator
from stages.testing import NotConforming, animator_conforms


def broken(change: Callable[[AvatarFrame, Scene], Any]) -> dict[str, str]:
    """The rules that an animator breaks whose pictures are changed, each with what was seen."""

    class Changed(FakeAnimator):
        async def animate(self, scene: Scene) -> AsyncIterator[AvatarFrame]:
            async for frame in super().animate(scene):
                if (changed := change(frame, scene)) is not None:
                    yield changed

    with pytest.raises(NotConforming) as caught:
        animator_conforms(Changed, run=run_virtual, patience_s=5)
    return {one.rule: "; ".join(one.seen) for one in caught.value.broken}


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (lambda frame, scene: None, "there was no picture in it"),
        (lambda frame, scene: frame.data, "it gave a bytes"),
        (lambda frame, scene: replace(frame, turn=0), "turn 7 got something of turn 0"),
        (lambda frame, scene: replace(frame, data=b""), "a picture is no bytes but b''"),
        (lambda frame, scene: replace(frame, mime="jpeg"), "no media type but 'jpeg'"),
        (lambda frame, scene: replace(frame, mime="image/jpeg"), "a picture is no JPEG"),
    ],
)
def test_bad_pictures_are_reported(change: Any, seen: str) -> None:
    assert seen in broken(change)["shows pictures"]


def test_pictures_are_for_places_in_the_reply() -> None:
    rule = "keeps to the times of the speech"
    found = broken(lambda frame, scene: replace(frame, at_ms=frame.at_ms - scene.speech.at_ms))
    assert found == {
        rule: "speech from 5000 to 5500 ms: a picture at 0; "
        "speech from 600000 to 600500 ms: a picture at 0"
    }
    found = broken(lambda frame, scene: replace(frame, at_ms=scene.speech.at_ms))
    assert "a picture at 0" in found[rule]
    found = broken(lambda frame, scene: replace(frame, at_ms=None))
    assert "a picture at None" in found[rule]


def test_a_scene_may_fail_but_as_providers_fail() -> None:
    def refuse(frame: AvatarFrame, scene: Scene) -> AvatarFrame:
        if scene.face == "nobody":
            raise KeyError(scene.face)
        if scene.size == 64:
            raise StageFailed("avatar", "changed", "protocol", "too small")
        return frame

    assert broken(refuse) == {
        "takes any scene": "a face that nobody has: KeyError: 'nobody' was raised, no StageError"
    }
