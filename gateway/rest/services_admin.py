"""`/admin/services`: the services behind the gateway, for its operator."""

import asyncio
import logging
import time
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field
from starlette.requests import Request

from gateway.rest.operation import Operation, ResponseSpec
from gateway.rest.operator_access import ADMIN_KEY_REQUIRED, ADMIN_OFF, OperatorAccess
from gateway.rest.problems import Kind
from gateway.rest.service_probe import OfflineService, OnlineService, iso
from gateway.rest.service_probe import Service as ServiceEntry
from gateway.services.health import HealthState, Probed
from gateway.services.instances import Instance
from gateway.services.probing import Prober
from gateway.services.registry import Registry, Service
from gateway.services.reloading import ServicesReload
from gateway.services.sources import ServicesUnusable
from gateway.services.totals import Totals
from pipeline.breaker import BreakerState

logger = logging.getLogger("parley.operator")

NO_SUCH_SERVICE = Kind("no_such_service", 404, "There is no service of this name")
SERVICES_OFF = Kind("services_off", 409, "There is no file of services")
SERVICES_INVALID = Kind("services_invalid", 422, "The file of services has a mistake")

TAGS = ("operation",)
ERRORS = (ADMIN_KEY_REQUIRED, ADMIN_OFF)

EXAMPLE: dict[str, Any] = {
    "name": "conversation-service",
    "status": "degraded",
    "instances": [
        {
            "host": "10.0.0.7",
            "port": 8003,
            "protocol": "http",
            "weight": 1,
            "health": "down",
            "circuit": "closed",
            "retryAfterSeconds": 0.0,
            "inFlight": 0,
            "calls": 120,
            "failures": 3,
            "latencyMs": 4,
            "lastChecked": "2026-11-29T21:40:02Z",
            "error": "Connection refused",
        }
    ],
}


EXAMPLE_METRICS: dict[str, Any] = {
    "total_requests": 120,
    "failed_requests": 3,
    "avg_response_time": 0.0042,
    "circuit_breakers_open": 0,
}


class InstanceStatus(BaseModel):
    """One instance, as this process knows it. `latencyMs` is of the last probe that was answered,
    `lastChecked` the time of the last one (UTC), `error` what was wrong then."""

    host: str
    port: int
    protocol: str
    weight: int
    health: Annotated[str, Field(description="by probes: unknown, up or down")]
    circuit: Annotated[str, Field(description="of its breaker: closed, open or half-open")]
    retryAfterSeconds: float
    inFlight: int
    calls: int
    failures: int
    latencyMs: int | None
    lastChecked: str | None
    error: str | None


class ServiceStatus(BaseModel):
    """One service: online if all its instances get calls, degraded if some do."""

    name: str
    status: Literal["online", "degraded", "offline"]
    instances: list[InstanceStatus]


class AdminServices(BaseModel):
    """The services behind the gateway."""

    services: list[ServiceStatus]


class CircuitReset(BaseModel):
    """The seed's answer to a reset."""

    message: str


class ServiceMetrics(BaseModel):
    """The seed's figures: of requests to services, since the process began.

    `failed_requests` have a status of 500 or more, `avg_response_time` is in seconds, to the head
    of an answer.
    """

    total_requests: int
    failed_requests: int
    avg_response_time: float
    circuit_breakers_open: int


