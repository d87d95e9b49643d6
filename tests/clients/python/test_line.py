"""The Python client against a scripted server: what a real gateway does only in rare moments."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from parley_client import (
    Call,
    CallEnded,
    LineBroke,
    LineLost,
    Ready,
    Refused,
    ReplyDone,
    ReplyStarted,
    ToolCall,
    connect,
)
from parley_client.call import OPEN_S
from parley_client.options import Options
from parley_client.results import MOST_CALLS, Results
from websockets.asyncio.server import ServerConnection, serve

LIMIT_S = 20
READY = {
    "type": "ready",
    "session_id": "a",
    "audio_in": {},
    "audio_out": {},
    "providers": {},
    "interview": {},
    "resume": "token",
}
Script = Callable[[ServerConnection, dict[str, Any]], Awaitable[None]]
"""What the server does with a connection after its hello."""


async def scripted(story: Callable[[str], Awaitable[None]], *scripts: Script) -> list[Any]:
    """Run the story against a server that goes through the scripts; what it was sent, in order."""
    heard: list[Any] = []
    waiting = list(scripts)

    async def answer(socket: ServerConnection) -> None:
        hello = json.loads(await socket.recv())
        heard.append(hello)
        await waiting.pop(0)(socket, hello)
        async for message in socket:
            heard.append(json.loads(message))
            if heard[-1]["type"] == "bye":
                return

    async with asyncio.timeout(LIMIT_S), serve(answer, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        await story(f"ws://127.0.0.1:{port}")
    return heard


async def welcome(socket: ServerConnection, hello: dict[str, Any]) -> None:
    back = {"resumed": {"kept": True, "complete": True}} if "resume" in hello else {}
    await socket.send(json.dumps(READY | back | {"seq": 41}))


async def welcome_and_break(socket: ServerConnection, hello: dict[str, Any]) -> None:
    await welcome(socket, hello)
    socket.transport.abort()


async def taken(socket: ServerConnection, _: dict[str, Any]) -> None:
    fault = {"type": "error", "seq": 1, "code": "already_connected", "message": "no", "fatal": True}
    await socket.send(json.dumps(fault))
    await socket.close(1008)


async def finish(socket: ServerConnection, hello: dict[str, Any]) -> None:
    await welcome(socket, hello)
    await socket.close(1000)


def test_an_answer_may_be_typed_before_the_first_event_is_read() -> None:
    async def story(url: str) -> None:
        async with connect(url) as call:
            await call.say("At once.")
            assert isinstance(await anext(call), Ready)
            await call.hang_up()
            assert [event async for event in call] == []

    heard = asyncio.run(scripted(story, welcome))
    assert [message["type"] for message in heard] == ["hello", "text", "bye"]


def test_who_types_after_the_end_is_told_so() -> None:
    async def story(url: str) -> None:
        async with connect(url) as call:
            assert len([event async for event in call]) == 1
            with pytest.raises(LineLost, match="the call is over"):
                await call.say("Too late.")

    asyncio.run(scripted(story, finish))


def test_a_way_back_that_is_refused_leaves_the_place_in_the_conversation() -> None:
    async def story(url: str) -> None:
        async with connect(url) as call:
            kinds = [type(await anext(call)) for _ in range(3)]
            assert kinds == [Ready, LineBroke, Ready]

    heard = asyncio.run(scripted(story, welcome_and_break, taken, welcome))
    assert [message["resume"]["seq"] for message in heard if "resume" in message] == [41, 41]


async def forgetful(socket: ServerConnection, hello: dict[str, Any]) -> None:
    """It has the first of two texts, and sends its transcript only later."""
    back = {"kept": True, "complete": False, "texts": 1}
    await socket.send(json.dumps(READY | {"resumed": back, "seq": 42}))


async def renewed(socket: ServerConnection, hello: dict[str, Any]) -> None:
    back = {"kept": False, "complete": False}
    await socket.send(json.dumps(READY | {"resumed": back, "seq": 1}))


async def lost_with_two_texts(socket: ServerConnection, hello: dict[str, Any]) -> None:
    await welcome(socket, hello)
    await socket.recv()
    await socket.recv()
    socket.transport.abort()


def test_what_has_arrived_is_not_sent_again_although_its_transcript_is_under_way() -> None:
    async def story(url: str) -> None:
        async with connect(url) as call:
            assert isinstance(await anext(call), Ready)
            await call.say("It has arrived.")
            await call.say("It was lost.")
            assert isinstance(await anext(call), LineBroke)
            assert isinstance(await anext(call), Ready)
            assert call.unsent == ["It was lost."]
            await call.say("Typed afterwards.")
            await call.hang_up()
            assert [event async for event in call] == []

    heard = asyncio.run(scripted(story, lost_with_two_texts, forgetful))
    texts = [message["text"] for message in heard if message["type"] == "text"]
    assert texts == ["It was lost.", "Typed afterwards."]


def test_in_a_conversation_that_begins_anew_texts_are_counted_anew() -> None:
    async def story(url: str) -> None:
        async with connect(url) as call:
            assert isinstance(await anext(call), Ready)
            await call.say("One.")
            await call.say("Two.")
            assert isinstance(await anext(call), LineBroke)
            assert isinstance(await anext(call), Ready)
            assert call.unsent == ["One.", "Two."]
            await call.say("Three.")
            await call.say("Four.")
            assert isinstance(await anext(call), LineBroke)
            assert isinstance(await anext(call), Ready)
            assert call.unsent == ["One.", "Two.", "Four."]
            await call.hang_up()
            assert [event async for event in call] == []

    async def renewed_and_lost(socket: ServerConnection, hello: dict[str, Any]) -> None:
        await renewed(socket, hello)
        await socket.recv()
        await socket.recv()
        socket.transport.abort()

    heard = asyncio.run(scripted(story, lost_with_two_texts, renewed_and_lost, forgetful))
    assert [message["text"] for message in heard if message["type"] == "text"] == ["Four."]


def test_who_closes_the_call_while_it_connects_again_ends_that() -> None:
    async def story() -> float:
        silent: list[asyncio.StreamWriter] = []
        ended = asyncio.Event()

        async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            silent.append(writer)
            await reader.read(65_536)  # the handshake, which is not answered
            assert await reader.read(65_536) == b""
            ended.set()
            writer.close()

        dead = await asyncio.start_server(swallow, "127.0.0.1", 0)
        port = dead.sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        call = Call(f"ws://127.0.0.1:{port}", "a", Options())
        coming = asyncio.create_task(call.__anext__())
        while not silent:
            await asyncio.sleep(0.01)
        began = loop.time()
        await call._close()
        with pytest.raises(StopAsyncIteration):
            await coming
        await ended.wait()
        took_s = loop.time() - began
        dead.close()
        await dead.wait_closed()
        assert call._socket is None
        return took_s

    assert asyncio.run(asyncio.wait_for(story(), LIMIT_S)) < OPEN_S


def test_hanging_up_while_there_is_no_line_ends_the_session_when_there_is() -> None:
    async def story(url: str) -> None:
        async with connect(url) as call:
            assert isinstance(await anext(call), Ready)
            assert isinstance(await anext(call), LineBroke)
            coming = asyncio.ensure_future(anext(call))
            await asyncio.sleep(0)
            await call.hang_up()
            assert isinstance(await coming, Ready)
            assert [event async for event in call] == []

    heard = asyncio.run(scripted(story, welcome_and_break, welcome))
    assert [message["type"] for message in heard] == ["hello", "hello", "bye"]


def test_a_goodbye_that_was_lost_is_said_again_behind_what_was_typed() -> None:
    async def lost(socket: ServerConnection, hello: dict[str, Any]) -> None:
        await welcome(socket, hello)
        await socket.recv()
        await socket.recv()
        socket.transport.abort()

    async def nothing_came(socket: ServerConnection, hello: dict[str, Any]) -> None:
        back = {"kept": True, "complete": True, "texts": 0}
        await socket.send(json.dumps(READY | {"resumed": back, "seq": 42}))

    async def story(url: str) -> None:
        async with connect(url) as call:
            assert isinstance(await anext(call), Ready)
            await call.say("My last words.")
            await call.hang_up()
            assert [type(event) async for event in call] == [LineBroke, Ready]

    heard = asyncio.run(scripted(story, lost, nothing_came))
    assert [message["type"] for message in heard] == ["hello", "hello", "text", "bye"]


def test_a_goodbye_before_the_new_line_is_ready_follows_what_was_typed() -> None:
    back_again, hung_up = asyncio.Event(), asyncio.Event()

    async def lost(socket: ServerConnection, hello: dict[str, Any]) -> None:
        await welcome(socket, hello)
        await socket.recv()
        socket.transport.abort()

    async def waits(socket: ServerConnection, hello: dict[str, Any]) -> None:
        back_again.set()
        await hung_up.wait()
        back = {"kept": True, "complete": True, "texts": 0}
        await socket.send(json.dumps(READY | {"resumed": back, "seq": 42}))

    async def story(url: str) -> None:
        async with connect(url) as call:
            assert isinstance(await anext(call), Ready)
            await call.say("My last words.")
            assert isinstance(await anext(call), LineBroke)
            ready = asyncio.create_task(anext(call))
            await back_again.wait()
            await call.hang_up()
            hung_up.set()
            assert isinstance(await ready, Ready)
            assert [event async for event in call] == []

    heard = asyncio.run(scripted(story, lost, waits))
    assert [message["type"] for message in heard] == ["hello", "hello", "text", "bye"]


def test_who_hangs_up_before_the_line_is_made_again_is_heard() -> None:
    async def story(url: str) -> None:
        async with connect(url) as call:
            assert isinstance(await anext(call), Ready)
            assert isinstance(await anext(call), LineBroke)
            await call.hang_up()
            assert [type(event) async for event in call] == [Ready]

    heard = asyncio.run(scripted(story, welcome_and_break, welcome))
    assert [message["type"] for message in heard] == ["hello", "hello", "bye"]


def test_a_session_that_is_over_is_not_begun_anew_to_hang_up() -> None:
    async def forgotten(socket: ServerConnection, _: dict[str, Any]) -> None:
        fault = {"type": "error", "seq": 1, "code": "cannot_resume", "message": "", "fatal": True}
        await socket.send(json.dumps(fault))
        await socket.close(1008)

    async def story(url: str) -> None:
        async with connect(url) as call:
            assert isinstance(await anext(call), Ready)
            assert isinstance(await anext(call), LineBroke)
            await call.hang_up()
            assert [event async for event in call] == []

    heard = asyncio.run(scripted(story, welcome_and_break, forgotten))
    assert [message["type"] for message in heard] == ["hello", "hello"]


def called(turn: int, call_id: str) -> str:
    """The gateway's message that asks for a function."""
    fields = {"turn": turn, "call_id": call_id, "name": "open", "arguments": {}}
    return json.dumps({"type": "tool.call", "seq": 42, **fields})


