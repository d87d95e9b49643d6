"""A ticket is used once in every store, whichever process is asked."""

import asyncio
from typing import Any

from gateway.security.tickets import find_ticket, make_pass, make_ticket, use_ticket

NOW = 1_800_000_000.0


def test_of_clients_at_two_processes_one_uses_the_ticket(place: Any) -> None:
    async def main() -> None:
        one, other = place.store(), place.store()
        try:
            issued = await make_ticket(one, "a", lifetime_s=60, now=NOW)
            stores = (one, other) * 4
            found = [await find_ticket(store, issued.value, now=NOW) for store in stores]
            used = await asyncio.gather(
                *(
                    use_ticket(store, ticket, now=NOW)
                    for store, ticket in zip(stores, found, strict=True)
                    if ticket is not None
                )
            )
            assert sorted(used) == [False] * 7 + [True]
            assert await find_ticket(other, issued.value, now=NOW) is None
        finally:
            await one.aclose()
            await other.aclose()

    asyncio.run(main())


def test_the_store_forgets_what_has_expired_and_what_is_erased(place: Any) -> None:
    async def main() -> None:
        store = place.store()
        try:
            await make_ticket(store, "a", lifetime_s=60, now=NOW)
            await make_pass(store, "a", lifetime_s=600, now=NOW)
            await make_pass(store, "b", lifetime_s=600, now=NOW)
            assert await store.erase("a") == 2
            await place.pass_time(601)
            assert await store.page("pass", limit=10) == await store.page("none", limit=10)
        finally:
            await store.aclose()

    asyncio.run(main())
