"""`docs/openai-realtime.md` names every error code and every limit as the code has it."""

from pathlib import Path

from gateway.live import sideband
from gateway.protocols import client_events
from gateway.protocols.openai_realtime import (
    conversation,
    errors,
    fields,
    items,
    out_of_band,
)
from gateway.protocols.openai_realtime import requests as client_requests

DOC = (Path(__file__).parents[4] / "docs/openai-realtime.md").read_text(encoding="utf-8")


def test_every_error_code_is_documented() -> None:
    codes = {
        value for name, value in vars(errors).items() if name.isupper() and isinstance(value, str)
    }
    assert {code for code in codes if f"`{code}`" not in DOC} == set()


def test_the_documented_limits_are_those_of_the_code() -> None:
    limits = DOC.split("## Limits")[1].split("## Errors")[0]
    kib, mib = 1024, 1024 * 1024
    append_s = client_requests.LONGEST_APPEND_MS // 1000
    for text in (
        f"| audio in one append | {append_s} s |",
        f"{client_events.LONGEST_EVENT_BYTES // mib} MiB; where it has more than"
        f" {client_events.MOST_COMMAS}",
        f"{client_events.LONGEST_DENSE_BYTES // kib} KiB |",
        f"{conversation.MOST_ITEMS} items, {conversation.MOST_CLIENT_BYTES // mib} MiB",
        f"{items.LONGEST_TEXT_BYTES // kib} KiB; an answer typed",
        f"in an interview {client_requests.LONGEST_TYPED_BYTES // kib} KiB",
        f"| instructions | {fields.LONGEST_INSTRUCTIONS // kib} KiB |",
        f"| tools | {fields.MOST_TOOLS} |",
        f"{fields.MOST_INPUT_ITEMS} items |",
        f"beside the conversation | {out_of_band.MOST_OUT_OF_BAND} at once",
        f"an event of a sideband | {sideband.LONGEST_MESSAGE_BYTES // kib} KiB |",
        f"sidebands of a call | {sideband.MOST_SIDEBANDS} at once",
        f"{client_events.DEEPEST} levels",
    ):
        assert text in limits
