"""openai-python against a real server: items, functions and responses of every kind."""

from typing import Any

import pytest

from tests.support.event_log import Event
from tests.support.openai_peer import STORY
from tests.support.realtime import WEATHER, RealtimeGateway, Talk, server_vad, text_of

TEXT: Event = {"type": "realtime", "output_modalities": ["text"]}


async def answered(talk: Talk, text: str) -> Event:
    """The response to something typed."""
    await talk.write(text)
    await talk.connection.response.create()
    return await talk.done()


def test_a_typed_item_is_answered_aloud(realtime: RealtimeGateway) -> None:
    realtime.chat("parrot")

    async def story() -> None:
        async with realtime.talk() as talk:
            done = await answered(talk, "Hello")
            assert text_of(done) == "You said Hello."
            assert len(talk.audio) > 0
            usage = done["usage"]  # as the model's server told it
            assert (usage["input_tokens"], usage["output_tokens"]) == (9, 2)
            assert "estimated" not in usage
        assert realtime.asked() == [[{"role": "user", "content": "Hello"}]]

    realtime.run(story)


def test_instructions_go_to_the_chat_model(realtime: RealtimeGateway) -> None:
    realtime.chat("parrot")

    async def story() -> None:
        session = {"type": "realtime", "instructions": "Be brief."}
        async with realtime.talk(session=session) as talk:
            await answered(talk, "Hello")
        [asked] = realtime.requests()
        assert asked["messages"] == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello"},
        ]

    realtime.run(story)


def test_a_text_response_has_no_audio(realtime: RealtimeGateway) -> None:
    realtime.chat("parrot")

    async def story() -> None:
        async with realtime.talk(session=TEXT) as talk:
            done = await answered(talk, "Hello")
            assert done["output_modalities"] == ["text"]
            assert done["output"][0]["content"] == [
                {"type": "output_text", "text": "You said Hello."}
            ]
            deltas = [event["delta"] for event in talk.of("response.output_text.delta")]
            assert "".join(deltas) == "You said Hello."
            assert not talk.audio
            await answered(talk, "Again")
        lines = [(line["role"], line["content"]) for line in realtime.asked()[-1]]
        assert lines == [("user", "Hello"), ("assistant", "You said Hello."), ("user", "Again")]

    realtime.run(story)


def test_a_function_is_called_and_its_result_answered(realtime: RealtimeGateway) -> None:
    realtime.chat("weather")

    async def story() -> None:
        session = {"type": "realtime", "tools": [WEATHER]}
        async with realtime.talk(session=session) as talk:
            done = await answered(talk, "How is the weather?")
            [call] = done["output"]
            assert (call["type"], call["name"], call["status"]) == (
                "function_call",
                "weather",
                "completed",
            )
            assert call["arguments"] == '{"place":"Leeds"}'
            result: Any = {"type": "function_call_output", "output": "sunny"}
            result["call_id"] = call["call_id"]
            await talk.connection.conversation.item.create(item=result)
            await talk.connection.response.create()
            assert text_of(await talk.done()) == "It is sunny there."
        first, second = realtime.requests()
        assert first["tools"][0]["function"]["name"] == "weather"
        user, calling, told = [m for m in second["messages"] if m["role"] != "system"]
        assert user["content"] == "How is the weather?"
        [made] = calling["tool_calls"]
        assert made["function"] == {"name": "weather", "arguments": '{"place":"Leeds"}'}
        assert told["content"] == "sunny"
        assert told["tool_call_id"] == made["id"] == call["call_id"]

    realtime.run(story)


def test_a_response_beside_the_conversation_leaves_no_trace(realtime: RealtimeGateway) -> None:
    realtime.chat("parrot")

    async def story() -> None:
        async with realtime.talk(session=TEXT) as talk:
            aside: Any = {
                "conversation": "none",
                "output_modalities": ["text"],
                "metadata": {"for": "topics"},
                "input": [
                    {
                        "type": "message",
                        "role": "user",
                        "content": [{"type": "input_text", "text": "Which topics?"}],
                    }
                ],
            }
            await talk.connection.response.create(response=aside)
            done = await talk.done()
            assert done["conversation_id"] is None
            assert done["metadata"] == {"for": "topics"}
            assert text_of(done) == "You said Which topics?."
            assert "conversation.item.added" not in talk.types()
            await answered(talk, "Hello")
        beside, later = realtime.asked()
        assert [line["content"] for line in beside] == ["Which topics?"]
        assert [line["content"] for line in later] == ["Hello"]

    realtime.run(story)


