from benchmarks.speech import answers, turns
from pipeline.frames import INPUT_RATE_HZ


def seconds(longest_ms: int | None = None, shortest_ms: int = 0) -> list[float]:
    return [len(pcm) / INPUT_RATE_HZ for pcm in turns(longest_ms, shortest_ms)]


def test_every_clip_is_a_turn() -> None:
    assert len(seconds()) == len(answers())
    assert max(seconds(longest_ms=3_000)) == 3.0


def test_long_answers_have_8_to_12_s() -> None:
    found = seconds(shortest_ms=8_000)
    assert len(found) == 10
    assert 8 <= min(found) < 9
    assert 11 < max(found) <= 12.2
