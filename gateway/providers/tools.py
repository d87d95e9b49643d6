"""The functions that an operator offers to chat models, behind guards."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.providers.breakers import breaker
from pipeline.breaker import BreakerPolicy
from pipeline.candidate import problem_of
from pipeline.errors import PipelineError, StageError, StageUnavailable
from pipeline.guard import Candidate, Guard, Limits
from pipeline.stage import Tool, ToolRequest
from pipeline.tool_calls import OwnTool, ToolFailed
from stages._http import HttpRefused
from stages.tool.http import HttpTool
from stages.tool.tools_file import HttpToolSpec, read_tools

MARGIN_S = 0.5
"""A turn waits this much longer for a function than its guard lets it run: the guard gives the
reason."""


@dataclass(frozen=True, slots=True)
class ServerTool:
    """One function of the operator's, with its guard, which all sessions share."""

    spec: HttpToolSpec
    stage: HttpTool
    guard: Guard[HttpTool]

    @classmethod
    def of(cls, spec: HttpToolSpec) -> "ServerTool":
        """Raises `ValueError` for an unusable key."""
        key = None if spec.key is None else spec.key.get_secret_value()
        stage = HttpTool(spec.name, spec.url, api_key=key)
        limit_s = spec.limit_s
        limits = Limits(
            first_s=limit_s, slow_first_s=limit_s, stall_s=limit_s, total_s=limit_s + MARGIN_S
        )
        candidate = Candidate(spec.name, stage, breaker(BreakerPolicy(open_s=5)), limits)
        return cls(spec, stage, Guard("tool", [candidate]))

    def own(self, session_id: str) -> OwnTool:
        """The function for one session."""
        spec = self.spec

        async def call(turn: int, request: ToolRequest, arguments: Mapping[str, Any]) -> str:
            body = {
                "name": spec.name,
                "call_id": request.call_id,
                "arguments": dict(arguments),
                "session_id": session_id,
                "turn": turn,
            }
            return await self._result(body)

        tool = Tool(spec.name, spec.description, spec.parameters)
        return OwnTool(tool, call, spec.limit_s + MARGIN_S, spec.filler)

    async def _result(self, body: Mapping[str, Any]) -> str:
        def called(stage: HttpTool) -> AsyncIterator[str]:
            return stage.call(body)

        try:
            async with self.guard.stream(called, useful=bool) as items:
                async for item in items:
                    return item
        except PipelineError as error:
            raise ToolFailed(_why(error)) from error
        raise ToolFailed("it gave no result")


def _why(error: PipelineError) -> str:
    """The reason for the model. The words of a refusal are passed on: they are for the caller."""
    causes = error.causes if isinstance(error, StageUnavailable) else (error,)
    for cause in causes:
        if isinstance(cause, HttpRefused):
            return cause.detail
        if isinstance(cause, StageError):
            return problem_of(cause)
    return "it cannot be asked now"


@dataclass(frozen=True, slots=True)
class ServerTools:
    """The tools of the operator's file, by name."""

    tools: Mapping[str, ServerTool]

    @classmethod
    def read(cls, file: Path | None) -> "ServerTools":
        """Read the tools of the operator's file, if there is one. Raises `ToolsFileError`, and
        `ValueError` for an unusable key."""
        specs = () if file is None else read_tools(file)
        return cls({spec.name: ServerTool.of(spec) for spec in specs})

    def guards(self) -> list[Guard[HttpTool]]:
        return [tool.guard for tool in self.tools.values()]

    async def aclose(self) -> None:
        """Close all connections."""
        for tool in self.tools.values():
            await tool.stage.aclose()
