"""What a voice gets of a sentence, and where its words are in the sentence."""

import re
import time
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline import speakable as module
from pipeline.frames import SpokenWord
from pipeline.speakable import speakable
from pipeline.stage_directions import may_be_direction
from tests.support.scripts import WORDS as EVERY_SCRIPT

CASES = {
    "plain text": ("Tell me, how did that go?", "Tell me, how did that go?"),
    "link": ("See [the docs](https://x.io/a?b=1).", "See the docs."),
    "link with a title": ('See [it](https://x.io "The docs") now.', "See it now."),
    "link with brackets": ("See [C](https://x.io/C_(language)) first.", "See C first."),
    "image": ("![a diagram](a.png) shows it.", "a diagram shows it."),
    "reference link": ("Read [the guide][guide].", "Read the guide."),
    "bare link": ("Read https://www.example.com/a/b?c=d. Then go", "Read example.com. Then go"),
    "link in angle brackets": ("At <https://example.org/x>, yes.", "At example.org, yes."),
    "link without a scheme": ("At www.example.com/x you see.", "At example.com you see."),
    "user and port in a link": (
        "Use redis://me:pw@cache.local:6379/0 here",
        "Use cache.local here",
    ),
    "mail": ("Write to <mailto:me@example.com>.", "Write to me@example.com."),
    "emoji": ("Great answer! 🎉", "Great answer!"),
    "emoji inside": ("I 👍🏽 that 🇩🇪 idea.", "I that idea."),
    "emoji family": ("The 👩‍👩‍👧 family", "The family"),
    "heart": ("I ❤️ it.", "I it."),
    "keycap": ("1️⃣ is first", "1 is first"),
    "only emoji": ("🎉 🎉", ""),
    "only punctuation": ("(...)", ""),
    "emoticon": ("Nice :) go on", "Nice go on"),
    "note": ("♪ la la ♪", "la la"),
    "stage directions": ("*pauses* (smiles) So, why Postgres?", "So, why Postgres?"),
    "direction with a tail": ("(leans in closer) Why?", "Why?"),
    "direction in square brackets": ("[laughs softly] Why?", "Why?"),
    "German direction": ("*lächelt* Warum?", "Warum?"),
    "no direction": ("The loop (see below) pauses.", "The loop (see below) pauses."),
    "a verb in a remark": ("It stops (pauses the stream).", "It stops (pauses the stream)."),
    "a thing in brackets": (
        "Use the (typing) module (latter).",
        "Use the (typing) module (latter).",
    ),
    "a name in brackets": ("A model (Whisper), right?", "A model (Whisper), right?"),
    "a direction in a sentence": ("So (beat) why (typing) Postgres?", "So why Postgres?"),
    "a direction behind a sentence": ("Good. (typing) so, why?", "Good. so, why?"),
    "bold": ("**Very** good, and *this* too.", "Very good, and this too."),
    "underscores": ("__Bold__ and user_id", "Bold and user id"),
    "strike": ("~~not~~ this", "not this"),
    "heading": ("## Next question", "Next question"),
    "bullet": ("- a cache", "a cache"),
    "round bullet": ("• a cache • a queue", "a cache, a queue"),
    "quote": ("> as they say", "as they say"),
    "rule": ("--- Next", "Next"),
    "inline code": ("Use `map` here.", "Use map here."),
    "code block": ("Look: ```py x = 1``` why?", "Look: why?"),
    "table row": ("| speed | cost |", "speed, cost"),
    "table line": ("|---|:--:|", ""),
    "C++": ("C++, C# and A+ stay.", "C++, C# and A+ stay."),
    "hash before a number": ("issue #12", "issue 12"),
    "less": ("It took <5 ms.", "It took less than 5 ms."),
    "less, spaced": ("Is x < 5?", "Is x less than 5?"),
    "at least": ("p99 >= 20", "p99 greater than or equal to 20"),
    "at most": ("≤5 replicas", "less than or equal to 5 replicas"),
    "greater": ("5>3", "5 greater than 3"),
    "less and greater": ("1 < x > 0", "1 less than x greater than 0"),
    "unequal": ("5 != 6", "5 is not equal to 6"),
    "equals": ("x == -5", "x equals minus 5"),
    "about": ("~5 ms, ≈3.5x", "about 5 ms, about 3.5x"),
    "hyphen as minus": ("It was -5 degrees.", "It was minus 5 degrees."),
    "minus": ("−5 °C", "minus 5 °C"),
    "minus before a currency": ("a loss of -$5", "a loss of minus $5"),
    "minus before a point": ("at -.5", "at minus .5"),
    "minus alone at the start": ("- 5 degrees", "minus 5 degrees"),
    "difference": ("5 - 3 = 2", "5 minus 3 equals 2"),
    "sum": ("5+3 and 5 + 3", "5 plus 3 and 5 plus 3"),
    "more than": ("5+ years", "5 plus years"),
    "product": ("5 × 3, 2*3, 4 * 5", "5 times 3, 2 times 3, 4 times 5"),
    "quotient": ("10 ÷ 2, 10 / 2", "10 divided by 2, 10 over 2"),
    "plus or minus": ("±5 %", "plus or minus 5 %"),
    "power": ("x^2, 2**10", "x to the power of 2, 2 to the power of 10"),
    "superscript": ("x² and 10⁻³", "x squared and 10 to the power of minus 3"),
    "root": ("√16", "square root of 16"),
    "arrow": ("A -> B → C", "A to B to C"),
    "sign by its name": ("∀x ∈ S", "for all x in S"),
    "sign of nothing": ("So (∮) then.", "So then."),
    "LaTeX": (r"\(\frac{1}{2} \leq x\)", "1 over 2 less than or equal to x"),
    "LaTeX in dollars": ("$x^2$ costs $5 and $6", "x to the power of 2 costs $5 and $6"),
    "range": ("5–10 or 5-10 items", "5–10 or 5-10 items"),
    "date": ("on 2024-05-01", "on 2024-05-01"),
    "slash": ("CI/CD, km/h, 3/4", "CI/CD, km/h, 3/4"),
    "entity": ("R&amp;D &lt;5", "R&D less than 5"),
    "entities of quotes": ("Why&#8217;s that &mdash; &ldquo;no&#34;?", 'Why’s that — “no"?'),
    "no entity": ("Is it P&L; or R&notit; then?", "Is it P&L; or R&notit; then?"),
    "HTML": ("a <b>bold</b> word<br/>here", "a bold word here"),
    "element": ("the <div> element", "the div element"),
    "generic": ("a List<String> here", "a List of String here"),
    "option": ("Use --force", "Use force"),
    "control token": ("Tell me.<|im_end|>", "Tell me."),
    "reasoning": ("<think>Hm 5.</think>Go on.", "Go on."),
    "control character": ("a\x00b\x07", "a b"),
    "zero width": ("a\u200bb\ufeff", "ab"),
    "French": ("« Stop ! » dit-il ?", "« Stop ! » dit-il ?"),
    "Chinese": ("你好。这是<5吗？", "你好。这是<5吗？"),
    "Russian": ("x < 5, да или нет?", "x < 5, да или нет?"),
    "Hindi": ("क्‍ष नमस्ते", "क्‍ष नमस्ते"),
}


