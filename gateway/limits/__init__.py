"""Limits of requests. `buckets` decides *(pure)*, `counting` holds the state in memory or in Redis,
`limiter` says which limits a request has."""

__all__: list[str] = []
