"""A client's call of a model: asks the services that have the model, one after the other.

If another model may have to be asked, a reply is held until it is judged; any other reply goes
through piece by piece. Every reply is counted, also one that no client gets.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any, Final

from starlette.types import Message

from gateway.models.answer import ModelAnswer
from gateway.models.replies import ReplyReader, ReplyWishes
from gateway.models.requests import (
    PlainServers,
    addition_to,
    asked_for,
    idempotency_key,
    path_of,
)
from gateway.models.routing import ModelReply, Pins, Reason, judge
from gateway.models.usage import CallUsage, prompt_tokens
from gateway.services.exchange import Exchange, NoAnswer, ProxiedCall, ServiceAnswer
from gateway.services.forwarding import Framing, Headers
from gateway.services.model_specs import Models, ModelSpec
from gateway.services.registry import Registry, Service
from gateway.services.request_body import RequestBody
from gateway.services.upstreams import Upstreams

logger = logging.getLogger("parley.models")

EVENTS: Final = b"text/event-stream"
LEARNS: Final = (400, 422)


class NoModel(Exception):
    """There is no model of this name."""


class ModelUnavailable(Exception):
    """No service has answered. The text is for the client."""

    def __init__(self, reason: str, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall:
    """A request: `call` says who asks, `body` what; `client` and `session` are for the pins.

    It began at `begun`, by the loop's clock. `admit` is called with the name of each service before
    the service is asked, and raises if it may not be asked.
    """

    call: ProxiedCall
    body: Mapping[str, Any]
    client: str
    session: str
    begun: float
    admit: Callable[[str], Awaitable[None]]

    @property
    def streamed(self) -> bool:
        return bool(self.body.get("stream"))

    def left_s(self, now: float) -> float | None:
        """How long the client still waits for the head of an answer, if it says so."""
        budget_s = self.call.budget_s
        return None if budget_s is None else self.begun + budget_s - now


class ModelCalls:
    """Makes calls of models. `own` are services that are behind no path.

    `keys` has the `Authorization` that each service is sent, by the service's name.
    """

    def __init__(
        self,
        models: Models,
        registry: Registry,
        own: Registry,
        upstreams: Upstreams,
        keys: Mapping[str, str],
    ) -> None:
        self.models = models
        self._registry = registry
        self._own = own
        self._upstreams = upstreams
        self._keys = keys
        self._pins = Pins()
        self._plain = PlainServers()

    async def ask(self, call: ModelCall, spent: list[ModelReply]) -> ModelAnswer:
        """The answer of a model. `spent` gets the replies that no client is given.

        Raises `NoModel` and `ModelUnavailable`.
        """
        asked = call.body["model"]
        spec = self._pins.first(self.models, call.client, call.session, asked)
        if spec is None:
            raise NoModel(asked)
        escalated: Reason | None = None
        unsure: tuple[ModelAnswer, ModelReply] | None = None
        while True:
            answer, reason = await self._reply(spec, call, escalated, spent)
            if reason == "confidence" and isinstance(answer, ModelAnswer):
                unsure = answer, spent[-1]
            following = self.models.find(spec.escalate_to) if reason else None
            if following is None:  # the next one may have gone with a new file
                break
            logger.info("%s is asked after %s: %s", following.name, spec.name, reason)
            spec, escalated = following, reason
        if unsure is not None and unsure[0] is not answer and _is_missing(answer):
            if isinstance(answer, ModelAnswer):
                async with answer:
                    pass
            answer, own = unsure
            answer.stand_in((one for one in spent if one is not own), own)
            return answer  # and the session may have a better one next time
        if isinstance(answer, ModelUnavailable):
            raise answer
        if answer.status < 400:
            self._pins.pin(call.client, call.session, asked, spec.name)
        return answer

    async def _reply(
        self,
        spec: ModelSpec,
        call: ModelCall,
        escalated: Reason | None,
        spent: list[ModelReply],
    ) -> tuple[ModelAnswer | ModelUnavailable, Reason | None]:
        """One model's answer, and why the next one is to be asked."""
        service = self._own.find(spec.service) or self._registry.find(spec.service)
        if service is None:
            return ModelUnavailable(f"{spec.name} has no service now"), judge(spec, None)
        try:
            answer = await self._answer(service, spec, call, escalated, spent)
        except ModelUnavailable as error:
            return error, judge(spec, None)
        if not spec.escalate_to:
            return answer, None
        longest_s, left_s = service.spec.timeout_s, call.left_s(_now())
        if left_s is not None:
            longest_s = min(longest_s, left_s)
        try:
            facts = await answer.hold(longest_s)
        except BaseException:  # its client has left
            if answer.own is not None:
                spent.append(answer.own)
            raise
        reason = judge(spec, facts)
        if reason is not None:
            if answer.own is not None:
                spent.append(replace(answer.own, escalated=reason))
            if facts is None:
                return ModelUnavailable(f"{spec.name} gave no whole reply"), reason
        return answer, reason

    async def _answer(
        self,
        service: Service,
        spec: ModelSpec,
        call: ModelCall,
        escalated: Reason | None,
        spent: list[ModelReply],
    ) -> ModelAnswer:
        addition = addition_to(spec, call.body)
        plain = self._plain.knows(addition, _now())
        wanted = asked_for(spec, call.body, plain=plain)
        answer = await self._exchange(service, spec, call, wanted, escalated, spent)
        if answer.status in LEARNS and addition[-1] and not plain:
            async with answer:
                pass
            wanted = asked_for(spec, call.body, plain=True)
            answer = await self._exchange(service, spec, call, wanted, escalated, spent)
            if answer.status < 400:
                self._plain.learn(addition, _now())
        return answer

    async def _exchange(
        self,
        service: Service,
        spec: ModelSpec,
        call: ModelCall,
        wanted: Mapping[str, Any],
        escalated: Reason | None,
        spent: list[ModelReply],
    ) -> ModelAnswer:
        await call.admit(service.name)
        left_s = call.left_s(_now())
        if left_s is not None and left_s <= 0:
            raise ModelUnavailable(f"{spec.name}: no time is left")
        sent = json.dumps(wanted, separators=(",", ":")).encode()
        proxied = replace(
            call.call,
            raw_path=path_of(service.spec),
            query=b"",
            headers=self._headers(service.name, call, sent),
            framing=Framing(len(sent)),
            budget_s=left_s,
        )
        if self._own.find(service.name) is not None:  # it need not be of the platform
            proxied = replace(proxied, origin=replace(call.call.origin, client="", host=b""))
        body = RequestBody(_received(sent), empty=False, most_bytes=len(sent))
        stack = AsyncExitStack()
        asked = ModelReply(
            spec.name,
            CallUsage(prompt_tokens(call.body), estimated=True),
            judge(spec, None),
        )
        try:
            exchange = Exchange(service, self._upstreams, proxied, body)
            answered = await stack.enter_async_context(exchange.answer())
        except NoAnswer as missing:
            logger.warning("%s: %s: %s", spec.name, service.name, missing.reason)
            if missing.missing == "late" and not missing.unseen:
                spent.append(asked)  # it has been worked on
            raise ModelUnavailable(
                f"{spec.name}: {missing.reason}", missing.retry_after_s
            ) from None
        except asyncio.CancelledError:  # the service may work all the same
            spent.append(replace(asked, escalated=None))
            raise
        if (why := self._unusable(service, answered)) is not None:
            await stack.aclose()
            raise ModelUnavailable(f"{spec.name}: {why}")
        reader = None if answered.status >= 400 else _reader(spec, call, answered)
        return ModelAnswer(
            spec.name,
            escalated,
            answered,
            stack,
            reader,
            spent,
            most_bytes=service.spec.max_response_bytes,
        )

    def _unusable(self, service: Service, answered: ServiceAnswer) -> str | None:
        """Why no client may get an answer."""
        if answered.status in (401, 403) and service.name in self._keys:
            logger.error("%s refuses the key of the gateway", service.name)
            return "its server refuses the gateway"
        if 300 <= answered.status < 400:
            return "its server leads elsewhere"
        codings = [value.lower() for name, value in answered.head if name == b"content-encoding"]
        return None if codings in ([], [b"identity"]) else "its server answers in a coding"

    def _headers(self, service: str, call: ModelCall, sent: bytes) -> Headers:
        """No headers of the client's, which are for the gateway; its idempotency key is changed."""
        found: Headers = [
            (b"content-type", b"application/json"),
            (b"accept", EVENTS if call.streamed else b"application/json"),
            (b"accept-encoding", b"identity"),
        ]
        if (key := self._keys.get(service)) is not None:
            found.append((b"authorization", key.encode()))
        once = idempotency_key(call.client, call.call.headers, sent)
        return found if once is None else [*found, (b"idempotency-key", once)]


def _reader(spec: ModelSpec, call: ModelCall, answered: ServiceAnswer) -> ReplyReader:
    types = [value.lower() for name, value in answered.head if name == b"content-type"]
    options = call.body.get("stream_options") or {}
    return ReplyReader(
        streamed=any(kind.startswith(EVENTS) for kind in types),
        judged=bool(spec.escalate_to),
        wishes=ReplyWishes(
            usage=bool(options.get("include_usage")),
            logprobs=bool(call.body.get("logprobs")) or not spec.escalate_to,
        ),
        prompt_tokens=prompt_tokens(call.body),
    )


def _now() -> float:
    return asyncio.get_running_loop().time()


def _is_missing(answer: ModelAnswer | ModelUnavailable) -> bool:
    """Whether a model could not answer: then the unsure reply of the one before is better."""
    if isinstance(answer, ModelUnavailable):
        return True
    return answer.status >= 500 or answer.status == 429


def _received(body: bytes) -> Any:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
