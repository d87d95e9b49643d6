"""How sentences end, as recognisers write them."""

import pytest

from pipeline.endings import ENDING_WORDS, ending, is_backchannel


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("that is a good question let me think", "thinking"),
        ("Good question.", "thinking"),
        ("Let me think...", "thinking"),
        ("i would look at the logs and", "open"),
        ("I would look at the logs, um", "open"),
        ("it depends on the", "open"),
        ("because", "open"),
        ("well…", "open"),
        ("well, I would say that...", "open"),
        ("we measured it,", "open"),
        ("I started the service –", "open"),
        ("...", "open"),
        ("so we rolled it back and that was it", "closed"),
        ("So we rolled it back, and that was it.", "closed"),
        ("I fixed it. Thank you!", "closed"),
        ("yes", "closed"),
        ("Yes.", "closed"),
        ("Next question, please.", "closed"),
        ("i would look at the logs", "unclear"),
        ("i would look at it", "unclear"),
        ("", "unclear"),
        ("?", "unclear"),
    ],
)
def test_endings(text: str, expected: str) -> None:
    assert ending(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I looked at the logs.", "unclear"),
        ("Is that all right?", "unclear"),
        ("I looked at the logs and.", "open"),
        ("You know, like?", "open"),
    ],
)
def test_a_full_stop_at_a_pause_tells_nothing(text: str, expected: str) -> None:
    assert ending(text) == expected
    assert ending(text.rstrip(".?")) == expected


@pytest.mark.parametrize("text", ["mm-hm", "Uh-huh, okay.", "Yeah. Right.", "MHM"])
def test_signs_of_listening(text: str) -> None:
    assert is_backchannel(text)


@pytest.mark.parametrize("text", ["", "...", "yes", "no", "okay but wait", "I see no reason"])
def test_what_is_more_than_a_sign_of_listening(text: str) -> None:
    assert not is_backchannel(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("das ist eine gute Frage", "thinking"),
        ("Lassen Sie mich kurz überlegen.", "thinking"),
        ("Einen Moment, bitte.", "thinking"),
        ("Wir haben die Datenbank getauscht, weil", "open"),
        ("ich habe mir zuerst die", "open"),
        ("und dann habe ich, ähm", "open"),
        ("das war es", "closed"),
        ("Das war's.", "closed"),
        ("Mehr fällt mir nicht ein.", "closed"),
        ("Nächste Frage, bitte.", "closed"),
        ("Vielen Dank!", "closed"),
        ("Wir haben den Fehler gefunden.", "unclear"),
        ("Ich fange mit den Protokollen an", "unclear"),
        ("und da hörte es auf", "unclear"),
    ],
)
def test_german_endings(text: str, expected: str) -> None:
    assert ending(text, "de") == expected


@pytest.mark.parametrize("text", ["Mhm", "ja, genau", "Ach so.", "okay", "Ja."])
def test_german_signs_of_listening(text: str) -> None:
    assert is_backchannel(text, "de")


@pytest.mark.parametrize("text", ["nein", "Moment", "ja aber", "das stimmt nicht"])
def test_what_is_more_than_a_german_sign_of_listening(text: str) -> None:
    assert not is_backchannel(text, "de")


def test_a_language_without_words_is_judged_by_its_marks() -> None:
    assert [ending(text, "fr") for text in ("et puis", "et puis…", "the", "")] == [
        "unclear",
        "open",
        "unclear",
        "unclear",
    ]
    assert is_backchannel("mm-hm", "fr")
    assert not is_backchannel("yeah", "fr")


def test_no_sign_of_listening_ends_an_answer() -> None:
    """A journal's mask stands for either, and cannot stand for both."""
    for words in ENDING_WORDS.values():
        closings = {phrase.split()[-1] for phrase in words.closings if len(phrase.split()) == 1}
        assert closings & words.backchannels == set()
