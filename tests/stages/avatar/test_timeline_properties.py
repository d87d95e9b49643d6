from hypothesis import given
from hypothesis import strategies as st

from pipeline.frames import VISEMES, Viseme
from stages.avatar.timeline import ATTACK_MS, CLOSURES, QUARTERS, Mouth, Track

FRAME_MS = 40


@st.composite
def speech(draw: st.DrawFn, least_ms: int = 1) -> list[Viseme]:
    """Cues without gap or overlap, as `stages.tts.visemes.timeline` makes them."""
    cues: list[Viseme] = []
    at_ms = 0
    parts = st.tuples(st.sampled_from(VISEMES), st.integers(least_ms, 250))
    for shape, duration_ms in draw(st.lists(parts, max_size=30)):
        if not cues or cues[-1].shape != shape:
            cues.append(Viseme(at_ms, duration_ms, shape))
            at_ms += duration_ms
    return [*cues, Viseme(at_ms, 0, "sil")]


def weight(mouth: Mouth, shape: str) -> int:
    return dict(mouth).get(shape, 0)


@given(speech(), st.integers(-500, 9000))
def test_a_mouth_is_one_or_two_shapes_in_quarters(cues: list[Viseme], position_ms: int) -> None:
    mouth = Track(cues).at(position_ms)
    shapes = [shape for shape, _ in mouth]
    assert len(mouth) in (1, 2)
    assert sum(quarters for _, quarters in mouth) == QUARTERS
    assert all(quarters > 0 for _, quarters in mouth)
    assert shapes == sorted(set(shapes), key=VISEMES.index)


@given(speech(), st.integers(0, FRAME_MS - 1))
def test_every_closure_is_seen_complete_at_25_pictures_a_second(
    cues: list[Viseme], phase_ms: int
) -> None:
    track = Track(cues)
    closures = [cue for cue in cues if cue.shape in CLOSURES]
    for index, cue in enumerate(closures):
        next_ms = closures[index + 1].at_ms if index + 1 < len(closures) else None
        if next_ms is not None and next_ms - cue.at_ms < FRAME_MS + 2:
            continue  # no time for both
        first_ms = cue.at_ms + (phase_ms - cue.at_ms) % FRAME_MS
        shown = [track.at(at_ms) for at_ms in (first_ms, first_ms + FRAME_MS)]
        assert ((cue.shape, QUARTERS),) in shown


@given(speech(least_ms=ATTACK_MS))
def test_the_mouth_does_not_jump(cues: list[Viseme]) -> None:
    """With sounds that leave time for it, no shape changes by half within a few milliseconds."""
    track = Track(cues)
    previous = track.at(-1)
    for at_ms in range(0, cues[-1].at_ms + 200, 5):
        mouth = track.at(at_ms)
        for shape in VISEMES:
            assert abs(weight(mouth, shape) - weight(previous, shape)) <= 1
        previous = mouth


@given(speech(least_ms=ATTACK_MS + FRAME_MS))
def test_every_sound_long_enough_is_shown_complete(cues: list[Viseme]) -> None:
    track = Track(cues)
    for cue in cues[:-1]:
        shown = [track.at(at_ms) for at_ms in range(cue.at_ms, cue.at_ms + cue.duration_ms)]
        assert ((cue.shape, QUARTERS),) in shown


@given(speech())
def test_the_mouth_is_closed_in_the_end(cues: list[Viseme]) -> None:
    assert Track(cues).at(cues[-1].at_ms + 250) == (("sil", QUARTERS),)


@given(speech())
def test_the_mouth_never_lags_by_more_than_a_shape_s_time(cues: list[Viseme]) -> None:
    """A shape is never shown complete long after its sound: lag does not add up."""
    track = Track(cues)
    for at_ms in range(0, cues[-1].at_ms, 10):
        near = {
            cue.shape
            for cue in cues
            if cue.at_ms - 2 * ATTACK_MS <= at_ms <= cue.at_ms + cue.duration_ms + 2 * ATTACK_MS
        }
        assert {shape for shape, _ in track.at(at_ms)} <= near | {"sil"}


@given(
    st.lists(
        st.builds(
            Viseme,
            st.integers(-100, 3000),
            st.integers(-50, 400),
            st.sampled_from([*VISEMES, "", "smile"]),
            st.floats(-1, 2),
        )
    ),
    st.floats(-100, 5000),
)
def test_cues_in_any_disorder_give_a_mouth(cues: list[Viseme], position_ms: float) -> None:
    assert sum(quarters for _, quarters in Track(cues).at(position_ms)) == QUARTERS
