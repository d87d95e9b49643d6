"""`docs/gpt-live.md` names every error code and every limit as the code has it."""

from gateway.protocols import client_events
from gateway.protocols.openai_live import errors, fields, history, requests
from tests.fuzz.targets import LIVE_CODES
from tests.support.paths import ROOT

DOC = (ROOT / "docs/gpt-live.md").read_text(encoding="utf-8")


def test_every_error_code_is_documented() -> None:
    codes = {
        value for name, value in vars(errors).items() if name.isupper() and isinstance(value, str)
    }
    assert {code for code in codes | LIVE_CODES if f"`{code}`" not in DOC} == set()


def test_the_documented_limits_are_those_of_the_code() -> None:
    limits = DOC.split("## Limits")[1].split("## Errors")[0]
    kib, mib = 1024, 1024 * 1024
    for text in (
        f"| audio in one append | {requests.LONGEST_APPEND_MS // 1000} s |",
        f"| an event | {client_events.LONGEST_EVENT_BYTES // mib} MiB; where it has more than"
        f" {client_events.MOST_COMMAS} commas, {client_events.LONGEST_DENSE_BYTES // kib} KiB |",
        f"| what a client adds to a conversation | {history.MOST_CLIENT_BYTES // mib} MiB |",
        f"| the conversation | {history.MOST_LINES} lines;",
        f"| text of one item | {fields.LONGEST_TEXT_BYTES // kib} KiB; an answer typed in an"
        f" interview {requests.LONGEST_TYPED_BYTES // kib} KiB |",
        f"| instructions | {fields.LONGEST_INSTRUCTIONS // kib} KiB |",
        f"| tools | {fields.MOST_TOOLS} |",
        f"| `input` of a session | {fields.MOST_INPUT_ITEMS} messages |",
        f"| nesting of an event | {client_events.DEEPEST} levels |",
    ):
        assert text in limits
