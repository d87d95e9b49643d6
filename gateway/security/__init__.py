"""Access to the gateway: API keys, and the origins of web pages."""

from gateway.security.keys import ApiKeys, bearer, key_of
from gateway.security.origins import may_connect

__all__ = ["ApiKeys", "bearer", "key_of", "may_connect"]
