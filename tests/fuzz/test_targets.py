"""Every target with its seeds, and with some thousands of inputs made of them."""

import random
from collections.abc import Iterator

import pytest

from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS
from tests.support.paths import ROOT

MADE = 2_000


def mutated(given: list[bytes], count: int) -> Iterator[bytes]:
    """The same inputs each time: bytes changed, left out, repeated, and two inputs joined."""
    chance = random.Random(6455)
    for _ in range(count):
        data = bytearray(chance.choice(given))
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(data) + 1)
            match chance.randrange(6):
                case 0 if data:
                    data[at % len(data)] = chance.randrange(256)
                case 1 if data:
                    data[at % len(data)] ^= 1 << chance.randrange(8)
                case 2:
                    del data[at : at + chance.randint(1, 20)]
                case 3:
                    data[at:at] = data[max(0, at - chance.randint(1, 20)) : at]
                case 4:
                    data[at:at] = chance.choice((b"\0", b"\r\n", b'"', b"{", b"\xff" * 4, b"-1"))
                case _:
                    data[at:] = chance.choice(given)[at:]
        yield bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_breaks_a_promise(name: str) -> None:
    holds(name, MADE)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["native", "openai", "live", "rtvi", "twilio"])
def test_no_input_of_a_hundred_thousand_breaks_one(name: str) -> None:
    holds(name, 100_000)


def holds(name: str, count: int) -> None:
    target, given = TARGETS[name], seeds(name)
    for data in [*given, *mutated(given, count)]:
        try:
            target(data)
        except Exception as error:
            error.add_note(f"the input was {data!r}")
            raise


def test_make_fuzz_knows_every_target() -> None:
    (line,) = [line for line in (ROOT / "Makefile").read_text().splitlines() if "FUZZ  " in line]
    assert line.partition("?=")[2].split() == list(TARGETS)
