"""The request that a service gets for a client's request. Pure.

It asks for more in the reply than the client wants; `replies` removes the additions.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from gateway.services.definition import ServiceSpec
from gateway.services.model_specs import ModelSpec

PREFIX: Final = b"/v1"

MOST_PLAIN: Final = 64
PLAIN_S: Final = 600.0
"""How long a server gets requests without additions after it has refused one. It may have refused
that request only: other clients' replies must not stay unjudged for it."""

Addition = tuple[str, str, tuple[str, ...]]
"""A service, its model, and the names of the fields that were added to a client's request."""


def asked_for(spec: ModelSpec, body: Mapping[str, Any], *, plain: bool = False) -> dict[str, Any]:
    """The body for the service: it asks for a stream's usage, and for probabilities if a reply is
    judged. `plain` leaves both out, for servers that refuse them."""
    wanted = {**body, "model": spec.model}
    if plain:
        return wanted
    if body.get("stream"):
        wanted["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
    if spec.escalate_to and spec.confidence > 0:
        wanted["logprobs"] = True
    return wanted


def addition_to(spec: ModelSpec, body: Mapping[str, Any]) -> Addition:
    """The addition of `asked_for` to a client's request; without names if it adds nothing."""
    wanted, plain = asked_for(spec, body), asked_for(spec, body, plain=True)
    added = tuple(name for name, value in wanted.items() if plain.get(name) != value)
    return spec.service, spec.model, added


def path_of(spec: ServiceSpec) -> bytes:
    """The path at which a service takes chats: below its `base_path`, or `/v1` if it has none."""
    return PREFIX + (spec.base_path or "/v1").encode() + b"/chat/completions"


def idempotency_key(
    client: str, headers: Iterable[tuple[bytes, bytes]], sent: bytes
) -> bytes | None:
    """The `Idempotency-Key` of a request with this body, if the client has sent one.

    A service that knows only the gateway's key cannot tell clients apart: with their own keys one
    client could get another's reply. And a service refuses a key that comes with another body, as
    it does when another model is asked.
    """
    given = [value for name, value in headers if name == b"idempotency-key"]
    if not given:
        return None
    parts = [client.encode(), *given, sent]
    whole = hashlib.sha256(b"".join(b"%d:%b" % (len(part), part) for part in parts))
    return whole.hexdigest().encode()


class PlainServers:
    """Which additions have been refused, each for `PLAIN_S`; at most `MOST_PLAIN` of them."""

    def __init__(self) -> None:
        self._until: OrderedDict[Addition, float] = OrderedDict()

    def knows(self, addition: Addition, now: float) -> bool:
        """Whether to leave the addition out."""
        return now < self._until.get(addition, now)

    def learn(self, addition: Addition, now: float) -> None:
        """Note that the addition was refused, and the request without it was not."""
        self._until[addition] = now + PLAIN_S
        self._until.move_to_end(addition)
        if len(self._until) > MOST_PLAIN:
            self._until.popitem(last=False)
