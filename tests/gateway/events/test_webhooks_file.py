"""A file of webhooks is used as a whole, or refused at the line that is wrong."""

from base64 import b64encode

import pytest

from gateway.events.event import EVENT_TYPES
from gateway.events.webhooks_file import Webhook, parse_webhooks
from gateway.services.yaml_reader import YamlError

KEY = bytes(range(32))
SECRET = f"whsec_{b64encode(KEY).decode()}"
HEAD = "webhooks:\n  - name: hr\n"


def test_a_webhook_has_all_events_and_public_addresses_unless_the_file_says_more() -> None:
    read = parse_webhooks(f"{HEAD}    url: https://u/h?k=1\n    secret: {SECRET}\n", "w.yaml")
    assert read.webhooks == (Webhook("hr", "https://u/h?k=1", (KEY,), frozenset(EVENT_TYPES)),)
    assert read.webhooks[0].place == "https://u/h"
    assert "whsec" not in repr(read)
    assert repr(KEY) not in repr(read)
    assert (read.networks.allowed("9.9.9.9"), read.networks.allowed("127.0.0.1")) == (
        "9.9.9.9",
        None,
    )


def test_events_several_secrets_and_networks_are_read() -> None:
    read = parse_webhooks(
        f"{HEAD}    url: http://u\n    secret: [{SECRET}, {SECRET}]\n"
        "    events: [report.ready]\nnetworks: 10.0.0.0/8\n",
        "w.yaml",
    )
    assert read.webhooks[0].types == frozenset({"report.ready"})
    assert len(read.webhooks[0].secrets) == 2
    assert (read.networks.allowed("10.1.1.1"), read.networks.allowed("9.9.9.9")) == (
        "10.1.1.1",
        None,
    )


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("webhooks: []\n", 1, "must be a list"),
        (f"{HEAD}    url: ftp://u\n    secret: {SECRET}\n", 3, "must be a URL"),
        (f"{HEAD}    url: https://a:b@u\n    secret: {SECRET}\n", 3, "without a password"),
        (f"{HEAD}    url: https://u\n    secret: short\n", 4, "must be whsec_"),
        (f"{HEAD}    url: https://u\n    secret: {SECRET}\n    events: [x]\n", 5, "one of"),
        (f"{HEAD}    url: https://u\n    secret: {SECRET}\n    more: 1\n", 5, "no field"),
        (f"{HEAD}    url: https://u\n    secret: {SECRET}\nnetworks: x\n", 5, "networks like"),
        (
            f"{HEAD}    url: https://u\n    secret: {SECRET}\n"
            f"  - name: hr\n    url: https://u\n    secret: {SECRET}\n",
            5,
            "comes twice",
        ),
    ],
    ids=["empty", "scheme", "password", "secret", "event", "field", "networks", "twice"],
)
def test_a_mistake_is_named_with_its_line(text: str, line: int, problem: str) -> None:
    with pytest.raises(YamlError, match=problem) as caught:
        parse_webhooks(text, "w.yaml")
    assert caught.value.line == line
    assert SECRET not in str(caught.value)
