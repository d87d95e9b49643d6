"""Which services there are: those of the file that `PARLEY_SERVICES` names."""

import random
from collections.abc import Mapping
from pathlib import Path

from gateway.providers.breakers import breaker
from gateway.security.access import own_beginnings
from gateway.services.definition import ServiceSpec
from gateway.services.instances import BREAKER
from gateway.services.registry import Registry
from gateway.services.services_file import YamlError, parse_services
from gateway.settings import Settings

LARGEST_FILE_BYTES = 4_000_000


class ServicesUnusable(Exception):
    """A file of services cannot be used. The text is one line and names the file, and the line in
    it where there is one."""


def proxied(settings: Settings) -> dict[str, ServiceSpec]:
    """The services to which requests are passed on, by name: none without a file, which this reads.
    Raises `ServicesUnusable`."""
    return {} if settings.services is None else read_services(settings.services)


def registry_of(specs: Mapping[str, ServiceSpec]) -> Registry:
    """The services with chance and breakers, nothing known of them yet."""
    return Registry(specs, chance=random.random, made=lambda: breaker(BREAKER))


def read_services(path: Path) -> dict[str, ServiceSpec]:
    """The services of a file, by name. Raises `ServicesUnusable`."""
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise ServicesUnusable(f"{path} is too large for a list of services")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ServicesUnusable(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ServicesUnusable(f"{path} is no text in UTF-8") from None
    try:
        return parse_services(text, str(path), own_beginnings())
    except YamlError as error:
        raise ServicesUnusable(str(error)) from None
