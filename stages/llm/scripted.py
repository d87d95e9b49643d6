"""A responder that speaks the host's lines: no model, no network, no delay."""

from collections.abc import AsyncIterator

from pipeline.errors import StageFailed
from pipeline.frames import TextDelta
from pipeline.stage import ReplyRequest


class ScriptedInterviewer:
    """Replies with the lines of the request's brief. Stateless, so it serves any number of
    calls."""

    provider = "scripted"
    stands_by = True

    async def reply(self, request: ReplyRequest) -> AsyncIterator[TextDelta]:
        """One delta for each line; each but the last ends in a space, which ends its sentence too.

        Raises `StageFailed` (phase "empty") when the brief has nothing to say. Never waits, so it
        cannot be cancelled within a line.
        """
        lines = [line for line in map(str.strip, request.brief.say) if line]
        if not lines:
            raise StageFailed("llm", self.provider, "empty", "the brief has nothing to say")
        for line in lines[:-1]:
            yield TextDelta(request.turn, f"{line} ")
        yield TextDelta(request.turn, lines[-1])

    async def aclose(self) -> None:
        """Nothing to release."""
