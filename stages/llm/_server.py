"""One chat server, asked in the form that it takes.

The form that refusals led to is remembered for each model of the server, as long as the object
lives.
"""

import logging
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pipeline.errors import StageError, StageFailed
from stages._http import HttpAnswer, HttpClient, HttpRefused
from stages.llm._dialect import Form, is_final

logger = logging.getLogger(__name__)

MOST_TRIES = 6
"""The most requests for one reply: a server may refuse several things, one after the other."""

MOST_MODELS = 64
"""The most models of a server whose forms are remembered."""

_TEACHES = (400, 422)


class ChatServer:
    """The requests of one client to `POST /v1/chat/completions`. `http` is closed by its owner."""

    def __init__(self, http: HttpClient, provider: str) -> None:
        self._http = http
        self._provider = provider
        self._forms: OrderedDict[str, Form] = OrderedDict()
        self._mute: OrderedDict[str, None] = OrderedDict()  # refuse the plain form without a reason

    @asynccontextmanager
    async def ask(self, body: dict[str, Any]) -> AsyncIterator[HttpAnswer]:
        """POST a request, in another form if the server refuses the usual one.

        `body` has the usual form. Raises as `stages._http` says. Cancelling closes the connection.
        """
        model = str(body["model"])
        known = form = self._forms.get(model, Form())
        answered = False
        silent: StageError | None = None  # a refusal that did not say what it is about
        for tries in range(1, MOST_TRIES + 1):
            try:
                async with self._http.post_json("chat/completions", form.shape(body)) as answer:
                    answered = True
                    if form.lasting() != known:
                        self._keep(model, form.lasting())
                    yield answer
                    return
            except (HttpRefused, StageFailed) as error:
                if answered:
                    raise
                if silent is not None:
                    if not _teaches(error):
                        raise  # a lost connection says nothing about the plain form
                    self._remember(self._mute, model, None)
                    raise silent from None
                following = _following(form, error, body)
                if following is None and _says_nothing(error) and model not in self._mute:
                    silent, following = error, form.plain()
                if following in (None, form) or tries == MOST_TRIES:
                    raise
                assert following is not None
                form = following

    def learned(self) -> tuple[str, ...]:
        """The differences of the server's form from the usual one, in a few words each; with the
        model's name if the models' forms differ."""
        forms = set(self._forms.values())
        if len(forms) == 1:
            return forms.pop().differences()
        return tuple(
            f"{model}: {difference}"
            for model, form in self._forms.items()
            for difference in form.differences()
        )

    def _keep(self, model: str, form: Form) -> None:
        words = "; ".join(form.differences())
        logger.info("%s (%.60s) is asked differently: %s", self._provider, model, words)
        self._remember(self._forms, model, form)

    @staticmethod
    def _remember(memory: OrderedDict[str, Any], model: str, value: Any) -> None:
        memory[model] = value
        if len(memory) > MOST_MODELS:
            memory.popitem(last=False)


def _following(form: Form, error: HttpRefused | StageFailed, body: dict[str, Any]) -> Form | None:
    if isinstance(error, HttpRefused):
        return form.after(error.said, body) if error.status in _TEACHES else None
    # Some servers answer 500 where the model's template refuses the messages.
    if error.phase != "connect" or not error.detail.startswith("HTTP 500"):
        return None
    following = form.after(error.detail, body)
    return following if following is not None and following.roles != form.roles else None


def _teaches(error: StageError) -> bool:
    return isinstance(error, HttpRefused) and error.status in _TEACHES


def _says_nothing(error: StageError) -> bool:
    """Whether a refusal has no words that `Form.after` would take as final."""
    return isinstance(error, HttpRefused) and _teaches(error) and not is_final(error.said)
