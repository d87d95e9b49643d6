"""Builds the sessions of live calls from the objects that a process shares; `Connection` takes
these objects only from here."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Protocol

from gateway.faces.service import FaceService
from gateway.interviews.events import Events
from gateway.interviews.recorder import Recorder
from gateway.interviews.sessions import SessionOwner
from gateway.live.assistant import AssistantHost, NoAssistant
from gateway.live.host import InterviewHost
from gateway.live.journals import Journals
from gateway.live.noise import clean
from gateway.live.registry import LiveSessions
from gateway.live.transport import Media, P
from gateway.logs import session_id as logged_session
from gateway.media.resampling import converter
from gateway.observe.sessions import ObservedSession, ObservedSessions
from gateway.observe.trace_context import SessionTraces, client_trace
from gateway.protocols.dialect import ProtocolError, SessionReady
from gateway.protocols.request import SessionRequest
from gateway.protocols.tool_wish import ToolWish
from gateway.providers.build import options
from gateway.providers.languages import Notice, heard_as, in_language, not_held_in, notices
from gateway.providers.lineup import Lineup
from gateway.security.clients import client_identity
from gateway.settings import Settings
from gateway.store import Store
from pipeline.canned import CANNED_LINES, CannedLines
from pipeline.guard import Guard
from pipeline.journal import Journal
from pipeline.languages import AUTO
from pipeline.pacer import Pacer
from pipeline.session import Session, SessionPolicy, Stages
from pipeline.stage import Host, Observer, Responder
from pipeline.tool_calls import OwnTool
from pipeline.turn_context import current_turn, request_headers
from pipeline.turns import TurnPolicy
from stages.interview.languages import AVAILABLE, default_language

HARD_FACTOR = 6
"""The turn's hard limit as a multiple of its budget; a canned line is spoken by then."""


class LiveHost(Host, Protocol):
    """The host of a live session: an interview, or an assistant."""

    @property
    def language(self) -> str | None:
        """The person's language: a code, "auto", or None to leave it to the recogniser."""

    @property
    def tools(self) -> tuple[ToolWish, ...]:
        """The functions that the session was made with."""

    @property
    def spoken(self) -> str | None:
        """The code of the language of the replies; None where it is not known."""

    def describe(self) -> dict[str, Any] | None:
        """The interview's fields for the client; None for an assistant."""

    def seconds_left(self, longest_s: float, now: float) -> float:
        """The rest of `longest_s` at `now` (seconds since the epoch); 0 or more. Infinite for an
        assistant."""

    def request(self, request: SessionRequest) -> None:
        """The client has another request from now on."""

    def words_of(self, key: str) -> str:
        """The answer that a key of a telephone stands for; "" for none."""

    def observers(self) -> tuple[Observer, ...]:
        """The host's observers of the session's outputs."""


