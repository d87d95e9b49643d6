"""What the page tells engineers of a turn, and shows of a reply that is still being played."""

import json
from typing import Any

from tests.support.chromium import Browser, Page
from tests.support.visit import REPLIES, browser_tests, start

pytestmark = browser_tests

FIGURES = "[...document.querySelectorAll('.waterfall:first-child .ms')].map((e) => e.innerText)"
CAPTION = "document.querySelector('.waterfall:first-child figcaption').firstChild.data"
SUMMARY = "document.querySelector('#panel-summary').textContent"


def tell(page: Page, **message: Any) -> None:
    """As if the server said it."""
    page.look(f"parley.call.handlers.message({json.dumps(message)})")


def metrics(turn: int, total: float | None, *stages: tuple[Any, ...]) -> dict[str, Any]:
    named = [
        dict(zip(("stage", "provider", "start", "first", "end"), s, strict=True)) for s in stages
    ]
    return {"type": "turn.metrics", "turn": turn, "budget_ms": 1000, "stages": named} | {
        "voice_to_voice_ms": total
    }


def test_the_panel_says_who_gave_up_and_counts_spoken_turns_only(url: str, deaf: Browser) -> None:
    with deaf.page() as page:
        start(page, url, way="websocket")
        page.click("#panel summary")
        silent = ("endpointing", "silero", 0.0, None, 800.0)
        tell(page, **metrics(51, 1200.4, silent, ("stt", "whisper", 224.0, None, None)))
        assert page.look(FIGURES) == ["0 – 800 ms", "gave up"]
        assert page.look(CAPTION) == "Turn 51: 1200 ms to the first sound"
        assert page.look(SUMMARY) == "last spoken turn 1200 ms of 1000 ms"
        tell(page, **metrics(52, 9.0, ("llm", "scripted", 0.0, 0.0, 1.0)))
        assert page.look(CAPTION) == "Turn 52: typed, 9 ms to the first sound"
        assert page.look(SUMMARY) == "last spoken turn 1200 ms of 1000 ms"


def test_the_panel_tells_a_filler_and_lost_time_from_a_fallback(url: str, deaf: Browser) -> None:
    steps = "[...document.querySelectorAll('#degraded li')].map((e) => e.innerText)"
    budget = "document.querySelector('.waterfall:first-child figcaption small').innerText"
    with deaf.page() as page:
        start(page, url, way="websocket")
        page.click("#panel summary")
        step = {"type": "degraded", "turn": 51, "stage": "llm", "from": "ollama"}
        tell(page, **step, to="filler", reason="it is late")
        assert page.look(SUMMARY) == "1 filler"
        tell(page, **step, to="scripted", reason="stalled")
        tell(page, **(step | {"stage": "stt"}), to="holding line", reason="still recognising")
        tell(page, **step, to="filler", reason="it is late")
        assert page.look(SUMMARY) == "2 fillers, 1 fallback, 1 holding line"
        assert page.look(steps)[1:3] == [
            "Turn 51: holding line, while stt ollama is waited for. still recognising",
            "Turn 51: llm ollama → scripted. stalled",
        ]
        lost = {"stage": "llm", "provider": "ollama", "ms": 600.2, "failed": True}
        told = metrics(51, 900.0, ("stt", "whisper", 0.0, None, 300.0))
        tell(page, **told, shares=[lost, lost | {"failed": False}])
        assert page.look(budget) == "budget 1000 ms, 600 ms lost with ollama"


def test_words_that_come_after_the_holding_line_stand_before_it(url: str, deaf: Browser) -> None:
    said = "[...document.querySelectorAll('#turns li')].slice(-2).map((e) => [e.className, "
    said += "e.querySelector('p').innerText])"
    with deaf.page() as page:
        start(page, url, way="websocket")
        page.until(f"{REPLIES}.length > 0")  # the opening is there
        tell(page, type="reply.text", turn=80, text="One moment.")
        tell(page, type="transcript", turn=80, text="I like tests", final=True)
        tell(page, type="reply.text", turn=80, text="Why?")
        assert page.look(said) == [["you", "I like tests"], ["parley", "One moment. Why?"]]


