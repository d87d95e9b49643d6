"""One stage, recognition or synthesis, as an application of Ray Serve (`deploy/ray/serve.yaml`).

The only module that imports Ray, and only where an application is built.
"""

import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from gateway.commands.stage_worker import started
from gateway.commands.terminal import CommandFailed
from gateway.logs import configure
from gateway.media.resampling import converter
from gateway.settings import Settings, SettingsError
from gateway.variables import secrets_of
from stages._remote_asgi import StageApp
from stages._remote_conversations import Conversations

logger = logging.getLogger("parley.worker")

LONGEST_CALL_S = 150
"""The audio of an utterance that is kept (120 s), and the time until its text has come."""

SPARE_S = 30
"""How much longer than the longest call a replica, and the HAProxy before it, may take to end."""

HAPROXY = "RAY_SERVE_ENABLE_HA_PROXY"
DRAINING_S = "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S", 30.0
HARD_STOP_S = "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S", 120.0
"""Ray Serve's variables, and what they are if they are not set (Ray 2.60). After the first, a
replica that ends closes its WebSockets; after the second, a HAProxy with an old configuration
ends, whatever goes through it."""

Opened: TypeAlias = Callable[[], AbstractAsyncContextManager[Conversations]]


class StageArguments(BaseModel):
    """`args` of an application in Ray Serve's configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stage: Literal["stt", "tts"]
    provider: str | None = Field(
        default=None, description="instead of what PARLEY_STT or TTS_ENGINE names"
    )
    places: int = Field(default=64, ge=1, le=1024, description="most calls of a replica at a time")
    longest_call_s: int = Field(
        default=LONGEST_CALL_S, ge=1, le=3600, description="no shorter call is cut"
    )
    insecure: bool = Field(default=False, description="serve without PARLEY_WORKER_KEY")


def application(args: StageArguments) -> Any:
    """The application, for `import_path`. Ray Serve makes `args` from its configuration."""

    def opened() -> AbstractAsyncContextManager[Conversations]:
        return _opened(args)

    return deployment(args, opened).bind()


def deployment(args: StageArguments, opened: Opened) -> Any:
    """A `ray.serve.Deployment` whose replicas serve what `opened` loads.

    Ray Serve counts connections, scales by them, and waits for them before it ends a replica; here
    each carries one call.
    """
    from ray import serve

    def app() -> StageApp:
        return StageApp(opened)

    return serve.deployment(
        name="stage",
        # A worker that is full says so itself (`busy`); the connection must get that far.
        max_ongoing_requests=2 * args.places,
        autoscaling_config={
            "min_replicas": 1,
            "max_replicas": 4,
            "target_ongoing_requests": 4,
            "upscale_delay_s": 5,
            "downscale_delay_s": 300,
        },
        graceful_shutdown_wait_loop_s=1,
        graceful_shutdown_timeout_s=args.longest_call_s + SPARE_S,
    )(serve.ingress(app)())


def refusal(args: StageArguments, environment: Mapping[str, str]) -> str | None:
    """Why a replica must not start with Ray Serve's variables; None if they are right."""
    if environment.get(HAPROXY) != "1":
        return None
    for (name, default), least in ((DRAINING_S, 0), (HARD_STOP_S, SPARE_S)):
        wanted = args.longest_call_s + least
        given = environment.get(name, f"{default:g}")
        try:
            longest = float(given)
        except ValueError:
            return f"{name} is a time in seconds, not {given[:40]!r}"
        if not longest >= wanted:  # "nan" is none either
            return (
                f"calls of more than {given} s would be cut when a"
                f" replica ends: set {name} to {wanted} or more where Ray starts, on every node"
            )
    return None


@asynccontextmanager
async def _opened(args: StageArguments) -> AsyncIterator[Conversations]:
    """The stage, loaded in a replica. Raises `CommandFailed`."""
    try:
        settings = Settings.load()
    except SettingsError as error:
        raise CommandFailed(str(error)) from None
    configure(settings.log_level, settings.log_format, secrets_of(settings))
    if settings.worker_key is None and not args.insecure:
        raise CommandFailed(
            "everybody in the network could use this stage: set PARLEY_WORKER_KEY where Ray starts,"
            " on every node, and at the gateway, or say `insecure: true` where you trust everybody"
        )
    problem = refusal(args, os.environ)
    if problem is not None:
        raise CommandFailed(problem)
    stage = await started(settings, args.stage, args.provider)
    key = None if settings.worker_key is None else settings.worker_key.get_secret_value()
    try:
        logger.info("%s: %s is loaded", args.stage, stage.provider)
        yield Conversations(args.stage, stage, converter, key=key, places=args.places, single=True)
    finally:
        await stage.aclose()
