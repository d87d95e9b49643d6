"""The sentences that a session speaks where something failed or is late, by language. Pure data."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class CannedLines:
    """The sentences that are spoken if a stage, or the host's storage, failed or is late.

    `listening` is said once recognition outlasts the turn's limit, `still_listening` after that.
    `fillers` are said while a reply is late, and `opening` while the first one is: voices say each
    of them in less than two seconds. `looking` is said while a function runs.
    """

    unheard: str = "Sorry, I did not catch that. Could you please say it again?"
    speechless: str = "Sorry, I lost my thread for a moment. Please go on."
    unsaved: str = "Sorry, I could not save that answer. Could you please say it again?"
    listening: str = "One moment, I am still listening to what you said."
    still_listening: str = "Thank you for waiting. I am still listening to what you said."
    opening: str = "One moment, please."
    fillers: tuple[str, ...] = (
        "Let me think about that.",
        "Give me a moment.",
        "Let me think for a second.",
    )
    looking: str = "One moment, I am looking that up."


CANNED_LINES: Mapping[str, CannedLines] = MappingProxyType(
    {
        "en": CannedLines(),
        "de": CannedLines(
            "Entschuldigung, das habe ich nicht verstanden. Könnten Sie es bitte wiederholen?",
            "Entschuldigung, ich habe kurz den Faden verloren. Bitte fahren Sie fort.",
            "Entschuldigung, ich konnte diese Antwort nicht speichern. Könnten Sie sie bitte "
            "wiederholen?",
            "Einen Moment, ich höre mir noch an, was Sie gesagt haben.",
            "Danke, dass Sie warten. Ich höre mir noch an, was Sie gesagt haben.",
            "Einen Moment bitte.",
            (
                "Ich überlege kurz.",
                "Lassen Sie mich kurz nachdenken.",
                "Geben Sie mir einen Moment.",
            ),
            "Einen Moment, ich sehe das gerade nach.",
        ),
    }
)
"""By language; others have the English ones."""
