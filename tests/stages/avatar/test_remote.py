import base64
import socket
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pipeline.breaker import Outcome
from pipeline.frames import AvatarFrame, Spoken, Viseme
from pipeline.guard import Limits
from pipeline.stage import Scene
from stages.avatar.jpeg import dimensions
from stages.avatar.remote import LARGEST, MOST_LINE_BYTES, RemoteAnimator
from tests.support.served import free_port

SUCCESS, FAILURE, NEUTRAL = Outcome.SUCCESS, Outcome.FAILURE, Outcome.NEUTRAL
STERN = Limits(first_s=0.3, slow_first_s=0.2, stall_s=0.2, total_s=2)

TONE = np.repeat(np.array([0, 8000, -8000, 0], np.int16), 1600)
"""100 ms of silence, 200 ms of noise, 100 ms of silence at 16 kHz."""

SCENE = Scene(
    Spoken(3, 1000, 16_000, TONE, (Viseme(1100, 200, "aa", 0.5),)), "mira", 320, 100, "speaking"
)

Show = Callable[..., Any]


@pytest.fixture
def show(avatar_peer: Any, bench: Any) -> Show:
    """Has a server animate a scene, through a guard."""

    def show(behaviour: str, scene: Scene = SCENE, **options: Any) -> Any:
        names = {"limits", "leave_after", "then"} & options.keys()
        how = {name: options.pop(name) for name in names}
        url = f"{avatar_peer.url}/{behaviour}/v1"
        return bench.guarded(
            "avatar", RemoteAnimator(url, **options), lambda stage: stage.animate(scene), **how
        )

    return show


def times(result: Any) -> list[int]:
    assert all(isinstance(frame, AvatarFrame) for frame in result.items)
    return [frame.at_ms for frame in result.items]


@pytest.mark.parametrize("behaviour", ["hello", "kept-alive", "bytes"])
def test_a_scene_becomes_pictures_at_their_places_in_the_reply(show: Show, behaviour: str) -> None:
    result = show(behaviour)
    assert times(result) == [1000, 1100, 1200, 1300]
    assert {(frame.turn, frame.mime) for frame in result.items} == {(3, "image/jpeg")}
    assert {dimensions(frame.data) for frame in result.items} == {(320, 320)}
    quiet, loud, still_loud, quiet_again = (frame.data for frame in result.items)
    assert (quiet, loud) == (quiet_again, still_loud)
    assert quiet != loud
    assert result.outcomes == [SUCCESS]


def test_the_server_gets_all_it_needs_and_no_more(show: Show, avatar_peer: Any) -> None:
    show("hello/asked", api_key="sesame-sesame")
    [asked] = avatar_peer.requests("hello/asked")
    headers = asked.pop("headers")
    assert headers["authorization"] == "Bearer sesame-sesame"
    del asked["client"]
    assert asked == {
        "path": "/hello/asked/v1/animations",
        "face": "mira",
        "size": 320,
        "frame_ms": 100,
        "mood": "speaking",
        "rate": 16_000,
        "pcm": base64.b64encode(TONE.astype("<i2").tobytes()).decode(),
        "cues": [{"t": 100, "d": 200, "v": "aa", "w": 0.5}],
    }


@pytest.mark.parametrize(
    ("behaviour", "failure"),
    [
        ("garbage", ("StageFailed", "protocol")),
        ("list", ("StageFailed", "protocol")),
        ("html", ("StageFailed", "protocol")),
        ("json", ("StageFailed", "protocol")),
        ("huge", ("StageFailed", "protocol")),
        ("fat", ("StageFailed", "protocol")),
        ("beyond", ("StageFailed", "protocol")),
        ("before", ("StageFailed", "protocol")),
        ("far-beyond", ("StageFailed", "protocol")),
        ("true", ("StageFailed", "protocol")),
        ("blank", ("StageFailed", "protocol")),
        ("gzip", ("StageFailed", "protocol")),
        ("no-time", ("StageFailed", "protocol")),
        ("png", ("StageFailed", "protocol")),
        ("not-jpeg", ("StageFailed", "protocol")),
        ("cut-off", ("StageFailed", "protocol")),
        ("not-base64", ("StageFailed", "protocol")),
        ("not-ascii", ("StageFailed", "protocol")),
        ("bomb", ("StageFailed", "protocol")),
        ("empty", ("StageFailed", "empty")),
        ("broken", ("StageFailed", "connect")),
        ("unavailable", ("StageBusy", "connect")),
    ],
)
def test_a_server_that_gives_no_picture_that_is_fit_to_be_shown_has_failed(
    show: Show, behaviour: str, failure: tuple[str, str]
) -> None:
    result = show(behaviour)
    assert result.items == []
    assert result.failure == failure
    assert result.outcomes == [FAILURE]


@pytest.mark.parametrize(
    ("behaviour", "pictures", "phase"),
    [
        ("backwards", 1, "protocol"),
        ("endless", 19, "protocol"),
        ("at-once", 19, "protocol"),
        ("twice", 1, "protocol"),
        ("error", 1, "stream"),
        ("reset", 3, "stream"),
    ],
)
def test_what_comes_before_a_fault_counts(
    show: Show, behaviour: str, pictures: int, phase: str
) -> None:
    result = show(behaviour)
    assert len(result.items) == pictures
    assert result.failure == ("StageFailed", phase)
    assert result.outcomes == [FAILURE]


@pytest.mark.parametrize("behaviour", ["silent", "stall", "crawls"])
def test_a_server_that_keeps_one_waiting_is_left(show: Show, behaviour: str) -> None:
    result = show(behaviour, limits=STERN)
    assert result.failure is not None
    assert result.failure[0] == "StageTimeout"
    assert result.outcomes == [FAILURE]


@pytest.mark.parametrize("behaviour", ["missing", "redirect"])
def test_our_own_mistake_is_not_held_against_the_server(show: Show, behaviour: str) -> None:
    result = show(behaviour)
    assert result.failure == ("HttpRefused", "connect")
    assert result.outcomes == [NEUTRAL]


def test_a_line_that_is_not_whole_is_no_picture(show: Show) -> None:
    result = show("half")
    assert times(result) == [1000]
    assert result.outcomes == [SUCCESS]


def test_a_large_picture_is_refused_by_its_size(show: Show) -> None:
    error = show("bomb").error
    assert "65500 × 65500 pixels" in str(error.detail)
    assert LARGEST < 65_500
    assert str(MOST_LINE_BYTES) in str(show("huge").error.detail)


def test_a_server_sees_that_its_client_has_gone(show: Show, avatar_peer: Any) -> None:
    result = show("stall/left", leave_after=1, then=lambda: avatar_peer.disconnected("stall/left"))
    assert times(result) == [1000]


def test_a_server_that_is_not_there_has_failed(bench: Any) -> None:
    animator = RemoteAnimator(f"http://127.0.0.1:{free_port()}")
    result = bench.guarded("avatar", animator, lambda stage: stage.animate(SCENE))
    assert result.failure == ("StageFailed", "connect")


def test_a_server_that_takes_no_connection_is_given_up(bench: Any) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as hole:
        port = hole.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):  # its queue is full now
            animator = RemoteAnimator(f"http://127.0.0.1:{port}")
            result = bench.guarded(
                "avatar", animator, lambda stage: stage.animate(SCENE), limits=STERN
            )
    assert result.failure == ("StageTimeout", "first")
