"""The words of a report that are the same in every report, by language. Pure.

They are found by their English text, whose `{0}` and `{1}` are filled in.
"""

from collections.abc import Mapping
from typing import Protocol

_MONTHS = {
    "January": "Januar",
    "February": "Februar",
    "March": "März",
    "May": "Mai",
    "June": "Juni",
    "July": "Juli",
    "October": "Oktober",
    "December": "Dezember",
    **{name: name for name in ("April", "August", "September", "November")},
}

_GERMAN = {
    **_MONTHS,
    "{0} {1} {2} UTC": "{0}. {1} {2} UTC",
    # --- the whole -----------------------------------------------------------------------------
    "Interview report": "Interviewbericht",
    "Interview report: {0}": "Interviewbericht: {0}",
    "Session {0}": "Sitzung {0}",
    "session {0}": "Sitzung {0}",
    "for {0}": "für {0}",
    "Overall": "Gesamt",
    "Overall score: {0}": "Gesamtwertung: {0}",
    "{0} of 100": "{0} von 100",
    "of 100": "von 100",
    "Not scored": "Nicht bewertet",
    "not scored": "nicht bewertet",
    "{0} of {1} questions answered": "{0} von {1} Fragen beantwortet",
    "{0}, {1} of them scored.": "{0}, davon {1} bewertet.",
    "How to read this": "So ist das zu lesen",
    "Source: {0}.": "Quelle: {0}.",
    "Source": "Quelle",
    # --- the charts ----------------------------------------------------------------------------
    "Skills": "Fähigkeiten",
    "Skill": "Fähigkeit",
    "Score": "Wertung",
    "Of what": "Woraus",
    "Criterion": "Merkmal",
    "Why": "Warum",
    "Means over scored answers.": "Mittelwerte der bewerteten Antworten.",
    "Questions": "Fragen",
    "Question {0}": "Frage {0}",
    "question {0} {1} seconds": "Frage {0} {1} Sekunden",
    "question {0} {1} words a minute with {2} pauses": (
        "Frage {0} {1} Wörter je Minute mit {2} Pausen"
    ),
    "Q{0}": "F{0}",
    "Each answer’s score, of 100.": "Die Wertung jeder Antwort, von 100.",
    "– stands for an answer that was not scored.": (
        "– steht für eine Antwort, die nicht bewertet wurde."
    ),
    "How you spoke": "Wie Sie gesprochen haben",
    "{0} of answers.": "{0} Antworten.",
    "words a minute, easy to follow inside the band;": (
        "Wörter je Minute, im Band gut zu verfolgen;"
    ),
    "pauses over half a second, the taller the longer": (
        "Pausen über einer halben Sekunde, je höher, desto länger"
    ),
    "Speaking rate and pauses over time: {0}": "Sprechtempo und Pausen im Verlauf: {0}",
    "The conversation’s pace": "Das Tempo des Gesprächs",
    "Seconds until Parley replied; {0} s is typical here.": (
        "Sekunden, bis Parley antwortete; {0} s sind hier typisch."
    ),
    "Time until Parley replied: {0}": "Zeit, bis Parley antwortete: {0}",
    "Practise again": "Noch einmal üben",
    # --- one question --------------------------------------------------------------------------
    "Follow-up": "Nachfrage",
    "no words": "keine Worte",
    "Your answer to question {0}": "Ihre Antwort auf Frage {0}",
    "{0}, part {1}": "{0}, Teil {1}",
    "{0}, as it was spoken, {1}": "{0}, wie sie gesprochen wurde, {1}",
    "{0}, as it was spoken ({1})": "{0}, wie sie gesprochen wurde ({1})",
    "What went well": "Was gut war",
    "What to work on": "Woran zu arbeiten ist",
    "Next step": "Nächster Schritt",
    "Feedback: ": "Rückmeldung: ",
    "typed": "getippt",
    "spoken, {0}: demo quality, may not be what was said": (
        "gesprochen, {0}: Vorführqualität, vielleicht nicht, was gesagt wurde"
    ),
    "spoken, recognised by {0}": "gesprochen, erkannt von {0}",
    "{0}, {1}% sure": "{0}, zu {1} % sicher",
    "recognised by {0}": "erkannt von {0}",
    "{0}, demo quality: may not be what was said": (
        "{0}, Vorführqualität: vielleicht nicht, was gesagt wurde"
    ),
    # --- how it was spoken -----------------------------------------------------------------------
    "Delivery": "Vortrag",
    "Pace": "Tempo",
    "{0} words a minute": "{0} Wörter je Minute",
    "First word after": "Erstes Wort nach",
    "Pauses": "Pausen",
    "{0}, the longest {1}": "{0}, die längste {1}",
    "none over half a second": "keine über einer halben Sekunde",
    "Fillers": "Füllwörter",
    "none heard": "keine gehört",
    "Time spent talking": "Anteil der Redezeit",
    # --- the transcript ------------------------------------------------------------------------
    "Transcript": "Mitschrift",
    "The conversation as it was heard.": "Das Gespräch, wie es gehört wurde.",
    "Candidate": "Bewerber/in",
    "You": "Sie",
    "interrupted here": "hier unterbrochen",
    # --- recordings ----------------------------------------------------------------------------
    "Consent to recording spoken answers was noted {0}: {1}.": (
        "Die Einwilligung in die Aufnahme gesprochener Antworten wurde {0} vermerkt: {1}."
    ),
    "Consent to recording spoken answers was noted {0} ({1}) and taken back {2}: the recordings "
    "were erased.": (
        "Die Einwilligung in die Aufnahme gesprochener Antworten wurde {0} vermerkt ({1}) und {2} "
        "zurückgenommen: Die Aufnahmen wurden gelöscht."
    ),
}

TRANSLATIONS: Mapping[str, Mapping[str, str]] = {"de": _GERMAN}


class Words(Protocol):
    """Gives a text of a report in its language, its places filled in."""

    def __call__(self, text: str, *values: object) -> str: ...


def report_words(language: str) -> Words:
    """The words of reports in a language; English if there are no others."""
    translated = TRANSLATIONS.get(language, {})

    def words(text: str, *values: object) -> str:
        return translated.get(text, text).format(*values)

    return words