@pytest.mark.parametrize(("text", "said"), CASES.values(), ids=CASES.keys())
def test_a_voice_gets_what_can_be_said(text: str, said: str) -> None:
    assert speakable(text).text == said


def test_signs_are_said_in_the_language_of_the_reply() -> None:
    assert speakable("x ≤ -5", "de-DE").text == "x kleiner oder gleich minus 5"
    assert speakable("x ≤ -5", "fr").text == "x less than or equal to minus 5"


SCRIPTS = st.sampled_from(
    [
        "Ответ дан",
        "αυτό είναι",
        "مرحبا بكم",
        "שלום",
        "日本語です",
        "한국어",
        "ไทย",
        "தமிழ்",
        "Žluťoučký",
        *EVERY_SCRIPT,
    ]
)
MARKUP = st.sampled_from(
    [
        *(
            "*",
            "**",
            "_",
            "`",
            "```",
            "#",
            "##",
            "-",
            "+",
            "|",
            "||",
            "<",
            ">",
            "<=",
            "=",
            "~",
            "^",
        ),
        *("(", ")", "[", "]", "](", "https://", "www.", "x.io", "5", "-5", ".5", ",", ".", "!"),
        *("a", "b", "C", "smiles", "<b>", "</b>", "<think>", "</think>", "<|x|>", "&lt;", "&amp;"),
        *("\\(", "\\frac{", "}", "🎉", "\ufe0f", "\u200d", "²", "⁻³", "×", "−", "≤", "∀", "$"),
        *("\ue000", "\x00"),
    ]
)
PLAIN = st.text("aZé5,.!?'’\" w", max_size=30) | st.just("At www.x.io now")
TEXTS = st.lists(MARKUP | st.just(" ") | st.characters(), max_size=30).map("".join)


