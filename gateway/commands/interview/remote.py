"""An interview in writing with a gateway, over its REST API.

A request without an answer is sent again, for about as long as a gateway takes to start: each POST
has an idempotency key, so nothing is done twice. Other faults raise `CommandFailed`.
"""

import asyncio
import json
import secrets
from collections.abc import Mapping
from typing import Any

import httpx

from gateway.commands.interview.backend import DEFAULT_ROLE, InterviewView, Wanted
from gateway.commands.terminal import FAILED, UNUSABLE, CommandFailed
from gateway.interviews.sessions import SESSION_ID
from stages.interview import InvalidReport, Report

CONNECT_S = 5.0
ANSWER_S = 30.0

REPORT_S = 120.0
"""Long, because a chat model may have to evaluate every answer."""

PAUSES_S = (0.5, 1.0, 2.0, 4.0, 4.0)
"""Their sum is longer than a restart of the gateway."""

MAX_BYTES = 16 << 20

MAX_TOLD = 500
"""Characters of a gateway's message that are shown."""

_AGAIN = ("idempotency_key_in_use", "store_unavailable")


class RemoteProblem(CommandFailed):
    """The gateway refused. `problem` is its error code (an addition to RFC 9457), "" if it has
    none."""

    def __init__(self, problem: str, message: str, code: int) -> None:
        super().__init__(message, code)
        self.problem = problem