@pytest.mark.parametrize(
    ("kept", "again"), [(True, ["b", "c"]), (False, [])], ids=["kept", "another"]
)
def test_a_result_that_was_lost_is_sent_again_while_its_reply_waits(
    kept: bool, again: list[str]
) -> None:
    async def calls(socket: ServerConnection, hello: dict[str, Any]) -> None:
        await welcome(socket, hello)
        await socket.send(called(1, "a"))
        done = {"type": "reply.done", "turn": 1, "interrupted": True, "heard": ""}
        await socket.send(json.dumps(done))
        for name in ("b", "c"):
            await socket.send(called(2, name))
        for _ in range(2):
            await socket.recv()
        socket.transport.abort()

    async def back(socket: ServerConnection, hello: dict[str, Any]) -> None:
        resumed = {"kept": kept, "complete": kept, "texts": 0}
        await socket.send(json.dumps(READY | {"resumed": resumed, "seq": 43}))

    async def story(url: str) -> None:
        async with connect(url) as call:
            assert isinstance(await anext(call), Ready)
            assert isinstance(await anext(call), ToolCall)
            await call.answer_tool("a", "over")
            assert isinstance(await anext(call), ReplyDone)
            for name in ("b", "c"):
                assert isinstance(await anext(call), ToolCall)
                if name == "b":
                    await call.answer_tool(name, {"page": 3})
            assert isinstance(await anext(call), LineBroke)
            await call.answer_tool("c", "into a dead line")
            assert isinstance(await anext(call), Ready)
            await call.hang_up()
            assert [event async for event in call] == []

    heard = asyncio.run(scripted(story, calls, back))
    assert [message["call_id"] for message in heard if message["type"] == "tool.result"] == again


