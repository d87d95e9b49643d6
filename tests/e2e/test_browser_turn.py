"""Whose turn it is, what came of the interview, and a phone on its side."""

import pytest

from tests.support.chromium import Browser
from tests.support.visit import REPLIES, browser_tests, start

pytestmark = browser_tests

MOOD = "document.querySelector('#mood').textContent"
TALL = """(() => {
  const { width, height } = document.querySelector("#wave");
  const brush = document.querySelector("#wave").getContext("2d");
  const { data } = brush.getImageData(0, 0, width, height);
  const drawn = new Set();
  data.forEach((value, i) => i % 4 === 3 && value > 0 && drawn.add(Math.floor(i / 4 / width)));
  return drawn.size / height;
})()"""
"""How tall the wave is, of its canvas. Its ink would not do: a beep of 20 ms raises few of its 48
bars, and the line of silence has ink in all of them."""

FLAT = 0.2


@pytest.mark.realtime
def test_whose_turn_it_is_stands_there_with_the_sound_of_the_microphone(
    url: str, beeping: Browser
) -> None:
    with beeping.page() as page:
        start(page, url, way="websocket")
        page.until("parley.speaker.cursor()?.ms > 500")
        assert page.look(MOOD) == "Parley is speaking"
        page.press("Escape", 27)
        page.until(f"{MOOD} === 'Your turn' || {MOOD} === 'Listening to you'", 5)
        assert 0 < page.look(f"parley.picker.wave.clear(); {TALL}") < FLAT
        page.until(f"{TALL} > 0.5", 10)  # it beeps once a second
        page.click("#mute")
        page.until(f"{MOOD} === 'You are muted'")
        page.until(f"{TALL} < {FLAT}", 20)  # what was heard before moves out of it


def test_who_has_no_microphone_is_told_to_type(url: str, deaf: Browser) -> None:
    with deaf.page() as page:
        start(page, url, way="websocket")
        page.until("parley.speaker.cursor()?.ms > 500")
        page.press("Escape", 27)
        page.until(f"{MOOD} === 'Your turn: type your answer'", 5)


def test_the_end_is_a_result_with_one_next_step(url: str, deaf: Browser) -> None:
    shown = "document.querySelector('{}').checkVisibility()"
    with deaf.page() as page:
        start(page, url, way="websocket")
        page.until("parley.speaker.cursor()?.ms > 1500")
        page.until("parley.speaker.cursor() === null")  # the question has been asked
        page.look("document.querySelector('#answer').focus()")
        page.type("When orders fell by 12 percent, I compared 3 sources and mended the import.")
        page.press("Enter", 13)
        page.until(f"{REPLIES}.length === 2 && parley.speaker.cursor()?.ms > 500")
        page.click("#end")
        words = "document.querySelector('#after-words').textContent"
        page.until("document.body.dataset.view === 'ended'")
        page.until(f"!{words}.startsWith('One moment')", 40)
        assert page.look(shown.format("#report")), page.look(words)
        score = int(page.look("document.querySelector('#score').textContent"))
        rests = page.look("document.querySelector('#rests').textContent")
        assert rests.startswith(f"{score} of 100, ")
        assert "1 of 3 questions answered, 1 scored" in rests
        assert page.look("document.querySelector('#next-step').textContent") != ""
        assert page.look("document.querySelector('#again').textContent") == "Practise again"
        assert page.look("document.querySelectorAll('#turns li').length") >= 3
        # The report is called and coloured alike, and leads back.
        colour = "getComputedStyle(document.body).backgroundColor"
        before = page.look(colour)
        page.open(page.look("document.querySelector('#report').href"))
        assert page.look(colour) == before
        names = page.look("[...document.querySelectorAll('.who')].map((e) => e.textContent)")
        assert set(names) == {"Parley", "You"}
        assert page.look("document.querySelector('.brand a').pathname") == "/"


@pytest.mark.parametrize("way", ["landscape", "portrait"])
def test_on_a_phone_the_answer_field_is_docked_and_a_long_talk_scrolls_above_it(
    way: str, url: str, deaf: Browser
) -> None:
    box = "(({{ top, left, bottom }}) => [top, left, bottom])"
    box += "(document.querySelector('{}').getBoundingClientRect())"
    turns = "document.querySelector('#turns')"
    width, height = (844, 390) if way == "landscape" else (390, 844)
    with deaf.page() as page:
        page.size(width, height)
        start(page, url, way="websocket")
        page.until(f"{REPLIES}.length === 1")
        page.look(
            f"for (let i = 20; i--;) {turns}.append({turns}.firstElementChild.cloneNode(true))"
        )
        page.look("scrollTo(0, 0)")
        top, left, bottom = page.look(box.format("#answer"))
        assert 0 < top < bottom <= height
        if way == "landscape":
            assert left > page.look(box.format("#portrait"))[1] + 100, "two columns"
            assert page.look(box.format("#end"))[2] <= height
            page.look("document.querySelector('#panel').open = true")
            page.look("document.querySelector('#panel').scrollIntoView()")
            assert page.look(box.format(".stage"))[2] <= page.look(box.format("#panel"))[0]
