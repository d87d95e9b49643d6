"""Roles: what a client may do by who it is, whatever it presents. Pure."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from gateway.security.access import Need


class ClientRole(StrEnum):
    """The kind of client: a candidate by a ticket or pass, a service by `PARLEY_API_KEYS`."""

    CANDIDATE = "candidate"
    """Holds interviews of its own, and sees no others."""
    INTERVIEWER = "interviewer"
    """Makes sessions, invites candidates, listens, and reads every report."""
    SERVICE = "service"
    """A program: all of that, the interviews whose state it keeps itself, and the services."""
    ADMIN = "admin"
    """The operator as well."""


RANKS = (ClientRole.CANDIDATE, ClientRole.INTERVIEWER, ClientRole.SERVICE, ClientRole.ADMIN)
"""The roles, from the least access to the most; of several roles a client has the last."""

EVERYBODY = frozenset(ClientRole)
STAFF = EVERYBODY - {ClientRole.CANDIDATE}
PROGRAMS = frozenset({ClientRole.SERVICE, ClientRole.ADMIN})

ROLES: Mapping[Need, frozenset[ClientRole]] = MappingProxyType(
    {
        Need.NOTHING: EVERYBODY,
        Need.ENDPOINT: EVERYBODY,
        Need.KEY: STAFF,
        Need.PROGRAM: PROGRAMS,
        Need.SERVICE: PROGRAMS,
        # Of a session: a candidate's own, which is looked at beside this.
        Need.NEW_SESSION: EVERYBODY,
        Need.SESSION: EVERYBODY,
        Need.OFFER: EVERYBODY,
        Need.CONNECTION: EVERYBODY,
        Need.LISTEN: EVERYBODY,
        Need.NOTIFICATIONS: EVERYBODY,
        Need.HELLO: EVERYBODY,
        Need.OPERATOR: frozenset({ClientRole.ADMIN}),
    }
)
"""Which roles may what. `PARLEY_SERVICE_ROLES` replaces the row of `SERVICE`."""


def policy(service_roles: str) -> Mapping[Need, frozenset[ClientRole]]:
    """`ROLES`, with these roles, separated by commas, for the services behind the gateway."""
    named = frozenset(ClientRole(name) for name in service_roles.split(","))
    return MappingProxyType({**ROLES, Need.SERVICE: named | {ClientRole.ADMIN}})


def highest(names: object) -> ClientRole | None:
    """The highest role among names: one text, with spaces or commas between several, or a list.

    None where none of them is a role; other names are not ours, and count for nothing.
    """
    if isinstance(names, str):
        names = names.replace(",", " ").split()
    if not isinstance(names, list):
        return None
    held = {name for name in names if isinstance(name, str)}
    return next((role for role in reversed(RANKS) if role.value in held), None)
