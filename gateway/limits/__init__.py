"""Limits of requests. `buckets` decides *(pure)*, `counting` holds the state in memory or in Redis,
`limiter` says which limits a request has, `asked_store` notices when nothing can be counted.
`token_quotas` decides about tokens of models *(pure)*, `token_counting` holds how many were used,
`token_limiter` says which quotas a call has, `owed_tokens` *(pure)* what is not counted yet, and
`token_payer` counts it."""

__all__: list[str] = []
