"""The client for whom a task works: a session that is made keeps who made it."""

from contextvars import ContextVar
from typing import Final

LOCAL: Final = "local"
"""Every client, where clients need not say who they are or show no credential of the gateway's."""

client_identity: ContextVar[str] = ContextVar("client_identity", default=LOCAL)
"""The client that began the current task: see `gateway.security.grants.Grant.identity`."""
