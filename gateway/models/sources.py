"""Which models there are by the settings: those of the file of services, or the chat server's."""

import logging
from base64 import b64encode
from collections.abc import Iterable, Mapping
from urllib.parse import unquote, urlsplit

from gateway.model_keys import parse_model_keys
from gateway.providers.build import options
from gateway.services.definition import Endpoint, Scheme, ServiceSpec
from gateway.services.model_specs import Models, ModelSpec
from gateway.settings import Settings

logger = logging.getLogger("parley.models")

CHAT_SERVER = "the chat server"
"""The service of `PARLEY_LLM_URL`: no service of a file can have this name."""

LONGEST_S = 120.0
"""How long it may take to the head of its answer: all of it, where it is no stream."""


def models_of(specs: Mapping[str, ModelSpec], settings: Settings) -> Models:
    """The models of the file, or where it has none, `PARLEY_LLM_MODEL`, if that is set."""
    server = options(settings).llm_server
    if server is None:
        return Models(specs)
    return Models(specs, ModelSpec(server.model, CHAT_SERVER, server.model))


def chat_server(settings: Settings) -> dict[str, ServiceSpec]:
    """The chat server of the settings as a service, by its name; nothing where there is none."""
    server = options(settings).llm_server
    if server is None:
        return {}
    url = urlsplit(server.url)
    scheme: Scheme = "https" if url.scheme == "https" else "http"
    port = url.port or {"http": 80, "https": 443}[scheme]
    spec = ServiceSpec(
        name=CHAT_SERVER,
        instances=(Endpoint(url.hostname or "", port, scheme),),
        health_endpoints=(),
        base_path=url.path.rstrip("/"),
        timeout_s=LONGEST_S,
        slow_start_s=0.0,
    )
    return {CHAT_SERVER: spec}


def keys_of(settings: Settings) -> dict[str, str]:
    """The `Authorization` header for each service that has a key, by the service's name."""
    found: dict[str, str] = {}
    server = options(settings).llm_server
    if server is not None and server.key is not None:
        found[CHAT_SERVER] = f"Bearer {server.key}"
    elif server is not None and (url := urlsplit(server.url)).username is not None:
        named = f"{unquote(url.username or '')}:{unquote(url.password or '')}"
        found[CHAT_SERVER] = f"Basic {b64encode(named.encode()).decode()}"
    return found | {service: f"Bearer {key}" for service, key in _given(settings).items()}


def warn_of_unused_keys(settings: Settings, models: Iterable[ModelSpec]) -> None:
    """Log which keys are sent to nobody, since no model has their service.

    That is no error: the file of services may be read again while the gateway runs.
    """
    for service in sorted(_given(settings).keys() - {model.service for model in models}):
        logger.warning(
            "PARLEY_MODEL_KEYS has a key for %s, but PARLEY_SERVICES has no model of a service of"
            " that name: the key is not used until it has one",
            service,
        )


def _given(settings: Settings) -> dict[str, str]:
    keys = settings.model_keys
    return {} if keys is None else parse_model_keys(keys.get_secret_value())
