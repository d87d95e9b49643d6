"""`/admin/services/{service}/instances/{id}`: instances that register themselves, with a lease."""

import logging
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field
from starlette.requests import Request

from gateway.rest.operation import HttpReply, Operation, ResponseSpec
from gateway.rest.operator_access import ADMIN_KEY_REQUIRED, ADMIN_OFF, OperatorAccess
from gateway.rest.problems import CONFLICT, STORE_UNAVAILABLE, Kind
from gateway.rest.reading import Body
from gateway.services.definition import Endpoint
from gateway.services.leases import Lease
from gateway.services.registration import Registration, RegistrationRefused

logger = logging.getLogger("parley.operator")

REGISTRATION_OFF = Kind("registration_off", 409, "No instance registers itself here")
INVALID_NAME = Kind("invalid_name", 422, "A service or an instance cannot have this name")
ADDRESS_NOT_ALLOWED = Kind("address_not_allowed", 422, "No instance may be at this address")
TOO_MANY_INSTANCES = Kind("too_many_instances", 409, "There are too many instances")
NO_SUCH_INSTANCE = Kind("no_such_instance", 404, "No instance has registered under this name")

REFUSALS = {
    "off": REGISTRATION_OFF,
    "name": INVALID_NAME,
    "address": ADDRESS_NOT_ALLOWED,
    "many": TOO_MANY_INSTANCES,
}

PLACE: dict[str, Any] = {"host": "10.0.0.7", "port": 8088, "ttl_s": 30}


class NewInstance(Body):
    """Where an instance is, and for how long without a renewal. `host` is an IP address."""

    host: Annotated[str, Field(min_length=2, max_length=45)]
    port: Annotated[int, Field(ge=1, le=65_535)]
    protocol: Literal["http", "https"] = "http"
    weight: Annotated[int, Field(ge=1, le=1000)] = 1
    ttl_s: Annotated[int, Field(ge=5, le=3600)] = 30


class RegisteredInstance(BaseModel):
    """A lease: it ends `ttl_s` seconds after this answer unless it is renewed."""

    service: str
    id: str
    ttl_s: int


def registration_operations(registration: Registration, access: OperatorAccess) -> list[Operation]:
    """The endpoints with which instances come and go."""

    async def put(request: Request, wanted: NewInstance) -> HttpReply:
        service, id = request.path_params["service"], request.path_params["id"]
        place = Endpoint(wanted.host, wanted.port, wanted.protocol, wanted.weight)
        try:
            new = await registration.put(Lease(service, id, place, wanted.ttl_s))
        except RegistrationRefused as refused:
            raise REFUSALS[refused.why](str(refused)) from None
        held = RegisteredInstance(service=service, id=id, ttl_s=wanted.ttl_s)
        return HttpReply(held, 201 if new else 200)

    async def end(request: Request) -> HttpReply:
        service, id = request.path_params["service"], request.path_params["id"]
        if not await registration.end(service, id):
            raise NO_SUCH_INSTANCE()
        return HttpReply(status=204)

    described = partial(
        Operation,
        path="/admin/services/{service}/instances/{id}",
        tags=("operation",),
        guard=access.admin,
    )
    example = {"service": "plan-service", "id": "plan-1", "ttl_s": 30}
    errors = (ADMIN_KEY_REQUIRED, ADMIN_OFF, CONFLICT, STORE_UNAVAILABLE)
    return [
        described(
            method="PUT",
            name="registerInstance",
            handler=put,
            summary="Register an instance of a service, or renew its lease",
            body=NewInstance,
            body_example=PLACE,
            answers={
                200: ResponseSpec("It is renewed", RegisteredInstance, example),
                201: ResponseSpec("It gets calls from now on", RegisteredInstance, example),
            },
            errors=(*errors, *REFUSALS.values()),
        ),
        described(
            method="DELETE",
            name="endInstance",
            handler=end,
            summary="End an instance's lease: it gets no further calls",
            answers={204: ResponseSpec("It is ended")},
            errors=(*errors, NO_SUCH_INSTANCE),
        ),
    ]
