"""Which services there are: those of the file of `PARLEY_SERVICES`, or the built-in ones."""

import random
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from gateway.providers.breakers import breaker
from gateway.security.access import own_beginnings
from gateway.services.definition import Endpoint, Scheme, ServiceSpec
from gateway.services.instances import BREAKER
from gateway.services.registry import Registry
from gateway.services.services_file import ServicesFile, YamlError, parse_file
from gateway.settings import Settings

LARGEST_FILE_BYTES = 4_000_000

BUILT_IN = Path("default")
"""The value that names the built-in services instead of a file."""


class ServicesUnusable(Exception):
    """A file of services cannot be used. The text is one line and names the file, and the line in
    it if there is one."""


def proxied(settings: Settings) -> ServicesFile:
    """The services to which requests are passed on, and the models that they have: none without
    `PARLEY_SERVICES`, whose file this reads. Raises `ServicesUnusable`."""
    if settings.services == BUILT_IN:
        return ServicesFile(built_in(settings))
    file = services_file(settings)
    return ServicesFile() if file is None else read_services(file)


def services_file(settings: Settings) -> Path | None:
    """The file of services, None if there is none."""
    return None if settings.services == BUILT_IN else settings.services


def built_in(settings: Settings) -> dict[str, ServiceSpec]:
    """The seven services that Parley knows, at their URLs in the settings."""
    urls = {
        "conversation-service": settings.conversation_url,
        "voice-service": settings.voice_url,
        "avatar-service": settings.avatar_url,
        "interview-service": settings.interview_url,
        "analytics-service": settings.analytics_url,
        "granite-interview-service": settings.granite_interview_url,
        "ollama": settings.ollama_url,
    }
    return {name: _spec_at(name, url) for name, url in urls.items()}


def _spec_at(name: str, text: str) -> ServiceSpec:
    url = urlsplit(text)
    base = url.path.rstrip("/")
    health = ("/api/health", "/api/tags") if name == "ollama" else ("/health",)
    scheme: Scheme = "https" if url.scheme == "https" else "http"
    port = url.port or {"http": 80, "https": 443}[scheme]
    return ServiceSpec(
        name=name,
        instances=(Endpoint(url.hostname or "", port, scheme),),
        health_endpoints=tuple(base + path for path in health),
        base_path=base,
    )


def registry_of(specs: Mapping[str, ServiceSpec]) -> Registry:
    """A registry of the services, with breakers that have counted nothing yet."""
    return Registry(specs, chance=random.random, made=lambda: breaker(BREAKER))


def read_services(path: Path) -> ServicesFile:
    """The services and the models of the file at `path`. Raises `ServicesUnusable`."""
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise ServicesUnusable(f"{path} is too large for a list of services")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ServicesUnusable(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ServicesUnusable(f"{path} is no text in UTF-8") from None
    try:
        return parse_file(text, str(path), own_beginnings())
    except YamlError as error:
        raise ServicesUnusable(str(error)) from None
