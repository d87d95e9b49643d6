"""Requests in German words, and answers that only look like them."""

import pytest

from stages.interview.hearing import (
    agrees,
    refuses,
    spoken,
    thanks,
    wants_repeat,
    wants_skip,
    wants_time,
)

REPEATS = """
Können Sie das wiederholen?
Könnten Sie die Frage bitte noch einmal wiederholen?
Könnten Sie das bitte noch einmal sagen?
Können Sie die Frage nochmal stellen?
Wiederholen Sie bitte die Frage.
Bitte wiederholen.
Stellen Sie die Frage bitte noch einmal.
Wie bitte?
Entschuldigung?
Wie war die Frage noch mal?
Wie lautete die Frage?
Was war noch gleich die Frage?
Was haben Sie gerade gesagt?
Das habe ich leider nicht verstanden.
Ich habe Sie akustisch nicht verstanden.
Ich habe die Frage nicht ganz verstanden.
Entschuldigung, ich verstehe die Frage nicht.
Ich kann Sie nicht hören.
Noch einmal bitte.
Nochmal, bitte!
Könnten Sie bitte etwas lauter sprechen?
Können Sie das anders formulieren?
Sind Sie noch da?
Hören Sie mich?
Ähm, wie bitte?
"""
SKIPS = """
Nächste Frage, bitte.
Die nächste Frage bitte.
Bitte weiter.
Weiter!
Können wir diese Frage überspringen?
Könnten wir bitte zur nächsten Frage gehen?
Ich möchte die Frage überspringen.
Ich würde gern mit der nächsten Frage weitermachen.
Gehen wir weiter.
Machen wir mit der nächsten Frage weiter.
Lassen Sie uns die Frage auslassen.
Ich weiß es nicht.
Das weiß ich leider nicht.
Ich weiß es ehrlich gesagt nicht.
Weiß ich nicht.
Keine Ahnung.
Ich habe leider keine Ahnung.
Dazu habe ich keine Antwort.
Mir fällt gerade nichts ein.
Dazu fällt mir leider nichts ein.
Mir fällt kein gutes Beispiel ein.
Dazu möchte ich lieber nichts sagen.
Ich möchte darauf nicht antworten.
Diese Frage möchte ich nicht beantworten.
Ich kann dazu nichts sagen.
Überspringen, bitte.
Ich passe.
"""
TIMES = """
Einen Moment bitte.
Einen Augenblick, bitte.
Moment!
Noch einen kleinen Moment.
Gute Frage, einen Moment bitte.
Lassen Sie mich kurz nachdenken.
Lassen Sie mich bitte einen Moment überlegen.
Ich muss kurz überlegen.
Da muss ich erst mal nachdenken.
Ich brauche noch etwas Zeit.
Geben Sie mir bitte eine Minute.
Könnten Sie mir noch etwas Zeit geben?
Ich denke noch nach.
Ich überlege noch.
Noch nicht.
Ich bin noch nicht fertig.
Kann ich noch einen Moment haben?
"""
AGREED = """
Ja.
Ja, gern.
Ja bitte.
Gerne!
Natürlich.
Klar.
In Ordnung.
Einverstanden.
Das können wir machen.
Machen wir so.
Von mir aus.
Das passt.
"""
REFUSED = """
Nein.
Nein, danke.
Nein, noch nicht.
Lieber nicht.
Bitte nicht.
"""
THANKED = """
Danke.
Vielen Dank!
Danke schön.
Alles klar, danke.
Das ist nett von Ihnen.
"""
ANSWERS = """
Ich musste das Experiment wiederholen.
Wir haben die Frage an den Kunden weitergegeben.
Ich habe den Fehler nicht gefunden und dann einen Kollegen gefragt.
Zuerst habe ich die Protokolle gelesen.
Ich weiß nicht genau, aber ich würde mit den Metriken anfangen.
Die nächste Frage war, wie wir das skalieren.
Einen Moment lang dachte ich, es sei ein Timing-Problem.
Keine Ahnung hatte ich damals, ich habe es einfach ausprobiert.
Ich würde zuerst nachdenken und dann die Daten prüfen.
Ja, wir haben das gemessen.
Nein, das war kein Problem.
Ich überspringe die Tests nie.
"""


def lines(text: str) -> list[str]:
    return text.strip().splitlines()


@pytest.mark.parametrize("text", lines(REPEATS))
def test_a_request_to_repeat(text: str) -> None:
    assert wants_repeat(spoken(text), "de")


@pytest.mark.parametrize("text", lines(SKIPS))
def test_a_request_for_the_next_question(text: str) -> None:
    assert wants_skip(spoken(text), "de")
    assert not wants_repeat(spoken(text), "de")


@pytest.mark.parametrize("text", lines(TIMES))
def test_a_request_for_time(text: str) -> None:
    assert wants_time(spoken(text), "de")
    assert not wants_skip(spoken(text), "de")


@pytest.mark.parametrize("text", lines(AGREED))
def test_agreement(text: str) -> None:
    assert agrees(spoken(text), "de")
    assert not refuses(spoken(text), "de")


@pytest.mark.parametrize("text", lines(REFUSED))
def test_refusal(text: str) -> None:
    assert refuses(spoken(text), "de")
    assert not agrees(spoken(text), "de")


@pytest.mark.parametrize("text", lines(THANKED))
def test_thanks(text: str) -> None:
    assert thanks(spoken(text), "de")


@pytest.mark.parametrize("text", lines(ANSWERS))
def test_an_answer_is_no_request(text: str) -> None:
    words = spoken(text)
    wanted = (wants_repeat, wants_skip, wants_time, agrees, refuses, thanks)
    assert [ask.__name__ for ask in wanted if ask(words, "de")] == []


@pytest.mark.parametrize("word", ["bitte", "einen moment", "weiter", "nicht", "ja", "noch einmal"])
def test_endless_words_are_judged_in_no_time(word: str) -> None:
    for ask in (wants_repeat, wants_skip, wants_time, agrees, refuses, thanks):
        ask(" ".join([word] * 9), "de")
        assert not ask(" ".join([word] * 5_000), "de")
