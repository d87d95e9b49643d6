"""The fields of a transcription request, and which of them a server refuses. Pure.

A refusal (400 or 422) usually names the field. Models that know only `json` refuse `verbose_json`
and sometimes do not say so; strict validators refuse `prompt`, `timestamp_granularities[]` or
`stream`; and some servers know only some languages.
"""

import re
from collections.abc import Mapping

_OPTIONAL = ("timestamp_granularities[]", "prompt", "language", "stream")


class ServerForm:
    """The fields that a server refuses, remembered for as long as the object lives."""

    def __init__(self) -> None:
        self._refused: frozenset[tuple[str, str]] = frozenset()

    def shaped(self, usual: Mapping[str, str]) -> dict[str, str]:
        """The fields without what the server has refused."""
        fields = dict(usual)
        for refused in sorted(self._refused):
            _leave_out(fields, refused)
        return fields

    def learn(self, usual: Mapping[str, str], taken: Mapping[str, str]) -> None:
        """The server takes these fields: what is missing or changed in them is refused."""
        changed = (name for name, value in usual.items() if taken.get(name) != value)
        self._refused |= {_key(name, usual[name]) for name in changed}

    def differences(self) -> tuple[str, ...]:
        """The fields that the server refuses, in a few words each."""
        return tuple(
            "no verbose_json" if name == "response_format" else f"no {name} {value}".rstrip()
            for name, value in sorted(self._refused)
        )


def following(fields: Mapping[str, str], said: str) -> dict[str, str] | None:
    """The fields to send after a refusal in these words; None if no other would be taken.

    >>> following({"model": "m", "response_format": "json", "prompt": "Redis."}, "no such: prompt")
    {'model': 'm', 'response_format': 'json'}
    """
    text = said.lower()
    verbose = fields["response_format"] == "verbose_json"
    named = [name for name in _OPTIONAL if name in fields and _is_in(text, name.removesuffix("[]"))]
    if verbose and (not named or _is_in(text, "response_format") or "verbose_json" in text):
        named.append("response_format")
    if not named:
        return None
    left = dict(fields)
    for name in named:
        _leave_out(left, _key(name, fields[name]))
    return left


def _key(name: str, value: str) -> tuple[str, str]:
    """The key of a refused field. A language's has its value: other languages may be taken."""
    return name, value if name == "language" else ""


def _leave_out(fields: dict[str, str], refused: tuple[str, str]) -> None:
    name, _ = refused
    if name not in fields or _key(name, fields[name]) != refused:
        return
    if name == "response_format":
        fields[name] = "json"
        fields.pop("timestamp_granularities[]", None)  # they need verbose_json
    else:
        del fields[name]


def _is_in(text: str, name: str) -> bool:
    return re.search(rf"(?<![a-z_]){name}(?![a-z_])", text) is not None