SOUND = """{
const pcm = new Int16Array(parley.speaker.rate).map((_, i) => 8000 * Math.sin(i / 20));
for (let i = 0; i < SECONDS; i += 1) parley.call.handlers.audio(pcm.slice().buffer);
}"""
"""A tone, all of it at once."""


def test_captions_mouth_and_interrupt_follow_what_is_played_after_a_stall(
    url: str, deaf: Browser
) -> None:
    """A stalled line brings a whole reply at once, with its end and the mood after it."""
    shown = "document.querySelector('#caption').textContent"
    usable = "!document.querySelector('#interrupt').disabled"
    with deaf.page() as page:
        start(page, url, way="websocket")
        page.until("parley.speaker.cursor()?.ms > 300")
        page.press("Escape", 27)
        page.until(f"{REPLIES}[0].textContent.includes('interrupted')", 5)
        burst: list[Any] = [
            {"type": "reply.started", "turn": 90},
            {"type": "avatar.state", "turn": 90, "state": "speaking"},
            SOUND.replace("SECONDS", "9"),
        ]
        for at_ms, text in ((0, "First, this."), (7000, "And then the question?")):
            cues = [{"t": at_ms + 100 * i, "d": 100, "v": "aa", "w": 1.0} for i in range(60)]
            burst.append({"type": "reply.text", "turn": 90, "text": text})
            burst.append({"type": "visemes", "turn": 90, "start_ms": at_ms, "cues": cues})
        burst.append({"type": "reply.done", "turn": 90, "interrupted": False, "heard": ""})
        burst.append({"type": "avatar.state", "turn": 90, "state": "idle"})
        for message in burst:
            if isinstance(message, dict):
                tell(page, **message)
            else:
                page.look(message)
        page.until(f"{shown} === 'First, this.'", 6)
        moves = page.look("parley.face.moves")
        page.until(f"parley.face.moves > {moves} || parley.face.shape !== 'sil'", 3)
        assert page.look(usable), "it can still be interrupted"
        assert page.look("document.querySelector('#portrait').dataset.state") == "speaking"
        page.until(
            f"{shown} === 'And then the question?' && parley.speaker.cursor().ms >= 7000", 10
        )
        page.until("parley.speaker.cursor() === null", 5)
        page.until(f"!({usable})", 2)
        # The same, interrupted by the person: it is silent at once.
        tell(page, type="reply.started", turn=91)
        page.look(SOUND.replace("SECONDS", "9"))
        tell(page, type="reply.done", turn=91, interrupted=False, heard="")
        tell(page, type="avatar.state", turn=91, state="idle")
        page.until("parley.speaker.cursor()?.ms > 300", 3)
        page.press("Escape", 27)
        page.until("parley.speaker.level < 1e-4 && parley.speaker.cursor() === null", 3)


def test_a_reply_that_came_without_sound_is_shown_to_its_end(url: str, deaf: Browser) -> None:
    with deaf.page() as page:
        start(page, url, way="websocket")
        page.until("parley.speaker.cursor()?.ms > 300")
        page.press("Escape", 27)
        page.until(f"{REPLIES}[0].textContent.includes('interrupted')", 5)
        tell(page, type="reply.started", turn=90)
        tell(page, type="reply.text", turn=90, text="Please read this.")
        tell(page, type="reply.done", turn=90, interrupted=False, heard="Please read this.")
        assert page.look("document.querySelector('#caption').textContent") == "Please read this."
        assert page.look("document.querySelector('#announced').textContent") == "Please read this."


