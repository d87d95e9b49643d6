"""Stage directions in a model's text, such as "smiles" in "*smiles* Go on." Pure.

Chat models write gestures and sounds between asterisks or brackets. Only spans that certainly are
such directions count: a remark in brackets ("(see below)") or an emphasised word ("*very*") is part
of the reply. A missed direction is read aloud; a wrong one loses words of the reply.
"""

import re

LONGEST = 80
"""A longer span is no stage direction."""

_GESTURES = (
    "smil(?:es?|ing)|nod(?:s|ding)?|laugh(?:s|ing|ter)?|chuckl(?:es?|ing)|giggl(?:es?|ing)"
    "|grin(?:s|ning)?|sigh(?:s|ing)?|gasp(?:s|ing)?|wink(?:s|ing)?|shrug(?:s|ging)?"
    "|frown(?:s|ing)?|blink(?:s|ing)?|cough(?:s|ing)?|sniff(?:s|ing)?|yawn(?:s|ing)?"
    "|whisper(?:s|ing)?|smirk(?:s|ing)?"
    "|lächel(?:t|nd)|nickt|nickend|lacht|lachend|seufzt|seufzend|zwinkert|grinst|schmunzelt"
)
"""Actions that only people do: a few words may follow ("smiles at you")."""

_BRIEF = (
    "paus(?:es?|ed|ing)|beat|silence|waves|waving|claps|clapping|applause|thinking|thinks"
    "|listening|listens|typing|music|inaudible|waits|waiting"
    "|pausiert|pause|nachdenklich|stille|applaus"
)
"""Words with other meanings, too: only an adverb or a time may follow ("pauses for a moment")."""

_ACTIONS = (
    r"clears? (?:\w+ )?throat",
    r"clearing (?:\w+ )?throat",
    r"räuspert sich",
    r"leans? (?:in|back|forward|closer|over)(?: .*)?",
    r"leaning (?:in|back|forward|closer|over)(?: .*)?",
    r"looks? (?:up|down|away|over|around|thoughtful|surprised|impressed)(?: .*)?",
    r"(?:takes?|taking) a (?:\w+ )?(?:breath|sip|note|moment)(?: .*)?",
    r"(?:takes?|taking) notes",
    r"raises? (?:an|a|his|her|their|my) (?:eyebrow|hand|brow)s?(?: .*)?",
    r"(?:tilts?|shakes?|scratches) (?:his|her|their|my) (?:head|chin)(?: .*)?",
    r"adjusts? (?:his|her|their|my) \w+(?: .*)?",
)

_ADVERB = r"(?:\w+ly )?"
_FOR_A_TIME = r"(?:,? \w+ly)?(?: (?:for )?(?:a|one|two|einen) (?:moment|second|beat|while)s?)?"
_DIRECTION = re.compile(
    rf"{_ADVERB}(?:(?:{_GESTURES})(?:,? [^\W\d]+){{0,6}}|(?:{_BRIEF}){_FOR_A_TIME}"
    rf"|{'|'.join(_ACTIONS)})[.…!]*",
    re.IGNORECASE,
)

_THINGS = frozenset(("typing", "music", "waves", "silence"))
"""Directions that programs have to do with as well: "our (typing) rules"."""

_NAMES = frozenset(("Typing", "Music", "Waves", "Whisper", "Blink"))
"""Directions that programs are named after: "a model (Whisper)"."""

_RETOLD = re.compile(r"[a-z]+[^\Wsui_]s(?: [^\W\d]+){1,9}[.…!]*")


def is_direction(span: str) -> bool:
    """Whether the text between two brackets or asterisks is a stage direction."""
    return len(span) <= LONGEST and _DIRECTION.fullmatch(span.strip()) is not None


def is_word(span: str, before: str, after: str) -> bool:
    """Whether what looks like a direction in round brackets is a word of the sentence around it.

    `before` and `after` are the text on either side. After a word it is one if it is a name, or if
    the sentence goes on in lower case.
    """
    bare = span.strip()
    if not before.rstrip()[-1:].isalnum():
        return False
    return bare in _NAMES or (bare in _THINGS and after.lstrip()[:1].islower())


def may_be_direction(span: str) -> bool:
    """Whether a span could be one: several lower-case words with a verb in the third person.

    It is one where it stands between two sentences: "*straightens the papers* Shall we begin?"
    """
    return len(span) <= LONGEST and _RETOLD.fullmatch(span.strip()) is not None
