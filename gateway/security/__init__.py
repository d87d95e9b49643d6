"""Who may use the gateway."""

from gateway.security.keys import ApiKeys, bearer, key_of
from gateway.security.origins import may_connect

__all__ = ["ApiKeys", "bearer", "key_of", "may_connect"]
