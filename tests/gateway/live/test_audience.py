"""Who listens to a session beside its client: how many, until when, and what a faulty one costs."""

import numpy as np
import pytest

from gateway.live.audience import MOST_LISTENERS, Audience, AudienceFull
from gateway.live.registry import LiveSessions
from pipeline.frames import Clear, Samples
from pipeline.stage import Observed
from pipeline.testing import run_virtual


class Ear:
    def __init__(self, *, fails: bool = False) -> None:
        self.heard: list[Observed] = []
        self.ended = 0
        self._fails = fails

    def observe(self, output: Observed, now: float) -> None:
        if self._fails:
            raise RuntimeError("no")
        self.heard.append(output)

    def over(self) -> None:
        self.ended += 1


def test_each_listener_hears_what_follows_its_coming() -> None:
    audience, first, second = Audience(24_000), Ear(), Ear()
    audience.observe(Clear(0, 0), 0.0)
    audience.join(first)
    audience.observe(Clear(1, 0), 0.0)
    audience.join(second)
    audience.observe(Clear(2, 0), 0.0)
    audience.leave(first)
    audience.leave(first)
    audience.observe(Clear(3, 0), 0.0)
    assert first.heard == [Clear(1, 0), Clear(2, 0)]
    assert second.heard == [Clear(2, 0), Clear(3, 0)]


def test_a_listener_that_fails_is_sent_away_and_the_others_hear_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    audience, faulty, good = Audience(24_000), Ear(fails=True), Ear()
    audience.join(faulty)
    audience.join(good)
    audience.observe(Clear(1, 0), 0.0)
    audience.observe(Clear(2, 0), 0.0)
    assert (faulty.ended, len(audience), len(caplog.records)) == (1, 1, 1)
    assert good.heard == [Clear(1, 0), Clear(2, 0)]


def test_there_is_a_place_again_when_one_has_left() -> None:
    audience = Audience(24_000)
    listeners = [Ear() for _ in range(MOST_LISTENERS)]
    for one in listeners:
        audience.join(one)
    with pytest.raises(AudienceFull, match=f"^{MOST_LISTENERS} are listening"):
        audience.join(Ear())
    audience.leave(listeners[0])
    audience.join(Ear())
    assert len(audience) == MOST_LISTENERS


def test_the_end_is_told_also_to_one_who_comes_after_it() -> None:
    audience, before, after = Audience(24_000), Ear(), Ear()
    audience.join(before)
    audience.close()
    audience.join(after)
    assert (before.ended, after.ended) == (1, 1)


async def _held() -> None:
    live, audience, listener = LiveSessions(2), Audience(24_000), Ear()
    assert live.audience("s") is None
    async with live.hold("s", lambda: None):
        assert live.audience("s") is None
        with live.heard_by("s", audience):
            assert live.audience("s") is audience
            audience.join(listener)
        assert live.audience("s") is None
        assert listener.ended == 1
    assert live.audience("s") is None


def test_a_session_can_be_listened_to_while_it_is_live() -> None:
    run_virtual(_held())


def test_the_person_of_the_session_takes_no_place_and_gives_its_own_to_itself() -> None:
    audience, first, second = Audience(24_000), Ear(), Ear()
    for _ in range(MOST_LISTENERS):
        audience.join(Ear())
    audience.join(first, person=True)
    audience.join(second, person=True)
    assert (first.ended, second.ended, len(audience)) == (1, 0, MOST_LISTENERS + 1)
    audience.leave(first)
    assert audience.has_person
    audience.leave(second)
    assert not audience.has_person
    with pytest.raises(AudienceFull):
        audience.join(Ear())


class Blend:
    """A `gateway.live.audience.Mixed`."""

    def __init__(self, *, fails: str = "") -> None:
        self.got: list[str] = []
        self._fails = fails

    def _note(self, what: str) -> None:
        self.got.append(what)
        if what == self._fails:
            raise RuntimeError("no")

    def observe(self, output: Observed, now: float) -> None:
        self._note("output")

    def hear(self, pcm: Samples) -> None:
        self._note("person")

    def over(self) -> None:
        self._note("over")


def test_both_voices_are_mixed_while_somebody_listens() -> None:
    audience, ear = Audience(24_000), Ear()
    audience.hear(np.zeros(320, np.int16))
    audience.mixed = blend = Blend()
    audience.hear(np.zeros(320, np.int16))
    audience.observe(Clear(0, 0), 0.0)
    assert blend.got == []
    audience.join(ear)
    audience.hear(np.zeros(320, np.int16))
    audience.observe(Clear(0, 0), 0.0)
    assert (blend.got, len(ear.heard)) == (["person", "output"], 1)


@pytest.mark.parametrize("fails", ["person", "output"])
def test_a_mix_that_fails_is_given_up_and_costs_the_session_nothing(
    caplog: pytest.LogCaptureFixture, fails: str
) -> None:
    audience, ear = Audience(24_000), Ear()
    audience.mixed = blend = Blend(fails=fails)
    audience.join(ear)
    for _ in range(2):
        audience.hear(np.zeros(320, np.int16))
        audience.observe(Clear(0, 0), 0.0)
    assert blend.got[-2:] == [fails, "over"]
    assert (audience.mixed, len(ear.heard), len(caplog.records)) == (None, 2, 1)
