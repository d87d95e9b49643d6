from pathlib import Path

import pytest

from gateway.workers.board import ABSENT, ACCEPTING, REFUSING, LoadBoard


@pytest.fixture
def board(tmp_path: Path) -> LoadBoard:
    return LoadBoard.create(tmp_path / "board", 3)


def test_what_one_process_notes_is_seen_by_another(board: LoadBoard, tmp_path: Path) -> None:
    other = LoadBoard(tmp_path / "board", 3)
    assert [other.state(worker) for worker in range(3)] == [ABSENT] * 3
    board.note(1, 7, accepting=True)
    board.note(2, 9, accepting=False)
    assert [other.state(worker) for worker in range(3)] == [ABSENT, ACCEPTING, REFUSING]
    assert [other.load(worker) for worker in range(3)] == [0, 7, 9]


def test_a_connection_on_its_way_counts_for_the_process_that_gets_it(board: LoadBoard) -> None:
    board.note(1, 4, accepting=True)
    board.handed(0, 1)
    board.handed(2, 1)
    assert board.load(1) == 6
    board.received(1, 0)
    assert board.load(1) == 5
    board.received(1, 2)
    assert board.load(1) == 4


def test_a_connection_that_arrives_before_it_is_noted_counts_as_none(board: LoadBoard) -> None:
    board.received(1, 0)
    assert board.load(1) == 0
    board.handed(0, 1)
    assert board.load(1) == 0


def test_nothing_is_on_its_way_to_a_process_that_begins_anew(board: LoadBoard) -> None:
    board.note(1, 4, accepting=True)
    board.handed(0, 1)
    board.reset(1)
    assert (board.state(1), board.load(1)) == (ABSENT, 0)
    board.handed(0, 1)
    assert board.load(1) == 1