@given(PLAIN)
@example("?  ?")
def test_a_plain_sentence_is_what_the_rules_make_of_it(text: str) -> None:
    # A bracket makes all rules look at the text.
    assert speakable(f"{text} (a)").text.removesuffix("(a)").strip() == (
        speakable(text).text or " ".join(text.split())
    )


@given(TEXTS)
def test_speakable_text_stays_as_it_is(text: str) -> None:
    said = speakable(text).text
    assert speakable(said).text == said


@given(TEXTS)
def test_nothing_comes_through_that_is_no_text(text: str) -> None:
    said = speakable(text).text
    assert not re.search(r"[*`|~^\\]|://|\*\*|<\||\A\s|\s\Z|  ", said)
    assert not [c for c in said if unicodedata.category(c) in ("Cc", "Co", "Cs")]
    assert not [c for c in said if "\U0001f000" <= c <= "\U0001faff"]


WORDS = st.lists(
    st.sampled_from(
        [
            *(
                "5",
                "-5",
                "42",
                "3.5",
                "<5",
                "≥7",
                "2024",
                "~8",
                "$9",
                "²",
                "a",
                "word",
                "C++",
                "🎉",
            ),
            *("**", "*", "_", "`", "#", "+", "-", "=", "(", ")", ",", ".", "|"),
        ]
    ),
    max_size=20,
).map(" ".join)


@given(WORDS)
def test_no_digit_is_lost(text: str) -> None:
    assert re.findall(r"\d", speakable(text).text.replace("²", "")) == [
        digit for digit in text if digit in "0123456789"
    ]


@given(st.lists(SCRIPTS, min_size=1).map(" ".join))
def test_text_of_other_scripts_stays_as_it_is(text: str) -> None:
    assert speakable(text).text == text


HOSTILE = [
    *(
        "*",
        "**",
        "`",
        "``` ",
        "[",
        "[a](",
        "<",
        "<a ",
        "<think>",
        "<!--",
        "(",
        "($",
        "( ",
        "|",
        "| x",
    ),
    *("-", "a-", "5-", "=", "~~", "__", "a*", "*a b ", "a.", ", ", " ", "x", "\x00", "🎉", "🎉 "),
    *("https://a/", "a://", "\\frac{", "\\sqrt{a", "$x", "&amp;"),
]


@pytest.mark.parametrize("unit", HOSTILE)
def test_a_hostile_text_takes_a_bounded_time(unit: str) -> None:
    start = time.process_time()
    speakable((unit * 20_000)[:20_000])
    assert time.process_time() - start < 5


@given(TEXTS)
def test_every_word_lies_in_the_sentence(text: str) -> None:
    said = speakable(text)
    words = [m.span() for m in re.finditer(r"\S+", said.text)]
    mapped = said.words(tuple(SpokenWord(a, b - a, 0) for a, b in words))
    assert all(w.offset >= 0 and w.offset + w.length <= len(text) for w in mapped)
    ends = [w.offset + w.length for w in mapped]
    assert ends == sorted(ends)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Is x < 5?", ["Is", "x", "<", "<", "5?"]),
        ("See [the docs](https://x.io) now", ["See", "[the", "docs](https://x.io)", "now"]),
        ("(smiles) Why **Postgres**?", ["Why", "**Postgres**?"]),
        ("Plain words.", ["Plain", "words."]),
    ],
)
def test_a_word_belongs_to_what_it_says(text: str, parts: list[str]) -> None:
    said = speakable(text)
    words = [m.span() for m in re.finditer(r"\S+", said.text)]
    mapped = said.words(tuple(SpokenWord(a, b - a, 0) for a, b in words))
    assert [text[w.offset : w.offset + w.length] for w in mapped] == parts


def test_a_text_that_changes_with_every_pass_is_given_up_after_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_MOST_PASSES", 1)
    assert speakable("**[docs](http://a.de/b)**").text == "docs"


@pytest.mark.parametrize(
    ("span", "may_be"),
    [
        ("straightens the papers", True),
        ("smiles", False),
        ("5", False),
        ("straightens " * 20, False),
    ],
)
def test_a_span_of_words_in_the_third_person_may_be_a_direction(span: str, may_be: bool) -> None:
    assert may_be_direction(span) is may_be
