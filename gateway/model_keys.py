"""The keys of the services that have chat models: `service=key,service=key`. Pure."""

import re
from typing import Final

SERVICE: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,62}[A-Za-z0-9])?")
KEY: Final = re.compile(r"[!-~]+")


def parse_model_keys(text: str) -> dict[str, str]:
    """The keys by their services. Raises `ValueError`, whose text has no key in it."""
    found: dict[str, str] = {}
    for number, entry in enumerate(text.split(","), 1):
        service, separator, key = (part.strip() for part in entry.partition("="))
        if not separator:
            raise _wrong(f"entry {number} has no =, and a key must be without commas")
        if SERVICE.fullmatch(service) is None:
            raise _wrong(f"entry {number} has no name of a service before its =")
        if KEY.fullmatch(key) is None:
            raise _wrong(f"the key of {service} is not printable ASCII without spaces")
        if service in found:
            raise _wrong(f"{service} comes twice")
        found[service] = key
    return found


def _wrong(what: str) -> ValueError:
    return ValueError(f"must be like service=key,service=key: {what}")
