"""Who may use the gateway."""

from gateway.security.origins import may_connect

__all__ = ["may_connect"]