def test_a_response_beside_the_conversation_runs_while_another_speaks(
    realtime: RealtimeGateway,
) -> None:
    realtime.chat("story")

    async def story() -> None:
        async with realtime.talk() as talk:
            await talk.write("Tell me a story")
            await talk.connection.response.create()
            await talk.until("response.output_audio.delta")
            aside: Any = {"conversation": "none", "output_modalities": ["text"]}
            await talk.connection.response.create(response=aside)
            done = [await talk.done(), await talk.done()]
            assert {text_of(response) for response in done} == {STORY}
            assert {response["status"] for response in done} == {"completed"}

    realtime.run(story)


def test_items_are_retrieved_inserted_and_deleted(realtime: RealtimeGateway) -> None:
    realtime.chat("parrot")

    async def story() -> None:
        async with realtime.talk(session=TEXT) as talk:
            items = talk.connection.conversation.item
            for item_id, text in (("one", "One"), ("two", "Two")):
                content: Any = [{"type": "input_text", "text": text}]
                item: Any = {"id": item_id, "type": "message", "role": "user", "content": content}
                await items.create(item=item, previous_item_id="root")
                added = await talk.until("conversation.item.added")
                assert added["previous_item_id"] is None
            await items.retrieve(item_id="one")
            kept = (await talk.until("conversation.item.retrieved"))["item"]
            assert kept["content"] == [{"type": "input_text", "text": "One"}]
            await items.delete(item_id="one")
            assert (await talk.until("conversation.item.deleted"))["item_id"] == "one"
            await talk.send("conversation.item.retrieve", item_id="one", event_id="gone")
            error = await talk.refused("item_not_found")
            assert (error["param"], error["event_id"]) == ("item_id", "gone")
            await answered(talk, "Three")
        assert [line["content"] for line in realtime.asked()[0]] == ["Two", "Three"]

    realtime.run(story)


def test_a_second_response_is_refused_while_one_runs(realtime: RealtimeGateway) -> None:
    realtime.chat("story")

    async def story() -> None:
        async with realtime.talk() as talk:
            await talk.write("Tell me a story")
            await talk.connection.response.create()
            await talk.until("response.output_audio.delta")
            await talk.send("response.create", event_id="second")
            error = await talk.refused("conversation_already_has_active_response")
            assert error["event_id"] == "second"
            assert text_of(await talk.done()) == STORY
            assert text_of(await answered(talk, "Again")) == STORY

    realtime.run(story)


def test_the_session_object_is_merged(realtime: RealtimeGateway) -> None:
    async def story() -> None:
        async with realtime.talk("gpt-realtime", server_vad(threshold=0.7)) as talk:
            change: Any = {"type": "realtime", "tracing": "auto", "tools": [WEATHER]}
            await talk.connection.session.update(session=change)
            session = (await talk.until("session.updated"))["session"]
            assert session["model"] == "gpt-realtime"
            assert session["tools"] == [WEATHER]
            assert session["audio"]["input"]["turn_detection"]["threshold"] == 0.7
            assert session["audio"]["input"]["turn_detection"]["interrupt_response"] is True

    realtime.run(story)


@pytest.mark.parametrize("model", ["busy", "eof-cut"])
def test_a_reply_that_fails_ends_its_response(realtime: RealtimeGateway, model: str) -> None:
    realtime.chat(model)

    async def story() -> None:
        async with realtime.talk() as talk:
            done = await answered(talk, "Hello")
            assert done["status"] == "failed"
            assert done["status_details"]["error"]["code"] == "llm_unavailable"
            await talk.send("session.update", session={"type": "realtime"})
            await talk.until("session.updated")

    realtime.run(story)


def test_no_client_reads_what_a_chat_server_says(realtime: RealtimeGateway) -> None:
    realtime.chat("back-soon")

    async def story() -> None:
        async with realtime.talk(session=TEXT) as talk:
            aside: Any = {"conversation": "none", "output_modalities": ["text"]}
            await talk.connection.response.create(response=aside)
            beside = await talk.done()
            done = await answered(talk, "Hello")
            assert [beside["status"], done["status"]] == ["failed", "failed"]
            assert "out of memory" not in str(talk.events)

    realtime.run(story)
