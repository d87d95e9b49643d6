"""Access to the gateway: keys, tokens, tickets and passes, and the origins of web pages."""

from gateway.security.access import WEBSOCKET, Need, need_of
from gateway.security.grants import Access, Grant, digest_of, knows_roles
from gateway.security.key_file import KeyFileError, api_keys, key_file
from gateway.security.keys import SUBPROTOCOL_KEY, ApiKeys, bearer, key_of, offered_key, presented
from gateway.security.origins import may_connect, names_this_machine, origin_of
from gateway.security.tickets import Issued, pass_s

__all__ = [
    "SUBPROTOCOL_KEY",
    "WEBSOCKET",
    "Access",
    "ApiKeys",
    "Grant",
    "Issued",
    "KeyFileError",
    "Need",
    "api_keys",
    "bearer",
    "digest_of",
    "key_file",
    "key_of",
    "knows_roles",
    "may_connect",
    "names_this_machine",
    "need_of",
    "offered_key",
    "origin_of",
    "pass_s",
    "presented",
]
