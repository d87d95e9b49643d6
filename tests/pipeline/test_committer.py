"""Turns that are over, handed to the host in their order."""

import asyncio
from types import SimpleNamespace
from typing import Any

from pipeline.committer import TurnCommitter
from pipeline.testing import run_virtual


class Store:
    """Keeps what it is handed."""

    def __init__(self) -> None:
        self.log: list[tuple[Any, ...]] = []

    async def commit(self, turn: int, text: str, heard: str, calls: Any) -> None:
        self.log.append(("commit", turn, heard))

    async def correct(self, turn: int, heard: str) -> None:
        self.log.append(("correct", turn, heard))


def answer(turn: int) -> Any:
    async def stored() -> None: ...

    budget = SimpleNamespace(metrics=lambda turn: None)
    return SimpleNamespace(turn=turn, text="yes", budget=budget, stored=stored)


def test_what_was_heard_is_not_corrected_once_a_later_turn_is_settled() -> None:
    store: Any = Store()

    async def story() -> None:
        committer = TurnCommitter(store, lambda output: None)
        async with asyncio.TaskGroup() as tasks:
            committer.settle(tasks, answer(0), "Tell me more")
            committer.correct(tasks, 0, "Tell me")
            committer.settle(tasks, answer(1), "Thank you")
            committer.correct(tasks, 0, "Tell")
            committer.correct(tasks, 1, "Thank")

    run_virtual(story())
    assert store.log == [
        ("commit", 0, "Tell me more"),
        ("correct", 0, "Tell me"),
        ("commit", 1, "Thank you"),
        ("correct", 1, "Thank"),
    ]
