"""The channel: its order, its bound, its end, and how long items waited."""

import asyncio
from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from pipeline.channel import Channel, ChannelStats
from pipeline.errors import ChannelClosed
from pipeline.testing import run_virtual


def of_text(bound: int = 8) -> Channel[str]:
    """A channel bounded by characters."""
    return Channel("text", bound=bound, size=len)


async def settle() -> None:
    """Let every task run as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def drain(channel: Channel[str]) -> list[str]:
    channel.close()
    taken: list[str] = []
    try:
        while True:
            taken.append(await channel.receive())
    except ChannelClosed:
        return taken


# --- order and end ---------------------------------------------------------------------------


def test_items_come_out_in_the_order_they_went_in() -> None:
    async def main() -> list[str]:
        channel = of_text()
        for text in ("a", "b", "c"):
            await channel.send(text)
        return await drain(channel)

    assert run_virtual(main()) == ["a", "b", "c"]


def test_a_receiver_waits_for_an_item() -> None:
    async def main() -> tuple[str, float]:
        loop = asyncio.get_running_loop()
        channel = of_text()
        loop.call_later(2, channel.offer, "late")
        return await channel.receive(), loop.time()

    assert run_virtual(main()) == ("late", 2.0)


def test_closing_ends_a_waiting_receiver() -> None:
    async def main() -> list[object]:
        channel = of_text()
        receiving = asyncio.create_task(channel.receive())
        await settle()
        channel.close()
        channel.close()
        return await asyncio.gather(receiving, return_exceptions=True)

    (ended,) = run_virtual(main())
    assert isinstance(ended, ChannelClosed)
    assert str(ended) == "text"


def test_a_closed_channel_takes_nothing_and_wakes_its_sender() -> None:
    async def main() -> tuple[list[object], list[str]]:
        channel = of_text(bound=1)
        await channel.send("a")
        sender = asyncio.create_task(channel.send("b"))
        await settle()
        channel.close()
        results = await asyncio.gather(sender, channel.send("c"), return_exceptions=True)
        return [type(result) for result in results], await drain(channel)

    assert run_virtual(main()) == ([ChannelClosed, ChannelClosed], ["a"])


# --- full ------------------------------------------------------------------------------------


def test_a_full_channel_makes_the_sender_wait_for_room() -> None:
    async def main() -> tuple[float, list[str]]:
        loop = asyncio.get_running_loop()
        channel = of_text(bound=4)
        await channel.send("four")

        async def receive_later() -> str:
            await asyncio.sleep(3)
            return await channel.receive()

        receiving = asyncio.create_task(receive_later())
        await channel.send("next")
        return loop.time(), [await receiving, *await drain(channel)]

    assert run_virtual(main()) == (3.0, ["four", "next"])


def test_a_sender_waits_on_while_there_is_too_little_room() -> None:
    async def main() -> list[bool]:
        channel = of_text(bound=4)
        await channel.send("a")
        await channel.send("bbb")
        sender = asyncio.create_task(channel.send("cc"))
        sent = []
        for _ in range(2):
            await channel.receive()
            await settle()
            sent.append(sender.done())
        return sent

    assert run_virtual(main()) == [False, True]


def test_an_item_larger_than_the_bound_passes_alone() -> None:
    async def main() -> list[str]:
        channel = of_text(bound=2)
        await channel.send("a")
        sender = asyncio.create_task(channel.send("enormous"))
        await settle()
        assert not sender.done()
        received = [await channel.receive()]
        await sender
        assert not channel.offer("b")
        return [*received, await channel.receive()]

    assert run_virtual(main()) == ["a", "enormous"]


def test_an_offer_to_a_full_channel_is_not_taken() -> None:
    async def main() -> list[str]:
        channel = of_text(bound=1)
        assert channel.offer("a")
        assert not channel.offer("b")
        return await drain(channel)

    assert run_virtual(main()) == ["a"]


# --- cancellation ----------------------------------------------------------------------------


def test_a_cancelled_receive_leaves_the_item() -> None:
    async def main() -> str:
        channel = of_text()
        receiving = asyncio.create_task(channel.receive())
        await settle()
        channel.offer("kept")  # wakes the receiver, which is cancelled before it can run
        receiving.cancel()
        await asyncio.wait([receiving])
        assert receiving.cancelled()
        return await channel.receive()

    assert run_virtual(main()) == "kept"


def test_a_cancelled_send_puts_nothing_in() -> None:
    async def main() -> list[str]:
        channel = of_text(bound=1)
        await channel.send("a")
        sender = asyncio.create_task(channel.send("b"))
        await settle()
        sender.cancel()
        await asyncio.wait([sender])
        return await drain(channel)

    assert run_virtual(main()) == ["a"]


# --- how long items waited -------------------------------------------------------------------


def test_stats_tell_depth_and_age() -> None:
    async def main() -> list[ChannelStats]:
        channel = of_text()
        found = [channel.stats()]
        await channel.send("abc")
        await asyncio.sleep(2)
        await channel.send("de")
        found.append(channel.stats())
        await channel.receive()
        found.append(channel.stats())
        return found

    assert run_virtual(main()) == [
        ChannelStats(depth=0, oldest_age_s=0.0),
        ChannelStats(depth=5, oldest_age_s=2.0),
        ChannelStats(depth=2, oldest_age_s=0.0),
    ]


def test_each_item_that_is_taken_tells_how_long_it_had_waited() -> None:
    told: list[tuple[str, float]] = []

    async def main() -> None:
        channel: Channel[str] = Channel(
            "text", bound=8, size=len, waited=lambda name, age_ms: told.append((name, age_ms))
        )
        await channel.send("a")
        await asyncio.sleep(0.5)
        await channel.send("b")
        await channel.receive()
        await asyncio.sleep(0.25)
        await channel.receive()

    run_virtual(main())
    assert told == [("text", 500.0), ("text", 250.0)]


# --- properties ------------------------------------------------------------------------------


@given(bound=st.integers(1, 4), steps=st.lists(st.sampled_from("or"), max_size=40))
def test_a_channel_does_what_a_list_would(bound: int, steps: list[str]) -> None:
    """Against a model: items are numbered, and each of them fills one place."""

    async def main() -> None:
        channel: Channel[int] = Channel("numbers", bound=bound, size=lambda _: 1)
        model: deque[int] = deque()
        for number, step in enumerate(steps):
            if step == "o":
                taken = channel.offer(number)
                assert taken == (len(model) < bound)
                if taken:
                    model.append(number)
            elif model:
                assert await channel.receive() == model.popleft()
            assert channel.stats().depth == len(model) <= bound

    run_virtual(main())