def test_of_calls_that_nobody_ends_the_latest_are_known() -> None:
    results = Results()
    for number in range(MOST_CALLS + 1):
        results.take(ToolCall(1, f"c{number}", "open", {}))
        results.add(f"c{number}", number)
    assert [message["result"] for message in results.unsure] == [*range(1, MOST_CALLS + 1)]
    results.take(ReplyStarted(2))
    assert results.unsure == ()


def test_a_fatal_error_comes_out_as_it_is() -> None:
    async def story(url: str) -> None:
        async with connect(url) as call:
            with pytest.raises(CallEnded, match="no"):
                assert [event async for event in call] == []

    asyncio.run(scripted(story, taken))


def test_a_refusal_is_told_in_the_gateways_words() -> None:
    async def story() -> None:
        async def full(connection: ServerConnection, _: object) -> Any:
            response = connection.respond(503, "all 5 places are taken\n")
            response.headers["Retry-After"] = "7"
            return response

        async with serve(lambda _: None, "127.0.0.1", 0, process_request=full) as server:  # type: ignore[arg-type, return-value]
            port = next(iter(server.sockets)).getsockname()[1]
            with pytest.raises(Refused, match="all 5 places are taken") as refused:
                async with connect(f"ws://127.0.0.1:{port}"):
                    pass
        assert (refused.value.status, refused.value.retry_after_s) == (503, 7)

    asyncio.run(story())


@pytest.mark.parametrize("text", ["", " \n", "x" * 8193], ids=["empty", "blank", "too long"])
def test_what_the_gateway_would_refuse_is_not_typed(text: str) -> None:
    async def story(url: str) -> None:
        async with connect(url) as call:
            with pytest.raises(ValueError, match="an answer has"):
                await call.say(text)

    asyncio.run(scripted(story, welcome))


def test_a_transcript_stands_for_the_answers_that_it_has_and_no_more() -> None:
    call = Call("ws://127.0.0.1:1", "a", Options())
    call._unsent = [(1, "no"), (2, "yes"), (3, "yes")]
    call._acknowledge("I know, well yes")
    assert call.unsent == ["no", "yes"]
