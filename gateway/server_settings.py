"""The settings of the server itself: where it listens, what it keeps and offers, and to whom."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, SecretStr

from gateway.variables import (
    LOCAL_ORIGINS,
    LOWER,
    Addresses,
    AdminKey,
    ApiKey,
    ApiKeys,
    HttpUrl,
    IceServers,
    ModelKeys,
    Origins,
    Proxies,
    RateText,
    Roles,
    TokenSecret,
    Tools,
    variable,
)


class ServerSettings(BaseModel):
    """The first fields of `gateway.settings.Settings`, which reads them."""

    tools: Tools | None = variable(
        "PARLEY_TOOLS",
        default=None,
        description="file of functions that chat models may call (docs/tools.md)",
    )
    host: str = variable(
        "PARLEY_HOST",
        default="127.0.0.1",
        description="address to listen on; 0.0.0.0 opens the gateway to the network",
    )
    port: int = variable(
        "PARLEY_PORT",
        "PORT",
        default=8000,
        ge=0,
        le=65535,
        description="TCP port to listen on; 0 takes any free one",
    )
    workers: int = variable(
        "PARLEY_WORKERS",
        default=1,
        ge=1,
        le=64,
        description="processes that share the port and the conversations, one for each core",
    )
    data_dir: Path = variable(
        "PARLEY_DATA_DIR",
        default=Path("var"),
        description="folder for what must survive a restart, such as parley.sqlite3",
    )
    proxies: Proxies = variable(
        "PARLEY_PROXIES",
        default="",
        description=(
            "proxies whose X-Forwarded-Proto, X-Forwarded-For and Forwarded are believed:"
            " addresses or networks, or *"
        ),
    )
    public_url: HttpUrl | None = variable(
        "PARLEY_PUBLIC_URL",
        default=None,
        description="where others reach the gateway, such as https://parley.example.org",
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], LOWER] = variable(
        "PARLEY_LOG_LEVEL",
        default="info",
        description="least severe message that is logged: debug, info, warning or error",
    )
    log_format: Annotated[Literal["text", "json"], LOWER] = variable(
        "PARLEY_LOG_FORMAT",
        default="text",
        description="form of the log lines: text for people, or json for machines",
    )
    max_sessions: int = variable(
        "PARLEY_MAX_SESSIONS",
        default=100,
        ge=1,
        description="live conversations at a time; more are refused and may try later",
    )
    per_address: int = variable(
        "PARLEY_MAX_PER_ADDRESS",
        default=0,
        ge=0,
        description="live conversations of one network address at a time; 0 is any number",
    )
    admission: Annotated[Literal["pressure", "places"], LOWER] = variable(
        "PARLEY_ADMISSION",
        default="pressure",
        description="what refuses conversations: pressure and their number, or places, that alone",
    )
    memory_mb: int | None = variable(
        "PARLEY_MEMORY_MB",
        default=None,
        ge=64,
        description="megabytes that the process should stay below; otherwise its container's limit",
    )
    drain_s: int = variable(
        "PARLEY_DRAIN_S",
        default=10,
        ge=0,
        le=3600,
        description="seconds for live conversations to finish a sentence when the server stops",
    )
    resume_s: int = variable(
        "PARLEY_RESUME_S",
        default=30,
        ge=0,
        le=600,
        description="seconds that a conversation waits for a client whose line was lost",
    )
    session_ttl_s: int = variable(
        "SESSION_TTL",
        default=3600,
        ge=1,
        description="seconds that an unfinished session is kept after it was last changed",
    )

    cors_origins: Origins = variable(
        "PARLEY_CORS_ORIGINS",
        default=LOCAL_ORIGINS,
        description="web pages that may use the REST API: origins with commas, * or none",
    )

    webrtc_addresses: Addresses = variable(
        "PARLEY_WEBRTC_ADDRESSES",
        default="",
        description="addresses that WebRTC offers, with commas: this machine's, or its NAT's",
    )
    ice_servers: IceServers = variable(
        "PARLEY_ICE_SERVERS",
        default=SecretStr(""),
        description="STUN and TURN servers, with commas: turn:user:password@host:3478",
    )

    webrtc_token: ApiKey | None = variable(
        "PARLEY_WEBRTC_TOKEN",
        default=None,
        description="where set, WebRTC is for clients that send it: Authorization: Bearer …",
    )

    api_keys: ApiKeys | None = variable(
        "PARLEY_API_KEYS",
        default=None,
        description=(
            "where set, clients need one of these keys, with commas; auto: one in"
            " PARLEY_DATA_DIR/api-key"
        ),
    )
    access: Annotated[Literal["auto", "required"], LOWER] = variable(
        "PARLEY_ACCESS",
        default="auto",
        description=(
            "required: clients say who they are also where only `parley keys` has made keys;"
            " auto: where PARLEY_API_KEYS or tokens are set"
        ),
    )
    service_roles: Roles = variable(
        "PARLEY_SERVICE_ROLES",
        default="service,admin",
        description="roles that may use the services behind the gateway, with commas",
    )
    jwt_jwks_url: HttpUrl | None = variable(
        "PARLEY_JWT_JWKS_URL",
        default=None,
        repr=False,
        description="key set of the identity provider whose tokens (JWT) are taken: docs/access.md",
    )
    jwt_secret: TokenSecret | None = variable(
        "PARLEY_JWT_SECRET",
        default=None,
        description="in its place: a secret of 32 characters or more that signs tokens (HS256)",
    )
    jwt_issuer: str | None = variable(
        "PARLEY_JWT_ISSUER",
        default=None,
        description="who issues the tokens: their iss",
    )
    jwt_audience: str | None = variable(
        "PARLEY_JWT_AUDIENCE",
        default=None,
        description="for whom the tokens are: their aud, or one of several",
    )
    jwt_skew_s: int = variable(
        "PARLEY_JWT_SKEW_S",
        default=30,
        ge=0,
        le=300,
        description="seconds by which the issuer's clock may differ from this one",
    )
    jwt_role_claim: str = variable(
        "PARLEY_JWT_ROLE_CLAIM",
        default="role",
        description="claim with the roles, such as realm_access.roles",
    )
    jwt_session_claim: str = variable(
        "PARLEY_JWT_SESSION_CLAIM",
        default="session_id",
        description="claim that binds a candidate's token to one session, where it is there",
    )
    limit_address: RateText = variable(
        "PARLEY_LIMIT_ADDRESS",
        default="",
        description="requests of one network address, such as 60/min:120 (docs/access.md)",
    )
    limit_key: RateText = variable(
        "PARLEY_LIMIT_KEY",
        default="",
        description="requests with one key, token, ticket or pass, such as 10/s:50",
    )
    limit_service: RateText = variable(
        "PARLEY_LIMIT_SERVICE",
        default="",
        description="requests to each service behind the gateway, such as 100/s",
    )
    quota_day: int | None = variable(
        "PARLEY_QUOTA_DAY",
        default=None,
        ge=1,
        description="requests with one key or token in a day that do more than read",
    )
    model_keys: ModelKeys | None = variable(
        "PARLEY_MODEL_KEYS",
        default=None,
        description="keys of the services that have models: service=key,service=key",
    )
    tokens_day: int | None = variable(
        "PARLEY_TOKENS_DAY",
        default=None,
        ge=1,
        description="tokens of models with one key in a day, at /v1/chat/completions",
    )
    tokens_month: int | None = variable(
        "PARLEY_TOKENS_MONTH",
        default=None,
        ge=1,
        description="tokens of models with one key in a month, at /v1/chat/completions",
    )
    tokens_session: int | None = variable(
        "PARLEY_TOKENS_SESSION",
        default=None,
        ge=1,
        description="tokens of models in one session (X-Session-ID) in a day",
    )
    limits_down: Annotated[Literal["auto", "open", "closed"], LOWER] = variable(
        "PARLEY_LIMITS_DOWN",
        default="auto",
        description=(
            "requests while Redis cannot count them: open, closed, or auto: closed for quotas"
        ),
    )
    twilio_token: ApiKey | None = variable(
        "PARLEY_TWILIO_TOKEN",
        default=None,
        description="auth token of the Twilio account whose calls are taken at /twilio/voice",
    )
    insecure: bool = variable(
        "PARLEY_INSECURE",
        default=False,
        description="listen on addresses of the network without keys: where you trust everybody",
    )

    admin_key: AdminKey | None = variable(
        "PARLEY_ADMIN_KEY",
        default=None,
        description="key of the operator for /admin and, from other machines, /metrics",
    )

    webhooks: Path | None = variable(
        "PARLEY_WEBHOOKS",
        default=None,
        description="file of the receivers that are told of events (docs/events.md)",
    )
    notifications: Annotated[Literal["off", "on"], LOWER] = variable(
        "PARLEY_NOTIFICATIONS",
        default="off",
        description="events for clients at /api/notifications: off or on",
    )

    drills: Annotated[Literal["off", "allowed"], LOWER] = variable(
        "PARLEY_DRILLS",
        default="off",
        description="whether the operator may break a provider for a while: off or allowed",
    )

    @property
    def guarded(self) -> bool:
        """Whether clients have to say who they are."""
        tokens = self.jwt_jwks_url is not None or self.jwt_secret is not None
        return self.api_keys is not None or tokens or self.access == "required"

    @property
    def tells(self) -> bool:
        """Whether what happens in sessions is stored as events."""
        return self.webhooks is not None or self.notifications == "on"

    @property
    def database(self) -> Path:
        """The SQLite file in the data directory."""
        return self.data_dir / "parley.sqlite3"