@dataclass(frozen=True, slots=True)
class Calls:
    """Builds live sessions. One per process."""

    settings: Settings
    store: Store
    lineup: Lineup
    pacer: Pacer
    faces: FaceService
    live: LiveSessions
    owner: SessionOwner
    events: Events
    recorder: Recorder | None
    journals: Journals | None
    observed: ObservedSessions
    load: Observer | None = None
    """Observes every session, for the process's load."""

    async def turn(self) -> None:
        """Return when a session may begin; who is cancelled meanwhile takes no turn."""
        if self.live.pressure is not None:  # a crowd may come
            await self.live.starts.turn()

    @asynccontextmanager
    async def host(
        self,
        session_id: str,
        request: SessionRequest,
        progress: Callable[[dict[str, Any]], None],
        dismiss: Callable[[], None],
        lost: Callable[[], None] = lambda: None,
    ) -> AsyncIterator[LiveHost]:
        """The host of a session, which this process owns until the block ends.

        `progress` gets the state of an interview when it has advanced. `dismiss` is called when the
        session must end early, and `lost` where it belongs to another process. A client that comes
        back, whose token holds, has its session taken over from any other process.

        A new interview is held in the default language where the interviewer does not speak the
        one that is asked for; a stored one keeps its own. `notices` tells of it.

        Raises `InterviewError` for an invalid role or count, `SessionTaken` where another
        connection holds the session, `NoAssistant` where no chat server is configured.
        """
        if request.assistant is not None:
            if not self._has_chat_server():
                raise NoAssistant
            yield AssistantHost(request.assistant, request.language)
            return
        async with self.live.hold(session_id, dismiss):
            host = await InterviewHost.claim(
                self.store,
                session_id,
                request.interview,
                worker=self.owner,
                ttl_s=self.settings.session_ttl_s,
                notify=self._published(session_id, progress),
                recorder=self.recorder,
                language=self._language(request),
                takes_over=request.resume is not None,
                tells=self.settings.tells,
                made_by=client_identity.get(),
                lost=lost,
            )
            keeping = asyncio.create_task(host.keep())
            try:
                yield host
            finally:
                keeping.cancel()
                try:
                    await asyncio.wait([keeping])
                finally:
                    await host.release()

    def session(
        self,
        session_id: str,
        host: LiveHost,
        request: SessionRequest,
        *,
        rate_hz: int,
        observers: tuple[Observer, ...],
        journal: Journal | None = None,
        tools: tuple[OwnTool, ...] = (),
    ) -> Session:
        """A session for one client, with reply audio at `rate_hz`, whose replies may call `tools`.

        A `journal` is opened here; the session closes it.
        """
        budget_s = self.settings.budget_ms / 1000
        left_s = host.seconds_left(self.settings.longest_interview_min * 60, time.time())
        if left_s == 0:  # the time was up before this client came back
            host.time_is_up()
        heard = self.heard(host)
        turns = self.turn_policy(request)
        if heard not in (None, AUTO):
            turns = replace(turns, language=heard)
        policy = SessionPolicy(
            turns=turns,
            out_rate_hz=rate_hz,
            lead_ms=request.lead_ms,
            target_s=budget_s,
            hard_s=budget_s * HARD_FACTOR,
            speculate=self._speculates(),
            longest_s=left_s,
            canned=self.canned(host),
            language=heard,
            fills=host.describe() is not None,  # an assistant says what its client tells it to
            tools=tools,
        )
        if journal is not None:
            now = asyncio.get_running_loop().time()
            journal.opened(session_id, policy.turns, now)
        return Session(
            self._stages(host),
            host,
            observers=(*filter(None, [self.load]), *host.observers(), *observers),
            pacer=self.pacer,
            convert=converter,
            policy=policy,
            journal=journal,
            waited=self.observed.on_wait,
        )

    def session_ends(self, until: float | None) -> tuple[float, float]:
        """When a live session that begins now has to end, as a Unix time and in how many seconds.

        `until` is when the client's credential says it must; the settings have a limit of their
        own.
        """
        now = time.time()
        ends_at = min(now + self.settings.session_limit_s, until or math.inf)
        return ends_at, ends_at - now

    def turn_policy(self, request: SessionRequest) -> TurnPolicy:
        """A client's turn policy: its request, with the settings as defaults."""
        asked = {name: value for name, value in asdict(request.turns).items() if value is not None}
        default = {
            "silence_ms": self.settings.silence_ms,
            "prompt_ms": self.settings.silence_prompt_s * 1000,
            "judged": self.lineup.stages.turn_models is not None,
        }
        if request.assistant is not None:  # an assistant neither opens the conversation nor prompts
            default |= {"opens": False, "prompt_ms": 0, "replies_to_silence": True}
        return TurnPolicy(**{**default, **asked})

    def clean(
        self, media: Media[P], request: SessionRequest, complain: Callable[[ProtocolError], None]
    ) -> Media[P]:
        """A client's media with as little noise as it, or the deployment, wants."""
        return clean(media, request.noise_reduction, self.settings.noise_reduction, complain)

    def _stages(self, host: LiveHost) -> Stages:
        """The stages of a session: for an interview, those that know its language."""
        if host.describe() is None:  # an assistant's client may change the language
            return self.lineup.stages
        return in_language(self.lineup.stages, self.heard(host), host.spoken)

    def _language(self, request: SessionRequest) -> str:
        """The language of a new interview."""
        if request.language in AVAILABLE:
            return request.language
        return default_language(self.settings.stt_language)

    @contextmanager
    def journal(self, session_id: str) -> Iterator[Journal | None]:
        """A session's journal, closed at the end of the block; None where none is kept."""
        if self.journals is None:
            yield None
            return
        journal, file = self.journals.open(session_id)
        try:
            yield journal
        finally:
            file.close()

    @contextmanager
    def observe(
        self, session_id: str, request: SessionRequest, transport: str
    ) -> Iterator[ObservedSession]:
        """A session for the operator, until the block ends; the log lines of its task name it."""
        kind = "interview" if request.assistant is None else "assistant"
        parent = request.traceparent or client_trace.get()
        logged = logged_session.set(session_id)
        try:
            with self.observed.open(
                session_id, transport=transport, kind=kind, traceparent=parent
            ) as observed:
                headers = request_headers.set(partial(_trace_headers, observed.traces))
                try:
                    yield observed
                finally:
                    request_headers.reset(headers)
        finally:
            logged_session.reset(logged)

    @property
    def responders(self) -> Guard[Responder]:
        """The responders, for replies beside the conversation."""
        return self.lineup.stages.responders

    def ready(
        self,
        session_id: str,
        media: Media[Any],
        host: LiveHost,
        request: SessionRequest,
        avatar: str,
    ) -> SessionReady:
        """The first message of a session; `avatar` is the provider that draws the face."""
        return SessionReady(
            session_id,
            media.audio_in,
            media.audio_out,
            self._providers(avatar, host),
            host.describe(),
            request.avatar,
            host.language,
            tuple((notice.code, notice.message) for notice in self.notices(host, request)),
        )

    def notices(self, host: LiveHost, request: SessionRequest) -> Sequence[Notice]:
        """Notices for the client: what its language lacks, or that it asked for another."""
        if host.describe() is None:
            return notices(self.lineup.stages, host.language, interview=False)
        found = notices(self.lineup.stages, host.language)
        if request.language in (None, host.language, *AVAILABLE):
            return found
        return (not_held_in(str(request.language), host.language), *found)

    def canned(self, host: LiveHost) -> CannedLines:
        """The lines for failures, in the language of the replies."""
        return CANNED_LINES.get(host.spoken or "", CannedLines())

    def _providers(self, avatar: str, host: LiveHost) -> dict[str, str]:
        """The names of the providers that are tried first."""
        stages = self._stages(host)
        models = stages.turn_models
        turn = {} if models is None else {"turn": models.candidates[0].provider}
        return {
            "vad": stages.detector.provider,
            **turn,
            "stt": stages.transcribers.candidates[0].provider,
            "llm": stages.responders.candidates[0].provider,
            "tts": stages.synthesizers.candidates[0].provider,
            "avatar": avatar,
        }

    def heard(self, host: LiveHost) -> str | None:
        """The language for the session's recognisers: see `SessionPolicy.language`.

        A session that names no language has the deployment's; "auto" counts as a name.
        """
        wanted = self.settings.stt_language if host.language is None else host.language
        return heard_as(self.lineup.stages, wanted)

    def _has_chat_server(self) -> bool:
        """Whether replies come from a chat server, or from stages that were passed in."""
        choice = self.lineup.choices.get("llm")
        return choice is None or choice.first.name != "scripted"

    def _speculates(self) -> bool:
        """Whether to speculate: with "auto", only where no provider is paid for each call."""
        if self.settings.speculate != "auto":
            return self.settings.speculate == "on"
        chosen = options(self.settings)
        servers = {"stt": chosen.stt_server, "llm": chosen.llm_server, "tts": chosen.tts_server}
        paid = {slot for slot, server in servers.items() if server and server.key}
        return not any(
            choice.first.remote for slot, choice in self.lineup.choices.items() if slot in paid
        )

    def _published(
        self, session_id: str, progress: Callable[[dict[str, Any]], None]
    ) -> Callable[[dict[str, Any]], None]:
        """`progress` that also publishes to the watchers over REST."""

        def both(state: dict[str, Any]) -> None:
            progress(state)
            self.events.publish(session_id, "interview", state)
            if state["isComplete"]:
                self.events.publish(session_id, "completed", state)

        return both


def _trace_headers(traces: SessionTraces | None, slot: str) -> Mapping[str, str]:
    """The header that names the span of a slot in the current turn; none without traces."""
    turn = current_turn.get()
    if traces is None or turn is None:
        return {}
    return {"traceparent": traces.stage(turn, slot).traceparent}
