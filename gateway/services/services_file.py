"""Reads the services and models out of the text of `services.yaml`. Pure."""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

from gateway.services.definition import (
    SERVICE_NAME,
    Backoff,
    Balancing,
    Endpoint,
    Fallback,
    RetryPolicy,
    Scheme,
    ServiceFallback,
    ServiceSpec,
    StaticFallback,
)
from gateway.services.model_specs import ModelSpec, parse_models
from gateway.services.yaml_reader import YamlError, YamlFields, YamlValue

HOST_NAME: Final = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
    r"(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*"
)
URL_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@-]+)+")
"""A path of plain segments, without a slash at the end."""

LOCATED: Final = ("host", "port", "protocol")
SERVICE: Final = (
    "name",
    *LOCATED,
    "instances",
    "health_endpoint",
    "base_path",
    "timeout",
    "connect_timeout",
    "idle_timeout",
    "retry_policy",
    "balancing",
    "slow_start",
    "max_connections",
    "max_request_mb",
    "max_response_mb",
    "max_websockets",
    "max_message_mb",
    "websocket_idle_timeout",
    "fallback",
)
LONGEST_S: Final = 3600.0
MOST_MB: Final = 100_000


@dataclass(frozen=True, slots=True)
class ServicesFile:
    """The contents of a file: its services and its models by their names, in the file's order."""

    services: Mapping[str, ServiceSpec] = field(default_factory=dict)
    models: Mapping[str, ModelSpec] = field(default_factory=dict)


def parse_file(text: str, file: str, reserved: Collection[str] = ()) -> ServicesFile:
    """The services and the models of a file.

    `file` is what errors call it; `reserved` are names that no service may have. Raises `YamlError`
    for the first thing that is wrong.
    """
    root = YamlValue.parsed(text, file, "the file").fields(("services", "models"))
    services = _services(root["services"], reserved)
    models = parse_models(root["models"], services) if "models" in root else {}
    return ServicesFile(services, models)


def parse_services(text: str, file: str, reserved: Collection[str] = ()) -> dict[str, ServiceSpec]:
    """The services alone: see `parse_file`."""
    return dict(parse_file(text, file, reserved).services)


def _services(value: YamlValue, reserved: Collection[str]) -> dict[str, ServiceSpec]:
    found: dict[str, tuple[YamlValue, ServiceSpec]] = {}
    for entry in value.items("a service"):
        fields = entry.fields(SERVICE)
        named = fields["name"]
        name = _name(named, reserved)
        if name in found:
            named.refuse(f"{name} comes twice; the first is at line {found[name][0].line}")
        found[name] = named, _service(name, fields)
        if "fallback" in fields:
            found[name] = fields["fallback"], found[name][1]
    specs = {name: spec for name, (_, spec) in found.items()}
    for place, spec in found.values():
        _check_fallback(place, spec, specs)
    return specs


def _name(value: YamlValue, reserved: Collection[str]) -> str:
    name = value.text()
    if SERVICE_NAME.fullmatch(name) is None:
        value.refuse("must be letters, digits, hyphens and underscores, at most 64")
    if name in reserved:
        value.refuse(f"{name} is the beginning of a path of Parley's own; choose another")
    return name


def _service(name: str, fields: YamlFields) -> ServiceSpec:
    plain = ServiceSpec(name=name, instances=())
    policy, seconds = plain.retry_policy, _seconds
    return ServiceSpec(
        name=name,
        instances=_instances(fields),
        health_endpoints=fields.get("health_endpoint", _health, plain.health_endpoints),
        base_path=fields.get("base_path", _base_path, plain.base_path),
        timeout_s=fields.get("timeout", seconds, plain.timeout_s),
        connect_timeout_s=fields.get("connect_timeout", seconds, plain.connect_timeout_s),
        idle_timeout_s=fields.get("idle_timeout", seconds, plain.idle_timeout_s),
        retry_policy=fields.get("retry_policy", _retry_policy, policy),
        balancing=fields.get("balancing", lambda v: v.choice(Balancing), plain.balancing),
        slow_start_s=fields.get(
            "slow_start", lambda v: v.number(-1e-9, LONGEST_S, "seconds"), plain.slow_start_s
        ),
        max_connections=fields.get(
            "max_connections", lambda v: v.whole(1, 10_000), plain.max_connections
        ),
        max_request_bytes=fields.get("max_request_mb", _megabytes, plain.max_request_bytes),
        max_response_bytes=fields.get("max_response_mb", _megabytes, plain.max_response_bytes),
        max_websockets=fields.get(
            "max_websockets", lambda v: v.whole(0, 100_000), plain.max_websockets
        ),
        max_message_bytes=fields.get("max_message_mb", _megabytes, plain.max_message_bytes),
        websocket_idle_s=fields.get("websocket_idle_timeout", seconds, plain.websocket_idle_s),
        fallback=fields.get("fallback", _fallback, None),
    )


