"""A gateway that serves, a client with a trace, a provider behind HTTP and a collector."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from stages.llm.openai import OpenAIResponder
from tests.support.gateway import Gateway

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

CHUNK = (
    b'data: {"choices":[{"index":0,"delta":{"content":"Tell me more."},"finish_reason":"stop"}]}'
    b"\n\n"
)


class Listening:
    """An HTTP server that keeps the heads of requests, and answers all of them the same way."""

    def __init__(self, kind: str, body: bytes) -> None:
        head = ("HTTP/1.1 200 OK", f"Content-Type: {kind}", f"Content-Length: {len(body)}")
        self._answer = "\r\n".join((*head, "Connection: close", "", "")).encode() + body
        self.heads: list[str] = []
        self.bodies: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        lines = head.split("\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith("content-length:")), 0)
        self.heads.append(head)
        self.bodies.append(await reader.readexactly(length))
        writer.write(self._answer)
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("traced", [True, False])
def test_a_clients_trace_reaches_the_provider_and_the_collector(
    tmp_path: Path, traced: bool
) -> None:
    gateway: Any = Gateway(tmp_path)
    collector = Listening("application/x-protobuf", b"")
    chat = Listening("text/event-stream", CHUNK + b"data: [DONE]\n\n")

    async def story() -> None:
        collecting = await asyncio.start_server(collector, "127.0.0.1", 0)
        chatting = await asyncio.start_server(chat, "127.0.0.1", 0)
        where = [server.sockets[0].getsockname()[1] for server in (collecting, chatting)]
        if traced:
            gateway.settings["otlp_endpoint"] = f"http://127.0.0.1:{where[0]}"
        gateway.responder = OpenAIResponder(f"http://127.0.0.1:{where[1]}/v1", "any")

        async def call() -> None:
            headers = {"traceparent": PARENT}
            async with gateway.call("s-1", additional_headers=headers) as caller:
                await caller.until("turn.metrics", turn=0)

        await gateway._run(call)
        await gateway.responder.aclose()
        for server in (collecting, chatting):
            server.close()

    asyncio.run(story())
    traces = [head for head in chat.heads if head.startswith("post ")]
    assert traces
    trace_id, span_id = PARENT.split("-")[1:3]
    assert all((f"traceparent: 00-{trace_id}-" in head) is traced for head in traces)
    sent = b"".join(collector.bodies)
    assert (bytes.fromhex(trace_id) in sent) is traced
    assert (bytes.fromhex(span_id) in sent) is traced
