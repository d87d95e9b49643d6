"""The upstreams of text interviews and the sources of models, from the settings."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from gateway.rest.stateless.interviews import StatelessInterviews
from gateway.rest.stateless.models import (
    FALLBACK_MODELS,
    GRANITE,
    OLLAMA,
    ModelCatalogue,
    ModelEntry,
    from_ollama,
    from_service,
)
from gateway.rest.stateless.upstreams import Chat, ContractService, PerModel, fetch_object
from gateway.settings import Settings
from pipeline.stage import Responder
from stages._http import HttpClient
from stages.interview import InterviewSession
from stages.llm.chat import ChatModel
from stages.llm.openai import OpenAIResponder
from stages.registry import Server

CONVERSATION = "conversation-service"
SCRIPTED = "scripted"

C = TypeVar("C")


class Ollama(Chat):
    """Chats with the models that Ollama has installed, and never makes it load others.

    The session's own model answers, or, if it is not installed, an installed one of the contract's
    fallback models.
    """

    def __init__(self, url: str, catalogue: ModelCatalogue) -> None:
        super().__init__(OLLAMA, self._responder_for, self._model_for)
        self._catalogue = catalogue
        self._responders = PerModel(
            lambda model: OpenAIResponder(f"{url}/v1", model, provider=OLLAMA)
        )
        self._models = PerModel(lambda model: ChatModel(f"{url}/v1", model, provider=OLLAMA))

    async def can(self, model: str) -> bool:
        """Whether it can answer for sessions of that model."""
        return await self._installed(model) is not None

    async def aclose(self) -> None:
        """Close the connections. Calls under way fail."""
        await self._responders.aclose()
        await self._models.aclose()

    async def _responder_for(self, session: InterviewSession) -> Responder:
        return await self._responders.get(await self._chosen(session))

    async def _model_for(self, session: InterviewSession) -> ChatModel:
        return await self._models.get(await self._chosen(session))

    async def _chosen(self, session: InterviewSession) -> str:
        model = session.config.model
        return await self._installed(model) or model

    async def _installed(self, model: str) -> str | None:
        installed = {found.id for found in await self._catalogue.of(OLLAMA)}
        wanted = (model, f"{model}:latest", *(fallback.id for fallback in FALLBACK_MODELS))
        return next((name for name in wanted if name in installed), None)


class Services:
    """The two parts of the desktop API, `interviews` and `catalogue`, with their upstreams.

    `responders` gives the chat models that word turns, best first, once they are built; `server` is
    the chat server that writes summaries. With `PARLEY_LLM=scripted` no chat model is asked, nor
    Ollama.
    """

    def __init__(
        self,
        settings: Settings,
        responders: Callable[[], Sequence[Responder]] = tuple,
        server: Server | None = None,
    ) -> None:
        self._granite = ContractService(settings.granite_interview_url, GRANITE)
        self._conversation = ContractService(settings.conversation_url, CONVERSATION)
        self._tags = HttpClient(f"{settings.ollama_url}/api", stage="llm", provider=OLLAMA)
        self.catalogue = ModelCatalogue({GRANITE: self._offered, OLLAMA: self._installed})
        self._responders = responders
        self._ollama: Ollama | None = None
        self._model: ChatModel | None = None
        if settings.llm != SCRIPTED:
            self._ollama = Ollama(settings.ollama_url, self.catalogue)
            if server is not None:
                self._model = ChatModel(server.url, server.model, api_key=server.key)
        self.interviews = StatelessInterviews(
            {
                "start": [self._granite],
                "respond": [self._granite, self._conversation],
                "summary": [self._granite],
            },
            self._chats,
            self._ollama,
        )

    async def aclose(self) -> None:
        """Close all connections and cancel the requests under way."""
        await self.catalogue.aclose()
        for client in (self._granite, self._conversation, self._tags, self._ollama, self._model):
            if client is not None:
                await client.aclose()

    def _chats(self) -> list[Chat]:
        model = None if self._model is None else _always(self._model)
        return [
            Chat(responder.provider, _always(responder), model)
            for responder in self._responders()
            if responder.provider != SCRIPTED
        ]

    async def _offered(self) -> tuple[ModelEntry, ...]:
        return from_service(await self._granite.models())

    async def _installed(self) -> tuple[ModelEntry, ...]:
        return from_ollama(await fetch_object(self._tags, "tags"))


def _always(client: C) -> Callable[[InterviewSession], Awaitable[C]]:
    async def get(session: InterviewSession) -> C:
        return client

    return get