def test_replies_that_come_at_once_after_a_stall_are_heard_and_shown_one_after_the_other(
    url: str, deaf: Browser
) -> None:
    shown = "document.querySelector('#caption').textContent"
    with deaf.page() as page:
        start(page, url, way="websocket")
        page.until("parley.speaker.cursor()?.ms > 300")
        page.press("Escape", 27)
        page.until(f"{REPLIES}[0].textContent.includes('interrupted')", 5)
        page.look("globalThis.shapes = {}")
        for turn, text in ((90, "The first reply."), (91, "The second one."), (92, "The third.")):
            tell(page, type="reply.started", turn=turn)
            tell(page, type="reply.text", turn=turn, text=text)
            shape = {90: "aa", 91: "ou", 92: "E"}[turn]
            cues = [{"t": 100 * i, "d": 100, "v": shape, "w": 1.0} for i in range(30)]
            tell(page, type="visemes", turn=turn, start_ms=0, cues=cues)
            page.look(SOUND.replace("SECONDS", "3"))
            tell(page, type="reply.done", turn=turn, interrupted=False, heard=text)
        tell(page, type="avatar.state", state="idle")
        for turn, text in ((90, "The first reply."), (91, "The second one."), (92, "The third.")):
            page.until(f"parley.speaker.cursor()?.turn === {turn}", 8)
            ms = page.until("(parley.speaker.cursor()?.ms > 400) && parley.speaker.cursor().ms", 5)
            assert ms < 3000, "each reply has a clock of its own"
            page.until(f"{shown} === '{text}'", 2)
            assert page.look("parley.face.shape") == {90: "aa", 91: "ou", 92: "E"}[turn]
        page.until("parley.speaker.cursor() === null", 6)


TYPICAL = "[...document.querySelectorAll('#typical dd')].map((e) => e.innerText)"
EVENTS = "[...document.querySelectorAll('#log li')].map((e) => e.innerText)"


def test_the_panel_tells_what_is_typical_of_the_spoken_turns(url: str, deaf: Browser) -> None:
    with deaf.page() as page:
        start(page, url, way="websocket")
        page.click("#panel summary")
        for turn, total in enumerate((900.0, 700.0, 800.0, 1500.0), start=51):
            tell(page, **metrics(turn, total, ("stt", "whisper", 0.0, None, 300.0)))
        assert page.look(TYPICAL) == ["4", "800 ms", "1500 ms", "–", "–", "1000 ms"]


def test_the_events_can_be_looked_through_and_taken_away(url: str, deaf: Browser) -> None:
    choose = "((e, value) => {{ e.value = value; e.dispatchEvent(new Event('input')); }})"
    choose += "(document.querySelector('{}'), '{}')"
    with deaf.page() as page:
        start(page, url, way="websocket")
        page.click("#panel summary")
        page.until(f"{EVENTS}.some((line) => line.includes('ready'))", 10)
        tell(page, type="degraded", turn=51, stage="llm", **{"from": "a", "to": "b"}, reason="slow")
        tell(page, type="transcript", turn=51, text="Caches, mostly.", final=True)
        page.look(choose.format("#log-kind", "words"))
        assert all("degraded" not in line for line in page.look(EVENTS))
        page.look(choose.format("#log-words", "caches"))
        [line] = page.look(EVENTS)
        assert "Caches, mostly." in line
        # What is chosen is what is copied and saved.
        page.look(
            "globalThis.copied = null;"
            "navigator.clipboard.writeText = async (text) => { copied = text; };"
            "globalThis.saved = null;"
            "HTMLAnchorElement.prototype.click = function () {"
            "  fetch(this.href).catch(() => {}); saved = [this.download, this.href]; }"
        )
        page.click("#log-copy")
        [event] = [json.loads(line) for line in page.until("copied").splitlines()]
        assert (event["type"], event["side"], event["text"]) == (
            "transcript",
            "server",
            "Caches, mostly.",
        )
        page.click("#log-save")
        name, address = page.until("saved")
        assert name == f"parley-{page.look('parley.call.session')}.jsonl"
        assert address.startswith("blob:")
