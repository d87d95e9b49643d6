"""Which picture goes out when: loops, live pictures and the ways between them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.transports.webrtc.schedule import (
    GROUP_MS,
    HOLD_MS,
    KEYFRAME_EVERY_MS,
    MOST_HELD,
    Drawn,
    Shared,
    VideoSchedule,
)
from pipeline.frames import AvatarMood, Viseme, Visemes
from stages.avatar.face import MOODS
from stages.avatar.loops import GROUP, LOOP_FRAME_MS, LOOP_PICTURES, Loop
from stages.avatar.quality import QUALITY_LEVELS
from stages.avatar.timeline import CLOSED, idle_pose

FULL, HALF, SMALL, NOTHING = QUALITY_LEVELS
WIDE = (("aa", 4),)


def loop(mood: AvatarMood, size: int = 320) -> Loop:
    units = tuple(f"{mood} {size} {number}".encode() for number in range(LOOP_PICTURES))
    return Loop("vp8", size, mood, units)


@dataclass
class Evening:
    """A play and its clock; pictures are sent as soon as they are due."""

    play: VideoSchedule
    now_ms: float = 0.0
    cursor: tuple[int, float] | None = None
    sent: list[Shared | Drawn] = field(default_factory=list)

    def until(self, ms: float) -> list[Shared | Drawn]:
        """Let time pass; what was sent meanwhile."""
        before = len(self.sent)
        while (due := self.play.due_ms(self.now_ms)) <= ms:
            began, self.now_ms = self.now_ms, max(self.now_ms, due)
            self.hear(self.now_ms - began)
            self.show(due)
        self.hear(ms - self.now_ms)
        self.now_ms = ms
        return self.sent[before:]

    def hear(self, ms: float) -> None:
        if self.cursor is not None:
            self.cursor = self.cursor[0], self.cursor[1] + ms

    def show(self, due: int) -> None:
        picture = self.play.picture(due, self.cursor)
        if picture is not None:
            self.play.sent(picture)
            self.sent.append(picture)

    def speak(self, turn: int = 1) -> None:
        self.play.mood("speaking", self.now_ms)
        self.cursor = turn, 0.0

    def fall_silent(self, mood: AvatarMood = "idle") -> None:
        self.play.mood(mood, self.now_ms)
        self.cursor = None


@pytest.fixture
def evening() -> Evening:
    play = VideoSchedule(FULL, FULL)
    for mood in MOODS:
        play.have(loop(mood))
    return Evening(play)


def vowel(turn: int, at_ms: int = 0, duration_ms: int = 60_000) -> Visemes:
    return Visemes(turn, at_ms, (Viseme(at_ms, duration_ms, "aa"),))


def units(pictures: list[Shared | Drawn]) -> list[str]:
    return [p.unit.decode() for p in pictures if isinstance(p, Shared)]


def drawn(pictures: list[Shared | Drawn]) -> list[Drawn]:
    return [picture for picture in pictures if isinstance(picture, Drawn)]


# --- loops --------------------------------------------------------------------------------------


def test_who_says_nothing_is_shown_a_loop_in_order_and_no_picture_is_drawn(
    evening: Evening,
) -> None:
    shown = evening.until(2 * LOOP_PICTURES * LOOP_FRAME_MS - 1)
    assert units(shown) == [f"idle 320 {n % LOOP_PICTURES}" for n in range(2 * LOOP_PICTURES)]
    assert [p.at_ms for p in shown] == [n * LOOP_FRAME_MS for n in range(2 * LOOP_PICTURES)]
    assert [p.keyframe for p in shown] == [n % GROUP == 0 for n in range(2 * LOOP_PICTURES)]


def test_before_the_loops_are_there_nothing_is_shown_and_then_a_keyframe_at_once() -> None:
    evening = Evening(VideoSchedule(FULL, FULL))
    assert evening.until(500) == []
    evening.play.have(loop("idle"))
    shown = evening.until(1000)
    assert [(p.at_ms, p.keyframe) for p in shown[:4]] == [
        (560, True),
        (640, False),
        (720, False),
        (800, True),
    ]
    assert units(shown) == [f"idle 320 {n}" for n in (10, 11, 12, 10, 11, 12)]


def test_another_mood_waits_for_a_keyframe(evening: Evening) -> None:
    evening.until(100)
    evening.play.mood("listening", evening.now_ms)
    shown = evening.until(900)
    assert units(shown) == [f"idle 320 {n}" for n in range(2, 10)] + [
        "listening 320 10",
        "listening 320 11",
    ]


def test_a_mood_without_a_loop_shows_that_of_the_mood_before() -> None:
    evening = Evening(VideoSchedule(FULL, FULL))
    evening.play.have(loop("idle"))
    evening.play.mood("thinking", 0)
    assert units(evening.until(100)) == ["idle 320 0", "idle 320 1"]
    evening.play.have(loop("thinking"))
    assert units(evening.until(800))[-1] == "thinking 320 10"


def test_drawing_goes_on_until_there_is_a_loop_to_go_back_to() -> None:
    evening = Evening(VideoSchedule(FULL, FULL))
    evening.play.have(loop("idle"))
    evening.speak()
    evening.until(400)
    evening.fall_silent("listening")
    assert units(evening.until(3000)) == []
    evening.play.have(loop("listening"))
    assert units(evening.until(3200)) == ["listening 320 40"]


def test_who_wakes_late_shows_one_picture_and_leaves_none_out_that_others_refer_to(
    evening: Evening,
) -> None:
    evening.until(100)
    evening.now_ms = 415.0  # the slots of 160 to 400 have passed
    shown = evening.until(1000)
    assert [p.at_ms for p in shown] == [400, 480, 560, 640, 720, 800, 880, 960]
    assert units(shown) == [f"idle 320 {n}" for n in (2, 3, 4, 5, 6, 10, 11, 12)]


def test_who_slept_through_a_keyframe_shows_another(evening: Evening) -> None:
    evening.until(100)
    evening.now_ms = 3000.0
    shown = evening.until(3300)
    assert [(p.at_ms, p.keyframe) for p in shown[:2]] == [(2960, True), (3040, False)]
    assert units(shown) == [f"idle 320 {n}" for n in (40, 41, 42, 40, 41)]


# --- keyframes on demand ------------------------------------------------------------------------


@pytest.mark.parametrize(("asked_ms", "expected"), [(200, (0, 1, 2)), (500, (10, 11, 12))])
def test_a_request_is_met_with_the_nearest_keyframe(
    evening: Evening, asked_ms: int, expected: tuple[int, ...]
) -> None:
    evening.until(asked_ms)
    evening.play.want_keyframe()
    shown = evening.until(asked_ms + 3 * LOOP_FRAME_MS)
    assert units(shown) == [f"idle 320 {n}" for n in expected]
    assert units(evening.until(GROUP_MS))[-1] == "idle 320 10"


def test_requests_without_end_cost_two_keyframes_a_second(evening: Evening) -> None:
    for _ in range(1000):
        evening.play.want_keyframe()
        evening.until(evening.now_ms + 10)
    keyframes = [p.at_ms for p in evening.sent if p.keyframe]
    assert len(keyframes) <= 10 * (1000 / KEYFRAME_EVERY_MS + 1000 / GROUP_MS)
    evening.speak()
    before = len(evening.sent)
    for _ in range(1000):
        evening.play.want_keyframe()
        evening.until(evening.now_ms + 10)
    keyframes = [p.at_ms for p in evening.sent[before + 1 :] if p.keyframe]
    assert [b - a for a, b in pairwise(keyframes)] == [520] * 18  # the next slot after 500


def test_a_request_that_comes_too_soon_is_met_later(evening: Evening) -> None:
    evening.speak()
    evening.until(1000)
    for at_ms in (1000, 1200):
        evening.until(at_ms)
        evening.play.want_keyframe()
    evening.until(2000)
    assert [p.at_ms for p in evening.sent if p.keyframe] == [0, 1040, 1560]


# --- speaking -----------------------------------------------------------------------------------


def test_speech_is_drawn_from_the_next_slot_on_beginning_with_a_keyframe(
    evening: Evening,
) -> None:
    evening.until(1010)
    evening.speak()
    evening.play.add(vowel(1))
    shown = evening.until(1500)
    assert [p.at_ms for p in shown] == list(range(1040, 1500, 40))
    assert [p.keyframe for p in shown] == [True] + [False] * 11
    assert len(drawn(shown)) == 12
    assert drawn(shown)[-1].pose.mouth == WIDE


def test_the_mouth_is_that_of_the_middle_of_the_time_for_which_a_picture_is_shown(
    evening: Evening,
) -> None:
    evening.speak()
    evening.play.add(Visemes(1, 0, (Viseme(0, 400, "sil"), Viseme(400, 400, "PP"))))
    poses = {p.at_ms: p.pose.mouth for p in drawn(evening.until(1000))}
    closed_from = min(at for at, mouth in poses.items() if mouth == (("PP", 4),))
    assert closed_from == 400  # of the pictures from 380 on: lips meet before their sound begins


def test_the_loop_comes_back_at_its_keyframe_and_looks_as_it_did(evening: Evening) -> None:
    evening.until(100)
    evening.speak()
    evening.play.add(vowel(1, duration_ms=1000))
    evening.until(2010)
    evening.fall_silent()
    shown = evening.until(4000)
    back = next(p.at_ms for p in shown if isinstance(p, Shared))
    assert back == 2400
    assert [p.at_ms for p in drawn(shown)] == list(range(2040, 2400, 40))
    assert drawn(shown)[-1].pose == idle_pose("idle", back - 40)
    assert units(shown)[:2] == ["idle 320 30", "idle 320 31"]
    assert not evening.play.live


def test_no_loop_takes_over_while_the_face_does_not_look_like_it(evening: Evening) -> None:
    evening.speak()
    evening.until(2390)
    evening.cursor = None
    evening.until(2390 + HOLD_MS)
    evening.play.mood("thinking", 3190)  # it is looking away: the lids are not those of the loop
    shown = evening.until(4900)
    assert next(p.at_ms for p in shown if isinstance(p, Shared)) == 4000


def test_a_gap_between_two_sounds_is_no_end(evening: Evening) -> None:
    evening.speak()
    evening.until(750)
    evening.cursor = None
    evening.until(750 + HOLD_MS - 40)
    evening.cursor = 1, 800.0
    shown = evening.until(2000)
    assert units(shown) == []


def test_a_picture_that_was_not_drawn_leaves_its_keyframe_to_the_next(evening: Evening) -> None:
    evening.until(100)
    evening.speak()
    for due in (120, 160):
        evening.now_ms = due
        assert evening.play.due_ms(due) == due
        picture = evening.play.picture(due, evening.cursor)  # and it is never sent
        assert isinstance(picture, Drawn)
        assert picture.keyframe
    assert [p.keyframe for p in evening.until(240)] == [True, False]


@pytest.mark.parametrize("rung", [FULL, HALF])
@pytest.mark.parametrize("into_ms", [0, 1, 13, 39, 40, 77])
def test_the_mouth_of_an_interrupted_reply_is_closed_within_80_ms(
    evening: Evening, rung: object, into_ms: int
) -> None:
    evening.play.step(QUALITY_LEVELS[QUALITY_LEVELS.index(rung)])  # type: ignore[arg-type]
    evening.speak()
    evening.play.add(vowel(1))
    evening.until(1000 + into_ms)
    assert drawn(evening.sent)[-1].pose.mouth == WIDE
    evening.cursor = None
    evening.play.clear(evening.now_ms)
    evening.play.mood("listening", evening.now_ms)
    shown = drawn(evening.until(2000))
    first = shown[0].at_ms - evening.now_ms
    closed = next(p.at_ms for p in shown if p.pose.mouth == CLOSED)
    assert first <= 20
    assert closed - (1000 + into_ms) <= 80
    assert [b - a for a, b in pairwise(p.at_ms for p in shown if p.at_ms > closed + 80)][:4] == [
        rung.frame_ms  # type: ignore[attr-defined]
    ] * 4


def test_visemes_of_the_next_reply_wait_until_it_is_played(evening: Evening) -> None:
    evening.speak(1)
    evening.play.add(vowel(1))
    evening.until(500)
    evening.play.add(Visemes(2, 0, (Viseme(0, 60_000, "ou"),)))
    evening.play.add(vowel(1, 60_000))
    assert drawn(evening.until(900))[-1].pose.mouth == WIDE
    evening.cursor = 2, 0.0
    assert drawn(evening.until(1300))[-1].pose.mouth == (("ou", 4),)
    evening.play.add(vowel(1))  # that one is over
    assert drawn(evening.until(1700))[-1].pose.mouth == (("ou", 4),)


def test_visemes_of_replies_that_are_over_take_no_place(evening: Evening) -> None:
    evening.speak(2)
    evening.until(500)
    evening.play.add(vowel(3))
    for number in range(MOST_HELD):
        evening.play.add(vowel(1, number))
    evening.cursor = 3, 0.0
    assert drawn(evening.until(900))[-1].pose.mouth == WIDE


def test_visemes_of_replies_that_are_never_played_are_bounded() -> None:
    play = VideoSchedule(FULL, FULL)
    for number in range(10 * MOST_HELD):
        play.add(vowel(7, number))
    assert len(play._held) == MOST_HELD


# --- the ladder ---------------------------------------------------------------------------------


def test_a_rung_down_draws_fewer_and_then_smaller_pictures_from_a_keyframe_on(
    evening: Evening,
) -> None:
    evening.speak()
    evening.until(1000)
    evening.play.step(HALF)
    half = drawn(evening.until(2000))
    assert [p.at_ms for p in half] == list(range(1040, 2001, 80))
    assert [p.keyframe for p in half] == [True] + [False] * 12
    evening.play.step(SMALL)
    small = drawn(evening.until(3000))
    assert {p.size for p in small} == {192}
    assert [p.keyframe for p in small] == [True] + [False] * 11
    evening.play.step(FULL)
    assert {(p.size, p.frame_ms) for p in drawn(evening.until(4000))} == {(320, 40)}


def test_on_the_last_rung_the_mouth_closes_and_the_loop_goes_on(evening: Evening) -> None:
    evening.speak()
    evening.play.add(vowel(1))
    evening.until(1000)
    evening.play.step(NOTHING)
    shown = evening.until(3000)
    back = next(p.at_ms for p in shown if isinstance(p, Shared))
    assert back == 1600
    assert [p.pose.mouth for p in drawn(shown) if p.at_ms > 1100] == [CLOSED] * 12
    assert units(shown)[0] == "speaking 320 20"
    evening.play.step(SMALL)
    shown = evening.until(3400)
    assert [p.at_ms for p in drawn(shown)] == [3040, 3120, 3200, 3280, 3360]
    assert drawn(shown)[-1].pose.mouth == WIDE


def test_on_the_last_rung_without_loops_nothing_is_shown() -> None:
    evening = Evening(VideoSchedule(FULL, FULL))
    evening.speak()
    evening.until(300)
    evening.play.step(NOTHING)
    evening.until(900)
    assert evening.until(5000) == []


def test_a_track_that_begins_on_the_last_rung_shows_loops_of_full_size() -> None:
    evening = Evening(VideoSchedule(NOTHING, FULL))
    assert evening.play.size == 320
    evening.play.have(loop("idle"))
    evening.speak()
    assert len(units(evening.until(999))) == 13


def test_loops_of_another_size_are_taken_at_a_keyframe(evening: Evening) -> None:
    evening.until(100)
    evening.play.step(SMALL)
    assert evening.play.size == 192
    evening.play.have(loop("idle", 192))
    shown = units(evening.until(900))
    assert shown[:8] == [f"idle 320 {n}" for n in range(2, 10)]
    assert shown[8:] == ["idle 192 10", "idle 192 11"]


# --- whatever happens ---------------------------------------------------------------------------

EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("mood"), st.sampled_from(MOODS)),
        st.tuples(st.just("cursor"), st.sampled_from([None, (1, 0.0), (2, 500.0)])),
        st.tuples(st.just("clear"), st.none()),
        st.tuples(st.just("keyframe"), st.none()),
        st.tuples(st.just("step"), st.sampled_from(QUALITY_LEVELS)),
        st.tuples(st.just("have"), st.tuples(st.sampled_from(MOODS), st.sampled_from([192, 320]))),
        st.tuples(st.just("sleep"), st.integers(0, 2500)),
        st.tuples(st.just("refused"), st.none()),
        st.tuples(st.just("pass"), st.integers(0, 1500)),
    ),
    max_size=40,
)


def happen(evening: Evening, kind: str, value: object) -> None:
    play = evening.play
    match kind, value:
        case "mood", str(mood):
            play.mood(mood, evening.now_ms)  # type: ignore[arg-type]
        case "cursor", None | (_, _):
            evening.cursor = value  # type: ignore[assignment]
        case "clear", _:
            evening.cursor = None
            play.clear(evening.now_ms)
        case "keyframe", _:
            play.want_keyframe()
        case "step", _:
            play.step(value)  # type: ignore[arg-type]
        case "have", (mood, size):
            play.have(loop(mood, size))
        case "sleep", int(ms):
            evening.now_ms += ms
        case "refused", _:
            evening.now_ms = max(evening.now_ms, play.due_ms(evening.now_ms))
            play.picture(play.due_ms(evening.now_ms), evening.cursor)
        case "pass", int(ms):
            evening.until(evening.now_ms + ms)


def faults(sent: list[Shared | Drawn]) -> Iterator[str]:
    """Pictures that a decoder could not show, or that come in bursts."""
    before: Shared | Drawn | None = None
    for picture in sent:
        if before is None:
            if not picture.keyframe:
                yield "the first is no keyframe"
        else:
            if picture.at_ms - before.at_ms < 20:
                yield f"{picture.at_ms}: a burst"
            if isinstance(picture, Drawn):
                refers = isinstance(before, Drawn) and before.size == picture.size
            else:
                refers = (
                    isinstance(before, Shared)
                    and before.loop is picture.loop
                    and before.number + 1 == picture.number
                )
            if not picture.keyframe and not refers:
                yield f"{picture.at_ms}: refers to nothing"
        before = picture


@given(events=EVENTS)
def test_whatever_happens_every_picture_can_be_decoded(events: list[tuple[str, object]]) -> None:
    evening = Evening(VideoSchedule(FULL, FULL))
    for kind, value in events:
        happen(evening, kind, value)
    evening.until(evening.now_ms + 2000)
    assert list(faults(evening.sent)) == []
