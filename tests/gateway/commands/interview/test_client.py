"""`parley interview` with a gateway on real sockets, and with what is none."""

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gateway.commands.cli import main
from gateway.commands.interview.backend import Wanted
from gateway.commands.interview.remote import RemoteBackend
from gateway.commands.terminal import CommandFailed
from gateway.settings import Settings
from gateway.variables import variables
from stages.interview import Report
from tests.support.conversation import GOOD
from tests.support.served import free_port

OTHER = "First I reproduce it, then I bisect, because guessing wastes time. Later I write a test."
ID = "ab833f01317275c74cd3b24d44861093"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for field in Settings.model_fields.values():
        for name in variables(field):
            monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def answers(*texts: str) -> str:
    Path("answers.txt").write_text("\n".join(texts), encoding="utf-8")
    return "answers.txt"


def saved(name: str) -> str:
    return Path(name).read_text(encoding="utf-8")


def of_json(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


async def parley(*words: str) -> int:
    return await asyncio.to_thread(main, ["interview", *words])


# --- a gateway -------------------------------------------------------------------------------


def test_a_whole_interview_with_a_gateway(gateway: Any, capsys: pytest.CaptureFixture[str]) -> None:
    async def story() -> None:
        url = f"http://127.0.0.1:{gateway.port}"
        words = ["--url", url, "--role", "data analyst", "--questions", "2", "--json"]
        assert await parley(*words, "--answers", answers(GOOD, OTHER)) == 0
        session, *_, closing, report = of_json(capsys.readouterr().out)
        assert session["where"] == f"with the gateway at {url}"
        assert closing["type"] == "closing"
        found = Report.from_json(report["report"])
        assert (found.role, found.session_id) == ("Data Analyst", session["session_id"])
        assert [item.answer for item in found.items] == [GOOD, OTHER]
        assert "<!doctype html>" in saved(report["saved"])

    gateway.run(story)


def test_the_gateway_of_the_settings_is_found(
    gateway: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def story() -> None:
        monkeypatch.setenv("PARLEY_HOST", "0.0.0.0")
        monkeypatch.setenv("PARLEY_PORT", str(gateway.port))
        assert await parley("--questions", "1", "--answers", answers(GOOD)) == 0
        said = capsys.readouterr().out
        assert f"begins with the gateway at http://127.0.0.1:{gateway.port}." in said

    gateway.run(story)
    assert not Path("var").exists()


def test_an_interview_with_a_gateway_can_be_gone_on_with(
    gateway: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    async def story() -> None:
        backend = RemoteBackend(f"http://127.0.0.1:{gateway.port}/api/sessions", "here")
        try:
            view = await backend.open(Wanted(questions=2))
            await backend.submit(GOOD)
        finally:
            await backend.aclose()
        words = ["--url", f"ws://127.0.0.1:{gateway.port}", "--resume", view.session_id]
        assert await parley(*words, "--answers", answers(OTHER), "--save", "first.json") == 0
        said = capsys.readouterr().out
        assert "goes on with the gateway" in said
        assert "Question 2 of 2" in said
        # And once more, for the report alone.
        assert await parley(*words, "--save", "again.json") == 0
        first, again = saved("first.json"), saved("again.json")
        assert first == again
        assert [item["answer"] for item in json.loads(first)["items"]] == [GOOD, OTHER]

    gateway.run(story)


def test_answers_too_few_end_the_interview_at_the_gateway(gateway: Any) -> None:
    async def story() -> None:
        words = ["--url", f"http://127.0.0.1:{gateway.port}", "--questions", "3"]
        assert await parley(*words, "--answers", answers(GOOD), "--save", "report.json") == 1
        report = json.loads(saved("report.json"))
        assert (report["questions"], report["answered"]) == (3, 1)

    gateway.run(story)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--role", "Astronaut"], "known roles: Software Engineer, Product Manager, Data Analyst"),
        (["--model", "ä"], "model"),
        (["--resume", ID], f"has no session {ID}"),
    ],
)
def test_refusals_of_the_gateway_are_reported(
    gateway: Any, words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def story() -> None:
        url = f"http://127.0.0.1:{gateway.port}"
        assert await parley("--url", url, *words, "--answers", answers(GOOD)) == 2
        assert says in capsys.readouterr().err

    gateway.run(story)


def test_a_session_in_which_somebody_speaks_is_left_alone(
    gateway: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    async def story() -> None:
        async with gateway.call(ID) as caller:
            wire = {"encoding": "pcm_s16le", "rate": 16_000}
            audio = {"audio_in": wire | {"channels": 1}, "audio_out": wire}
            await caller.say(type="hello", version=1, **audio)
            await caller.until("reply.done", turn=0)
            words = ["--url", f"http://127.0.0.1:{gateway.port}", "--resume", ID]
            assert await parley(*words, "--answers", answers(GOOD)) == 1
            assert "Somebody is in this session now" in capsys.readouterr().err

    gateway.run(story)


# --- a gateway that comes and goes -----------------------------------------------------------

MADE = {"session_id": ID, "role": "Software Engineer"}
ASKED = {
    "session_id": ID,
    "question": {"number": 1, "text": "Why?", "said": "Hello. Why?"},
    "interview": {"currentQuestion": 1, "totalQuestions": 2, "isComplete": False},
}
TAKEN = {
    "reply": "I see. And how?",
    "interview": {"currentQuestion": 2, "totalQuestions": 2, "isComplete": False},
}


class Stand:
    """A server with planned replies: an object, bytes, a status with either, None to hang up."""

    def __init__(self) -> None:
        self.plan: list[Any] = []
        self.asked: list[tuple[str, str | None]] = []
        stand = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("content-length") or 0))
                key = self.headers.get("idempotency-key")
                stand.asked.append((f"{self.command} {self.path}", key))
                reply = stand.plan.pop(0) if stand.plan else (404, {})
                self.close_connection = True
                if reply is None:
                    return
                status, value = reply if isinstance(reply, tuple) else (200, reply)
                raw = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            do_GET = do_POST = answer

            def log_message(self, *args: Any) -> None:
                """Not shown."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()

    @property
    def backend(self) -> RemoteBackend:
        url = f"http://127.0.0.1:{self.port}/api/sessions"
        return RemoteBackend(url, "the stand", pauses_s=(0.01, 0.01))


@pytest.fixture
def stand() -> Iterator[Stand]:
    made = Stand()
    yield made
    made.close()


def at(stand: Stand, *texts: str) -> Any:
    """Open an interview and give these answers; the last view."""

    async def story() -> Any:
        backend = stand.backend
        try:
            view = await backend.open(Wanted())
            for text in texts:
                view = await backend.submit(text)
        finally:
            await backend.aclose()
        return view

    return asyncio.run(story())


IN_USE = (409, {"code": "idempotency_key_in_use", "title": "Under way"})
BUSY = (503, {"code": "store_unavailable", "title": "Sessions cannot be stored or read now"})


@pytest.mark.parametrize("fault", [None, IN_USE, BUSY])
def test_what_was_not_answered_is_sent_again_with_the_same_key(stand: Stand, fault: Any) -> None:
    stand.plan = [MADE, ASKED, fault, fault, TAKEN]
    view = at(stand, GOOD)
    assert (view.said, view.number, view.total) == ("I see. And how?", 2, 2)
    sent = [key for path, key in stand.asked if path.endswith("/submit-answer")]
    assert (len(sent), len(set(sent))) == (3, 1)
    assert len({key for _, key in stand.asked}) == 3


def test_a_gateway_that_stays_away_is_given_up(stand: Stand) -> None:
    stand.plan = [MADE, ASKED, None, None, None]
    with pytest.raises(CommandFailed) as caught:
        at(stand, GOOD)
    assert (caught.value.message, caught.value.code) == ("the stand has gone away", 1)


def test_an_end_that_was_not_heard_of_is_not_an_error(stand: Stand) -> None:
    not_kept = (409, {"code": "answer_not_kept", "title": "This was done"})
    stand.plan = [MADE, ASKED, None, not_kept, {"role": "x"}]

    async def story() -> None:
        backend = stand.backend
        try:
            await backend.open(Wanted())
            await backend.report()
        finally:
            await backend.aclose()

    with pytest.raises(CommandFailed, match="not one that this version reads"):
        asyncio.run(story())
    assert stand.asked[-1] == (f"GET /api/sessions/{ID}/report", None)


@pytest.mark.parametrize(
    "plan",
    [
        [b"<h1>Welcome</h1>"],
        [(200, ["a"])],
        [(404, b"<h1>Not found</h1>")],
        [(500, {"code": 1})],
        [{"session_id": "../etc", "role": "x"}],
        [{"session_id": ID}],
        [MADE, {**ASKED, "question": None}],
        [MADE, {**ASKED, "interview": None}],
        [MADE, {**ASKED, "interview": {**ASKED["interview"], "totalQuestions": "2"}}],  # type: ignore[dict-item]
        [b" " * ((16 << 20) + 1)],
    ],
)
def test_another_server_is_not_taken_for_parley(stand: Stand, plan: list[Any]) -> None:
    stand.plan = plan
    with pytest.raises(CommandFailed, match="what answers at the stand is no Parley"):
        at(stand)


def test_no_gateway_at_the_url_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert main(["interview", "--url", url, "--answers", answers(GOOD)]) == 2
    assert capsys.readouterr().err == (
        f"parley: nothing answers at {url}; start it with `parley serve`,"
        " or leave out --url to need none\n"
    )


def test_another_server_at_the_port_is_not_taken_for_a_gateway(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PARLEY_PORT", str(stand.port))
    assert main(["interview", "--questions", "1", "--answers", answers(GOOD)]) == 0
    assert "begins in this process (no gateway runs at" in capsys.readouterr().out
    assert stand.asked == [("GET /health", None)]
