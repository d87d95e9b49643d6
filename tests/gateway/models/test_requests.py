"""What services are asked for: a key that is one client's, and nothing that they refuse."""

from gateway.models.requests import (
    MOST_PLAIN,
    PLAIN_S,
    PlainServers,
    addition_to,
    asked_for,
    idempotency_key,
)
from gateway.services.model_specs import ModelSpec

CHEAP = ModelSpec("interviewer", "small", "qwen:3b", "large")
LAST = ModelSpec("large", "large", "qwen:72b")


def test_a_key_for_doing_it_once_is_of_one_client_and_of_one_body() -> None:
    headers = [(b"cookie", b"a=1"), (b"idempotency-key", b"1")]
    first = idempotency_key("anna", headers, b"{}")
    assert first is not None
    assert (len(first), first.isalnum()) == (64, True)
    assert idempotency_key("anna", headers, b"{}") == first
    others = [
        idempotency_key("bert", headers, b"{}"),
        idempotency_key("anna", headers, b"{ }"),
        idempotency_key("anna", [(b"idempotency-key", b"2")], b"{}"),
        idempotency_key("anna", [*headers, (b"idempotency-key", b"1")], b"{}"),
        idempotency_key("anna1", [(b"idempotency-key", b"")], b"{}"),
    ]
    assert len({first, *others}) == 6
    assert idempotency_key("anna", headers[:1], b"{}") is None


def test_what_is_added_to_a_request_is_known_by_its_names() -> None:
    for spec, body, added in (
        (CHEAP, {"stream": True}, ("stream_options", "logprobs")),
        (CHEAP, {"stream": True, "stream_options": {"include_usage": True}}, ("logprobs",)),
        (CHEAP, {"logprobs": True}, ()),
        (LAST, {"stream": True}, ("stream_options",)),
        (LAST, {}, ()),
    ):
        assert addition_to(spec, body) == (spec.service, spec.model, added)
        assert asked_for(spec, body, plain=True) == {**body, "model": spec.model}


def test_what_a_server_refused_is_left_out_for_a_while_alone() -> None:
    plain = PlainServers()
    both, one = ("s", "m", ("stream_options", "logprobs")), ("s", "m", ("logprobs",))
    plain.learn(both, 100.0)
    assert [plain.knows(both, now) for now in (100.0, 99.0 + PLAIN_S, 100.0 + PLAIN_S)] == [
        True,
        True,
        False,
    ]
    assert not plain.knows(one, 100.0)
    for number in range(MOST_PLAIN):
        plain.learn(("s", f"{number}", ()), 100.0)
    assert not plain.knows(both, 100.0)
    assert plain.knows(("s", "0", ()), 100.0)
