"""The file of webhooks, read from its text: which receiver gets which types of events. Pure."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from gateway.events.event import EVENT_TYPES
from gateway.events.signing import secret_of
from gateway.services.networks import AllowedNetworks
from gateway.services.yaml_reader import YamlFields, YamlValue

NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
FIELDS: Final = ("name", "url", "secret", "events")
MOST_WEBHOOKS: Final = 20
MOST_SECRETS: Final = 2
"""A new one beside the old one, while a receiver changes it."""

PUBLIC: Final = "public"


@dataclass(frozen=True, slots=True)
class Webhook:
    """A receiver of events of these types, at this URL."""

    name: str
    url: str
    secrets: tuple[bytes, ...]
    types: frozenset[str]

    def __repr__(self) -> str:
        return f"Webhook({self.name})"  # neither its secrets nor what its URL may hold

    @property
    def place(self) -> str:
        """Its URL as it may be shown: without a query, user and password."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


@dataclass(frozen=True, slots=True)
class WebhooksFile:
    """The webhooks of a file, and the networks in which their receivers may be."""

    webhooks: tuple[Webhook, ...]
    networks: AllowedNetworks


def parse_webhooks(text: str, file: str) -> WebhooksFile:
    """The webhooks of a file, which errors call `file`. Raises `YamlError`."""
    root = YamlValue.parsed(text, file, "the file").fields(("webhooks", "networks"))
    found: dict[str, Webhook] = {}
    entries = root["webhooks"].items("a webhook")
    if len(entries) > MOST_WEBHOOKS:
        root["webhooks"].refuse(f"has more than {MOST_WEBHOOKS} entries")
    for entry in entries:
        fields = entry.fields(FIELDS)
        name = fields["name"].text()
        if NAME.fullmatch(name) is None:
            fields["name"].refuse("must be letters, digits, hyphens and underscores, at most 64")
        if name in found:
            fields["name"].refuse(f"{name} comes twice")
        found[name] = Webhook(name, _url(fields["url"]), _secrets(fields["secret"]), _types(fields))
    networks = root.get("networks", _networks, AllowedNetworks(public=True))
    return WebhooksFile(tuple(found.values()), networks)


def _url(value: YamlValue) -> str:
    text = value.text()
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not text.isascii() or not text.isprintable() or " " in text:
        value.refuse("must be a URL like https://host/path")
    if parts.fragment or "@" in parts.netloc:
        value.refuse("must be without a password and without a fragment")
    return text


def _secrets(value: YamlValue) -> tuple[bytes, ...]:
    several = value.items("a secret") if value.is_list else [value]
    if len(several) > MOST_SECRETS:
        value.refuse(f"has at most {MOST_SECRETS} secrets")
    return tuple(_secret(one) for one in several)


def _secret(value: YamlValue) -> bytes:
    try:
        return secret_of(value.text())
    except ValueError:
        value.refuse("must be whsec_ and 24 to 64 bytes in base64: `openssl rand -base64 32`")


def _types(fields: YamlFields) -> frozenset[str]:
    if "events" not in fields:
        return frozenset(EVENT_TYPES)
    return frozenset(_type(one) for one in fields["events"].items("an event"))


def _type(value: YamlValue) -> str:
    name = value.text()
    if name not in EVENT_TYPES:
        value.refuse(f"must be one of {', '.join(EVENT_TYPES)}")
    return name


def _networks(value: YamlValue) -> AllowedNetworks:
    try:
        return AllowedNetworks.parse(value.text())
    except ValueError:
        value.refuse("must be networks like 10.0.0.0/8 with commas, or public")
