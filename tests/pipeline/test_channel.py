import asyncio
from collections import deque
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.channel import Channel, ChannelStats, Policy
from pipeline.errors import ChannelClosed, ChannelFull
from pipeline.testing import run_virtual


@dataclass(frozen=True, slots=True)
class Item:
    turn: int
    text: str


def of_turns(policy: Policy = Policy.BLOCK, bound: int = 8) -> Channel[Item]:
    return Channel("items", bound=bound, policy=policy, epoch=lambda item: item.turn)


def of_text(policy: Policy = Policy.BLOCK, bound: int = 8) -> Channel[str]:
    """Bounded by characters."""
    return Channel("text", bound=bound, policy=policy, size=len)


async def settle() -> None:
    """Let every task run as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def drain(channel: Channel[str]) -> list[str]:
    channel.close()
    return [item async for item in channel]


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


def test_two_items_at_once_wake_the_receiver_once() -> None:
    async def main() -> list[str]:
        channel = of_text()
        receiving = asyncio.create_task(channel.receive())
        await settle()
        channel.offer("a")
        channel.offer("b")
        return [await receiving, await channel.receive()]

    assert run_virtual(main()) == ["a", "b"]


def test_a_closed_channel_gives_what_it_holds_and_then_ends() -> None:
    async def main() -> str:
        channel = of_text()
        await channel.send("last")
        channel.close()
        channel.close()
        last = await channel.receive()
        with pytest.raises(ChannelClosed, match="text"):
            await channel.receive()
        return last

    assert run_virtual(main()) == "last"


def test_closing_ends_a_waiting_iteration() -> None:
    async def main() -> list[str]:
        channel = of_text()
        asyncio.get_running_loop().call_later(1, channel.close)
        return [item async for item in channel]

    assert run_virtual(main()) == []


@pytest.mark.parametrize("policy", Policy)
def test_a_closed_channel_takes_nothing(policy: Policy) -> None:
    async def main() -> None:
        channel = of_text(policy, bound=1)
        channel.offer("x")
        channel.close()
        with pytest.raises(ChannelClosed):
            await channel.send("y")
        with pytest.raises(ChannelClosed):
            channel.offer("y")
        assert [item async for item in channel] == ["x"]

    run_virtual(main())


def test_a_second_receiver_is_refused() -> None:
    async def main() -> None:
        channel = of_text()
        first = asyncio.create_task(channel.receive())
        await settle()
        with pytest.raises(RuntimeError, match="another task is receiving"):
            await channel.receive()
        channel.offer("x")
        assert await first == "x"

    run_virtual(main())


# --- full ------------------------------------------------------------------------------------


def test_block_makes_the_sender_wait_for_room() -> None:
    async def main() -> tuple[float, list[str], float]:
        loop = asyncio.get_running_loop()
        channel = of_text(bound=4)
        await channel.send("four")

        async def receive_later() -> str:
            await asyncio.sleep(3)
            return await channel.receive()

        receiving = asyncio.create_task(receive_later())
        await channel.send("next")
        sent_at = loop.time()
        return sent_at, [await receiving, *await drain(channel)], channel.stats().blocked_s

    assert run_virtual(main()) == (3.0, ["four", "next"], 3.0)


def test_blocked_senders_are_served_in_order() -> None:
    async def main() -> list[str]:
        channel = of_text(bound=2)
        await channel.send("aa")
        senders = [asyncio.create_task(channel.send(text)) for text in ("bb", "c", "d")]
        await settle()
        received = [await channel.receive()]
        assert not channel.offer("e")  # there is room, but others were first
        received += [await channel.receive() for _ in range(3)]
        await asyncio.gather(*senders)
        return received

    assert run_virtual(main()) == ["aa", "bb", "c", "d"]


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


def test_an_offer_to_a_full_blocking_channel_is_not_taken() -> None:
    async def main() -> list[str]:
        channel = of_text(bound=1)
        assert channel.offer("a")
        assert not channel.offer("b")
        return await drain(channel)

    assert run_virtual(main()) == ["a"]


def test_drop_oldest_makes_room_for_the_new() -> None:
    async def main() -> tuple[list[str], int]:
        channel = of_text(Policy.DROP_OLDEST, bound=4)
        for text in ("a", "bb", "c", "ddd"):
            await channel.send(text)
        dropped = channel.stats().dropped
        return await drain(channel), dropped

    assert run_virtual(main()) == (["c", "ddd"], 2)


def test_drop_newest_keeps_what_it_has() -> None:
    async def main() -> tuple[list[str], int]:
        channel = of_text(Policy.DROP_NEWEST, bound=2)
        assert channel.offer("a")
        assert channel.offer("b")
        assert not channel.offer("c")
        await channel.send("d")
        dropped = channel.stats().dropped
        return await drain(channel), dropped

    assert run_virtual(main()) == (["a", "b"], 2)


def test_latest_holds_only_the_newest() -> None:
    async def main() -> tuple[list[str], ChannelStats]:
        channel = of_text(Policy.LATEST)
        for text in ("I", "I am", "I am here"):
            await channel.send(text)
        stats = channel.stats()
        return await drain(channel), stats

    items, stats = run_virtual(main())
    assert items == ["I am here"]
    assert (stats.conflated, stats.dropped, stats.depth) == (2, 0, 9)


def test_reject_raises_and_loses_nothing() -> None:
    async def main() -> list[str]:
        channel = of_text(Policy.REJECT, bound=1)
        await channel.send("a")
        with pytest.raises(ChannelFull, match="text"):
            await channel.send("b")
        with pytest.raises(ChannelFull, match="text"):
            channel.offer("c")
        return await drain(channel)

    assert run_virtual(main()) == ["a"]


def test_a_closed_channel_wakes_its_senders() -> None:
    async def main() -> list[str]:
        channel = of_text(bound=1)
        await channel.send("a")
        senders = [asyncio.create_task(channel.send(text)) for text in ("b", "c")]
        await settle()
        channel.close()
        results = await asyncio.gather(*senders, return_exceptions=True)
        assert [type(result) for result in results] == [ChannelClosed, ChannelClosed]
        return [item async for item in channel]

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


def test_a_sender_cancelled_when_there_was_room_lets_the_next_one_in() -> None:
    async def main() -> str:
        channel = of_text(bound=1)
        await channel.send("a")
        cancelled, patient = (asyncio.create_task(channel.send(text)) for text in ("b", "c"))
        await settle()
        await channel.receive()  # wakes the first, which is cancelled before it can run
        cancelled.cancel()
        await patient
        return await channel.receive()

    assert run_virtual(main()) == "c"


# --- epochs ----------------------------------------------------------------------------------


def test_flush_drops_older_turns_and_keeps_the_rest() -> None:
    async def main() -> tuple[list[str], int]:
        channel = of_turns()
        for turn, text in ((1, "a"), (2, "b"), (1, "c"), (3, "d")):
            await channel.send(Item(turn, text))
        channel.flush(2)
        dropped = channel.stats().dropped
        channel.close()
        return [item.text async for item in channel], dropped

    assert run_virtual(main()) == (["b", "d"], 2)


def test_what_arrives_from_an_older_turn_after_a_flush_is_never_received() -> None:
    async def main() -> list[str]:
        channel = of_turns()
        channel.flush(2)
        channel.flush(1)  # does not bring turn 1 back
        assert not channel.offer(Item(1, "stale"))
        await channel.send(Item(1, "stale"))
        assert channel.offer(Item(2, "fresh"))
        assert channel.stats().dropped == 2
        channel.close()
        return [item.text async for item in channel]

    assert run_virtual(main()) == ["fresh"]


def test_flush_lets_waiting_senders_in() -> None:
    async def main() -> list[str]:
        channel = of_turns(bound=1)
        await channel.send(Item(1, "old"))
        stale = asyncio.create_task(channel.send(Item(1, "stale")))
        fresh = asyncio.create_task(channel.send(Item(2, "fresh")))
        await settle()
        channel.flush(2)
        await stale
        await fresh
        channel.close()
        return [item.text async for item in channel]

    assert run_virtual(main()) == ["fresh"]


def test_flush_needs_items_with_an_epoch() -> None:
    with pytest.raises(ValueError, match="no epoch"):
        of_text().flush(1)


# --- statistics ------------------------------------------------------------------------------


def test_stats_tell_depth_peak_and_age() -> None:
    async def main() -> list[ChannelStats]:
        channel = of_text()
        found = [channel.stats()]
        await channel.send("abc")
        await asyncio.sleep(2)
        await channel.send("de")
        found.append(channel.stats())
        await channel.receive()
        await channel.send("f")
        found.append(channel.stats())
        return found

    assert run_virtual(main()) == [
        ChannelStats(depth=0, peak=0, dropped=0, conflated=0, blocked_s=0.0, oldest_age_s=0.0),
        ChannelStats(depth=5, peak=5, dropped=0, conflated=0, blocked_s=0.0, oldest_age_s=2.0),
        ChannelStats(depth=3, peak=5, dropped=0, conflated=0, blocked_s=0.0, oldest_age_s=0.0),
    ]


def test_a_bound_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Channel("x", bound=0, policy=Policy.BLOCK)


def test_items_count_one_each_unless_they_have_a_size() -> None:
    async def main() -> int:
        channel: Channel[str] = Channel("x", bound=2, policy=Policy.DROP_OLDEST)
        for text in ("long", "longer", "longest"):
            channel.offer(text)
        return channel.stats().depth

    assert run_virtual(main()) == 2


# --- properties ------------------------------------------------------------------------------


@given(
    policy=st.sampled_from(Policy),
    bound=st.integers(1, 4),
    steps=st.lists(st.sampled_from(["offer", "receive", "flush"]), max_size=40),
)
def test_a_channel_does_what_a_list_would(policy: Policy, bound: int, steps: list[str]) -> None:
    """Against a model: items are numbered, and item n belongs to turn n // 3."""

    async def main() -> None:
        channel: Channel[int] = Channel(
            "numbers", bound=bound, policy=policy, epoch=lambda number: number // 3
        )
        model: deque[int] = deque()
        for number, step in enumerate(steps):
            if step == "offer":
                full = len(model) == bound
                try:
                    taken = channel.offer(number)
                except ChannelFull:
                    taken = False
                    assert policy is Policy.REJECT
                assert taken == (not full or policy in (Policy.DROP_OLDEST, Policy.LATEST))
                if policy is Policy.LATEST:
                    model.clear()
                elif taken and full:
                    model.popleft()
                if taken:
                    model.append(number)
            elif step == "receive" and model:
                assert await channel.receive() == model.popleft()
            elif step == "flush":
                channel.flush(number // 3)
                model = deque(held for held in model if held // 3 >= number // 3)
            assert channel.stats().depth == len(model) <= bound
        channel.close()
        assert [item async for item in channel] == list(model)

    run_virtual(main())
