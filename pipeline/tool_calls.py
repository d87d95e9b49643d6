"""Runs the functions that a reply calls, and says a line if they take long."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.stage import Tool, ToolRequest
from pipeline.tool_rounds import LIMIT_S, ToolRound, ToolRun, problem

logger = logging.getLogger("parley.session")

SLOW_S = 1.0
"""How much silence, while a function runs, brings a line. Assumed: the usual turn's budget."""


class ToolFailed(Exception):
    """A function gave no result. The text says why, for the model."""


@dataclass(frozen=True, slots=True)
class OwnTool:
    """A function that a session runs for its replies.

    `call` gets the turn, the call and its arguments, and returns the result: text for the model. It
    raises `ToolFailed`; cancelling it, which the end of its turn and of `limit_s` do, stops it.
    `filler` is said if the function takes long; None leaves that to the session.
    """

    tool: Tool
    call: Callable[[int, ToolRequest, Mapping[str, Any]], Awaitable[str]]
    limit_s: float = LIMIT_S
    filler: str | None = None


class ToolCalls:
    """The calls of one reply. `say` speaks a line that is no part of the conversation, `left_s` is
    how long the reply so far is still heard. `filler` is for functions that have none."""

    def __init__(
        self,
        turn: int,
        tools: Sequence[OwnTool],
        say: Callable[[str], Awaitable[None]],
        left_s: Callable[[float], float],
        filler: str = "",
    ) -> None:
        self._turn = turn
        self._tools = {own.tool.name: own for own in tools}
        self._say = say
        self._left_s = left_s
        self._filler = filler
        self._said = False

    @property
    def offered(self) -> tuple[Tool, ...]:
        """The functions that the model may call."""
        return tuple(own.tool for own in self._tools.values())

    async def run(self, calls: ToolRound) -> dict[str, str]:
        """The result of each call that is to be run, by its id; they run at the same time.

        Ends when the slowest has ended, by its limit at the latest. Cancelling stops all of them.
        """
        async with asyncio.TaskGroup() as group:
            running = {
                run.request.call_id: group.create_task(self._result(run)) for run in calls.run
            }
            filling = group.create_task(self._fill([run.request.name for run in calls.run]))
            if running:
                await asyncio.wait(running.values())
            filling.cancel()
        return {call_id: task.result() for call_id, task in running.items()}

    async def _result(self, run: ToolRun) -> str:
        name = run.request.name
        own = self._tools[name]
        try:
            async with asyncio.timeout(own.limit_s):
                return await own.call(self._turn, run.request, run.arguments)
        except TimeoutError:
            logger.info("turn %d: %.64s gave no answer within %g s", self._turn, name, own.limit_s)
            return problem(f"no answer within {own.limit_s:g} s")
        except ToolFailed as error:
            logger.info("turn %d: %.64s failed: %s", self._turn, name, error)
            return problem(str(error))
        except Exception:
            logger.exception("turn %d: %.64s failed", self._turn, name)
            return problem("it failed")

    async def _fill(self, names: Sequence[str]) -> None:
        """Say a line when nothing has been heard for `SLOW_S`, once a reply."""
        own = [line for name in names if (line := self._tools[name].filler) is not None]
        line = own[0] if own else self._filler
        if self._said or not line:
            return
        loop = asyncio.get_running_loop()
        wait_s = SLOW_S
        while wait_s:
            await asyncio.sleep(wait_s)
            left_s = self._left_s(loop.time())
            wait_s = left_s + SLOW_S if left_s > 0 else 0.0
        self._said = True
        await self._say(line)
