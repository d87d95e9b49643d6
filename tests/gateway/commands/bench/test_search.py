import pytest

from gateway.commands.bench.search import Search


def run(search: Search, holds: int, luck: dict[int, bool] | None = None) -> list[int]:
    """Search where up to `holds` sessions hold, but for tries in `luck`; returns the tries."""
    tries = []
    while (sessions := search.next()) is not None:
        tries.append(sessions)
        assert len(tries) < 40
        held = (luck or {}).pop(sessions, sessions <= holds)
        search.tell(sessions, held)
    return tries


@pytest.mark.parametrize("start", [1, 10, 200, 1000])
@pytest.mark.parametrize("holds", [1, 7, 30, 31, 260, 999, 1000])
def test_the_largest_number_is_found_to_a_twentieth(start: int, holds: int) -> None:
    search = Search(start)
    run(search, holds)
    assert search.found <= holds
    assert holds - search.found <= max(1, round(holds * 0.05))


def test_nothing_holds() -> None:
    search = Search(10)
    assert run(search, 0) == [10, 6, 4, 2, 1]
    assert search.found == 0


def test_it_goes_up_by_half_and_then_halves_the_gap() -> None:
    search = Search(100)
    assert run(search, 190) == [100, 150, 225, 187, 206, 196]
    assert search.found == 187


def test_it_does_not_go_beyond_the_most() -> None:
    search = Search(100, most=200)
    assert run(search, 1000) == [100, 150, 200]
    assert search.found == 200


def test_a_start_beyond_the_most_is_the_most() -> None:
    search = Search(500, most=50)
    assert run(search, 1000) == [50]


def test_a_failure_below_what_held_is_searched_again() -> None:
    search = Search(100)
    search.tell(100, True)
    search.tell(90, False)
    assert search.found == 0
    assert search.failed == 90
    search.tell(95, True)
    assert (search.found, search.failed) == (95, None)
