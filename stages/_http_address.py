"""A server's address as people configure it: where requests go, and with which credentials.

People copy what a server's documentation shows: its base, with or without `/v1`, the address of one
endpoint (`…/v1/chat/completions`), or a deployment with its version in the query
(`…/openai/deployments/NAME?api-version=2024-10-21`, as Azure has it).
"""

import base64
import re
from dataclasses import dataclass, field

import httpx

_KEY = re.compile(r"[!-~]+")
_ENDPOINTS = re.compile(r"/(?:chat/completions|audio/(?:transcriptions|speech))/?$")
_SECRET_LENGTH = 8
"""A shorter key is no secret ("ollama", "EMPTY") and may be a word of a message."""


@dataclass(frozen=True, slots=True)
class BaseAddress:
    """`base` has no user, password or query; `query` is sent with each request.

    `headers` authenticate a request. `secrets` must be in no error and no log line.
    """

    base: httpx.URL
    query: httpx.QueryParams
    headers: dict[str, str] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)

    @property
    def where(self) -> str:
        """The address for people: scheme, host and port."""
        return f"{self.base.scheme}://{self.base.netloc.decode('ascii')}"

    @classmethod
    def read(cls, text: str, api_key: str | None) -> "BaseAddress":
        """Read an address. Raises `ValueError`, which repeats neither, for a bad one or a bad key.

        A path is taken as it is, without the endpoint that it may end in; without a path it is
        `/v1`. A user and a password become basic authentication, `api_key` a bearer token, or what
        Azure expects if the query has an `api-version`.
        """
        try:
            url = httpx.URL(text)
        except (httpx.InvalidURL, TypeError):
            url = httpx.URL("")
        if url.scheme not in ("http", "https") or not url.host:
            raise ValueError("must be a URL like http://host:port")
        if api_key is not None and not _KEY.fullmatch(api_key):
            raise ValueError("an API key is printable ASCII without spaces")
        path = url.path.rstrip("/") or "/v1"
        base = url.copy_with(
            userinfo=b"", path=_ENDPOINTS.sub("", path) or "/", query=None, fragment=None
        )
        basic = base64.b64encode(f"{url.username}:{url.password}".encode()).decode()
        headers = {}
        if api_key is not None and "api-version" in url.params:
            headers["api-key"] = api_key
        elif api_key is not None:
            headers["Authorization"] = f"Bearer {api_key}"
        elif url.username:
            headers["Authorization"] = f"Basic {basic}"
        in_query = [value for name, value in url.params.multi_items() if name != "api-version"]
        secrets = (api_key or "", url.password, basic if url.password else "", *in_query)
        known = tuple(secret for secret in secrets if len(secret) >= _SECRET_LENGTH)
        return cls(base, url.params, headers, known)
