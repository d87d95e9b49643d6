from tests.gateway.limits.conftest import redis_server

__all__ = ["redis_server"]
