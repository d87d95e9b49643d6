"""A dialect whose client gives commands as they are, for what Parley's own dialect cannot say."""

import asyncio
import dataclasses
import json
from collections.abc import Sequence

from gateway.protocols.dialect import Command, Outgoing, ProtocolError
from pipeline.frames import ReplyAudio
from tests.support.client import Client


class CommandDialect:
    """A `gateway.protocols.dialect.Dialect`. A message is the number of commands that wait here.

    Outputs are JSON: the name of their class as `type`, and their fields. `first` is done on
    connecting.
    """

    resumable = False
    runs_tools = False

    def __init__(self, *first: Command) -> None:
        self._first = first
        self._given: list[Sequence[Command]] = []

    def message(self, *commands: Command) -> str:
        """The message that stands for these commands."""
        self._given.append(commands)
        return str(len(self._given) - 1)

    def begin(self) -> Sequence[Command]:
        return self._first

    def parse(self, message: bytes, now: float) -> Sequence[Command]:
        return self._given[int(message)]

    def encode(self, output: Outgoing, now: float) -> Sequence[str]:
        fields = {field.name: getattr(output, field.name) for field in dataclasses.fields(output)}
        return (json.dumps({"type": type(output).__name__, **fields}, default=str),)

    def audio(self, frame: ReplyAudio, data: bytes) -> Sequence[str] | None:
        return None

    def refuse(self, error: ProtocolError) -> Sequence[str]:
        return (json.dumps({"type": "refused", "code": error.code}),)


async def perform(client: Client, dialect: CommandDialect, *commands: Command) -> None:
    """Have the gateway do these, in one message; return when it has looked at it."""
    await client.send(dialect.message(*commands))
    await asyncio.sleep(0)