def _instances(fields: YamlFields) -> tuple[Endpoint, ...]:
    if "instances" not in fields:
        return (_endpoint(fields, fields, 1),)
    if fields["instances"].is_empty:
        return ()  # they register themselves
    found: dict[str, Endpoint] = {}
    for entry in fields["instances"].items("an instance"):
        own = entry.fields((*LOCATED, "weight"))
        weight = own.get("weight", lambda v: v.whole(1, 1000), 1)
        instance = _endpoint(own, fields, weight)
        if instance.authority in found:
            entry.refuse(f"{instance.authority} comes twice")
        found[instance.authority] = instance
    return tuple(found.values())


def _endpoint(own: YamlFields, service: YamlFields, weight: int) -> Endpoint:
    """The endpoint of an instance; its service gives the fields that it lacks."""

    def said(name: str) -> YamlValue:
        return own[name] if name in own or name not in service else service[name]

    plain: Scheme = "http"
    located = "protocol" in own or "protocol" in service
    return Endpoint(
        host=_host(said("host")),
        port=said("port").whole(1, 65_535),
        protocol=_scheme(said("protocol")) if located else plain,
        weight=weight,
    )


def _scheme(value: YamlValue) -> Scheme:
    match value.text():
        case "http":
            return "http"
        case "https":
            return "https"
    value.refuse("must be http or https")


def _host(value: YamlValue) -> str:
    host = value.text()
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    if HOST_NAME.fullmatch(host) is None:
        value.refuse("must be a host's name or its address, without a port")
    return host.lower()


def _seconds(value: YamlValue) -> float:
    return value.number(0, LONGEST_S, "seconds")


def _megabytes(value: YamlValue) -> int:
    return int(value.number(0, MOST_MB, "megabytes") * 1_000_000)


def _path(value: YamlValue) -> str:
    path = value.text()
    parts = path.split("/")
    if URL_PATH.fullmatch(path) is None or {".", ".."} & {*parts}:
        value.refuse("must be a path such as /api/v1: plain characters, no slash at its end")
    return path


def _base_path(value: YamlValue) -> str:
    return "" if value.is_null or value.text() == "/" else _path(value)


def _health(value: YamlValue) -> tuple[str, ...]:
    if value.is_null:
        return ()
    if value.is_list:
        return tuple(_path(path) for path in value.items("health_endpoint"))
    return (_path(value),)


def _retry_policy(value: YamlValue) -> RetryPolicy:
    plain = RetryPolicy()
    fields = value.fields(("max_attempts", "backoff", "base"))
    return RetryPolicy(
        max_attempts=fields.get("max_attempts", lambda v: v.whole(1, 10), plain.max_attempts),
        backoff=fields.get("backoff", lambda v: v.choice(Backoff), plain.backoff),
        base_s=fields.get("base", _seconds, plain.base_s),
    )


def _fallback(value: YamlValue) -> Fallback:
    fields = value.fields(("service", "json", "status"))
    if "service" in fields and "json" in fields:
        value.refuse("is a service or json, not both")
    if "service" in fields:
        if "status" in fields:
            fields["status"].refuse("belongs to a fallback of json")
        return ServiceFallback(fields["service"].text())
    if "json" not in fields:
        value.refuse("needs json, or service")
    body = json.dumps(fields["json"].json(), separators=(",", ":")).encode()
    status = fields.get("status", lambda v: v.whole(200, 599), 200)
    if status in (204, 205, 304):
        fields["status"].refuse("must be one of an answer that has a body")
    return StaticFallback(body, status)


def _check_fallback(place: YamlValue, spec: ServiceSpec, specs: Mapping[str, ServiceSpec]) -> None:
    if not isinstance(spec.fallback, ServiceFallback):
        return
    other = spec.fallback.service
    if other not in specs or other == spec.name:
        place.refuse(f"names {other}, which is no other service of this file")


__all__ = ["ServicesFile", "YamlError", "parse_file", "parse_services"]