class RemoteBackend:
    """Holds the interview with the gateway at `shown`, whose sessions are at `url`.

    `option` is as in `InterviewBackend`. `token` is a key, a ticket or a pass. `pauses_s`
    are the pauses between attempts of a request.
    """

    def __init__(
        self,
        url: str,
        shown: str,
        *,
        option: str = "",
        pauses_s: tuple[float, ...] = PAUSES_S,
        token: str | None = None,
    ) -> None:
        self._pauses_s = pauses_s
        self._url = url
        self._shown = shown
        self._session_id = ""
        self._role = ""
        self._complete = False
        self.where = f"with the gateway at {shown}"
        self.option = option
        self.judge: str | None = None
        self._client = httpx.AsyncClient(trust_env=False)
        self._use(token)

    async def open(self, wanted: Wanted) -> InterviewView:
        if wanted.resume is None:
            asked = {
                "role": wanted.role or DEFAULT_ROLE,
                "model": wanted.model,
                "totalQuestions": wanted.questions,
                "language": wanted.language,
                "mode": "text",
            }
            body = {name: value for name, value in asked.items() if value is not None}
            made = await self._send("POST", "", body, code=UNUSABLE, once=True)
            if made.get("access") is not None:
                self._use(self._text(made["access"], "value"))
        else:
            self._session_id = wanted.resume
            made = await self._send("GET", f"/{wanted.resume}", code=UNUSABLE, once=True)
            interview = made.get("interview")
            self._complete = isinstance(interview, Mapping) and interview.get("isComplete") is True
        self._session_id, self._role = self._text(made, "session_id"), self._text(made, "role")
        if SESSION_ID.fullmatch(self._session_id) is None:
            raise self._not_parley()
        if self._complete:
            return self._view(made, "")
        turn = await self._send("POST", f"/{self._session_id}/start", code=UNUSABLE)
        return self._view(turn, self._text(turn.get("question"), "said"))

    def _use(self, token: str | None) -> None:
        if token is not None:
            self._client.headers["authorization"] = f"Bearer {token}"

    async def submit(self, text: str) -> InterviewView:
        turn = await self._send("POST", f"/{self._session_id}/submit-answer", {"text": text})
        return self._view(turn, self._text(turn, "reply"))

    async def report(self) -> Report:
        if not self._complete:
            try:
                await self._send("POST", f"/{self._session_id}/end", timeout_s=REPORT_S)
            except RemoteProblem as problem:
                if problem.problem != "answer_not_kept":  # otherwise the first attempt did it
                    raise
        path = f"/{self._session_id}/report"
        told = await self._send("GET", path, timeout_s=REPORT_S)
        try:
            return Report.from_json(told)
        except InvalidReport as error:
            why = f"the report of {self._shown} is not one that this version reads ({error})"
            raise CommandFailed(why, FAILED) from None

    async def aclose(self) -> None:
        await self._client.aclose()

    # --- one request ---------------------------------------------------------------------------

    async def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        timeout_s: float = ANSWER_S,
        code: int = FAILED,
        once: bool = False,
    ) -> dict[str, Any]:
        """The object in the gateway's answer; `code` is the command's exit code on failure.

        Without an answer, or if the answer is "not yet", the request is sent again, unless `once`.
        """
        headers = {"accept": "application/json"}
        if method == "POST":
            headers["idempotency-key"] = secrets.token_hex(16)
        request = self._client.build_request(
            method,
            f"{self._url}{path}",
            json=body,
            headers=headers,
            timeout=httpx.Timeout(timeout_s, connect=CONNECT_S),
        )
        for pause_s in (*(() if once else self._pauses_s), None):
            try:
                status, raw = await self._exchange(request, timeout_s)
            except (TimeoutError, httpx.TimeoutException):
                raise RemoteProblem("", f"{self._shown} does not answer in time", code) from None
            except httpx.HTTPError:
                failure = self._away(code)
            else:
                if 200 <= status < 300:
                    return self._object(raw)
                failure = self._refused(status, raw, code)
                if failure.problem not in _AGAIN:
                    raise failure
            if pause_s is not None:
                await asyncio.sleep(pause_s)
        raise failure

    async def _exchange(self, request: httpx.Request, timeout_s: float) -> tuple[int, bytes]:
        async with asyncio.timeout(timeout_s + CONNECT_S):
            response = await self._client.send(request, stream=True)
            try:
                raw = bytearray()
                async for chunk in response.aiter_bytes():
                    raw += chunk
                    if len(raw) > MAX_BYTES:
                        raise self._not_parley()
            finally:
                await response.aclose()
        return response.status_code, bytes(raw)

    def _away(self, code: int) -> RemoteProblem:
        if code == UNUSABLE:
            advice = "start it with `parley serve`, or leave out --url to need none"
            return RemoteProblem("", f"nothing answers at {self._shown}; {advice}", code)
        return RemoteProblem("", f"{self._shown} has gone away", code)

    def _refused(self, status: int, raw: bytes, code: int) -> RemoteProblem:
        try:
            told = json.loads(raw)
            problem, title = str(told["code"]), str(told["title"])
            message = str(told.get("detail") or title)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            why = f"what answers at {self._shown} is no Parley, or an older one (HTTP {status})"
            return RemoteProblem("", why, code)
        if problem == "access_required":
            message = (
                f"{self._shown} wants a key or a ticket: --token-file names a file that has it"
            )
        if problem == "no_such_session":
            message = f"{self._shown} has no session {self._session_id}"
        return RemoteProblem(problem, message[:MAX_TOLD], code)

    def _object(self, raw: bytes) -> dict[str, Any]:
        try:
            value = json.loads(raw)
        except (ValueError, RecursionError):
            raise self._not_parley() from None
        if not isinstance(value, dict):
            raise self._not_parley()
        return value

    def _text(self, value: Any, name: str) -> str:
        text = value.get(name) if isinstance(value, dict) else None
        if not isinstance(text, str):
            raise self._not_parley()
        return text

    def _view(self, told: Mapping[str, Any], said: str) -> InterviewView:
        try:
            interview = told["interview"]
            number, total = interview["currentQuestion"], interview["totalQuestions"]
            self._complete = interview["isComplete"]
        except (LookupError, TypeError):
            raise self._not_parley() from None
        if not (isinstance(number, int) and isinstance(total, int)):
            raise self._not_parley()
        return InterviewView(
            self._session_id, self._role, number, total, said, bool(self._complete)
        )

    def _not_parley(self) -> CommandFailed:
        return CommandFailed(f"what answers at {self._shown} is no Parley, or an older one")