class RegistryHealth:
    """The services of `/health`, from the results of probes and calls."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def services(self) -> list[ServiceEntry]:
        """The services that are probed, with what is known of them now: this call asks none of
        them."""
        now = asyncio.get_running_loop().time()
        return [_entry(one, now) for one in self._registry if one.spec.health_endpoints]


def service_operations(
    registry: Registry,
    prober: Prober,
    reload: ServicesReload | None,
    totals: Totals,
    access: OperatorAccess,
    own: Registry | None = None,
) -> list[Operation]:
    """The endpoints for services; `reload` is None if there is no file.

    `own` are services behind no path, whose breakers count with the others'.
    """

    def named(request: Request) -> Service:
        service = registry.find(request.path_params["service"])
        if service is None:
            names = ", ".join(one.name for one in registry) or "none"
            raise NO_SUCH_SERVICE(f"There are {names}")
        return service

    def listed() -> AdminServices:
        now = asyncio.get_running_loop().time()
        return AdminServices(services=[_status(service, now) for service in registry])

    async def services(request: Request) -> AdminServices:
        return listed()

    async def health(request: Request) -> ServiceStatus:
        service = named(request)
        if service.spec.health_endpoints:
            await prober.ask(service)
        return _status(service, asyncio.get_running_loop().time())

    async def reset(request: Request) -> CircuitReset:
        service = named(request)
        for instance in service.instances.values():
            instance.reset(asyncio.get_running_loop().time())
        logger.warning("the operator asked for a reset of the breakers of %s", service.name)
        return CircuitReset(message=f"Circuit breaker reset for {service.name}")

    async def reloaded(request: Request) -> AdminServices:
        if reload is None:
            raise SERVICES_OFF("PARLEY_SERVICES names none")
        try:
            await reload.reload()
        except ServicesUnusable as error:
            raise SERVICES_INVALID(str(error)) from None
        return listed()

    async def metrics(request: Request) -> ServiceMetrics:
        now = asyncio.get_running_loop().time()
        services = (*registry, *(own or ()))
        instances = [one for service in services for one in service.instances.values()]
        for one in instances:
            one.breaker.poll(now)
        return ServiceMetrics(
            total_requests=totals.requests,
            failed_requests=totals.failed,
            avg_response_time=round(totals.average_s, 6),
            circuit_breakers_open=sum(one.breaker.state is BreakerState.OPEN for one in instances),
        )

    look = partial(Operation, method="GET", tags=TAGS, guard=access.admin)
    act = partial(Operation, method="POST", tags=TAGS, guard=access.admin)
    all_of_them = {"services": [EXAMPLE]}
    return [
        look(
            path="/admin/services",
            name="adminServices",
            handler=services,
            summary="The services behind the gateway, and how their instances are",
            answers={200: ResponseSpec("They", AdminServices, all_of_them)},
            errors=ERRORS,
        ),
        look(
            path="/admin/metrics",
            name="adminMetrics",
            handler=metrics,
            summary="Figures of the requests to services; /metrics has those of conversations",
            answers={200: ResponseSpec("They", ServiceMetrics, EXAMPLE_METRICS)},
            errors=ERRORS,
        ),
        act(
            path="/admin/services/reload",
            name="reloadServices",
            handler=reloaded,
            summary="Read the file of services again; one with a mistake changes nothing",
            answers={200: ResponseSpec("The services now", AdminServices, all_of_them)},
            errors=(*ERRORS, SERVICES_OFF, SERVICES_INVALID),
        ),
        look(
            path="/admin/services/{service}/health",
            name="checkService",
            handler=health,
            summary="Ask the instances of a service how they are, now",
            answers={200: ResponseSpec("How they are", ServiceStatus, EXAMPLE)},
            errors=(*ERRORS, NO_SUCH_SERVICE),
        ),
        act(
            path="/admin/services/{service}/circuit-reset",
            name="resetCircuit",
            handler=reset,
            summary="Close the breakers of a service's instances",
            answers={
                200: ResponseSpec(
                    "They are closed",
                    CircuitReset,
                    {"message": "Circuit breaker reset for conversation-service"},
                )
            },
            errors=(*ERRORS, NO_SUCH_SERVICE),
        ),
    ]


def _status(service: Service, now: float) -> ServiceStatus:
    usable = [one.usable(now) for one in service.instances.values()]
    return ServiceStatus(
        name=service.name,
        status="offline" if not any(usable) else "online" if all(usable) else "degraded",
        instances=[_instance(one, now) for one in service.instances.values()],
    )


def _instance(one: Instance, now: float) -> InstanceStatus:
    last, answered = one.health.last, one.health.answered
    return InstanceStatus(
        host=one.endpoint.host,
        port=one.endpoint.port,
        protocol=one.endpoint.protocol,
        weight=one.endpoint.weight,
        health=one.health.state.value,
        circuit=one.breaker.state.value,
        retryAfterSeconds=round(one.breaker.retry_after(now), 1),
        inFlight=one.in_flight,
        calls=one.calls,
        failures=one.failures,
        latencyMs=None if answered is None else round(answered.latency_s * 1000),
        lastChecked=None if last is None else _at(last, now),
        error=(last.problem or None) if last is not None else None,
    )


def _entry(service: Service, now: float) -> ServiceEntry:
    usable = [one for one in service.instances.values() if one.usable(now)]
    answered = [one.health.answered for one in usable if one.health.answered is not None]
    if answered:
        newest = max(answered, key=lambda probe: probe.at)
        latency_ms = round(newest.latency_s * 1000)
        return OnlineService(name=service.name, latencyMs=latency_ms, lastChecked=_at(newest, now))
    down = [one for one in service.instances.values() if one.health.state is HealthState.DOWN]
    problems = [one.health.last.problem for one in down if one.health.last is not None]
    if not service.instances:
        return OfflineService(name=service.name, error="no instance")
    error = problems[0] if problems else "no answer yet" if usable else "calls fail"
    return OfflineService(name=service.name, error=error or "not yet well again")


def _at(probe: Probed, now: float) -> str:
    """The time of a probe, in UTC."""
    return iso(time.time() - (now - probe.at))
