"""Whether a sentence, as far as it has been recognised, reads as finished, by its language. Pure.

The last words decide. A person who stops after "and", "because" or "um" is likely to go on; one who
stops after "that was it" is not. The lists are small on purpose: a word that is in none of them
changes nothing.

A full stop changes nothing either: a recogniser that punctuates writes one wherever a sentence
could end. A comma, a dash or "..." marks a sentence that breaks off.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Ending = Literal["thinking", "open", "closed", "unclear"]


@dataclass(frozen=True, slots=True)
class EndingWords:
    """A language's words, in lower case.

    `fillers` and `connectives` are words after which a sentence goes on: conjunctions, articles,
    prepositions, auxiliaries and subjects. `thinking` are phrases with which people ask for time,
    `closings` phrases with which they end. `backchannels` show that a person listens, without
    wanting to speak.
    """

    fillers: frozenset[str]
    connectives: frozenset[str]
    thinking: tuple[str, ...]
    closings: tuple[str, ...]
    backchannels: frozenset[str]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _closings(text: str) -> tuple[str, ...]:
    return tuple(f" {phrase}" for phrase in text.split(","))


_SOUNDS = "mm mhm mmhm mhmm hm hmm uh huh um ah aha oh ok okay"

ENGLISH = EndingWords(
    fillers=_words("um uh uhm er erm hm hmm mm well like so actually"),
    # Not "it", with which many sentences end.
    connectives=_words(
        "and or but because since although though if when while where which who whose that than "
        "then the a an my your our their his her its this these those to of in on at for with from "
        "by about into over under between through without is are was were be been am do does did "
        "have has had will would can could should might must i we you they he she not very more "
        "most also just"
    ),
    thinking=(
        "let me think",
        "let me see",
        "let me think about that",
        "let me think for a moment",
        "give me a moment",
        "give me a second",
        "one moment",
        "good question",
        "how do i put this",
        "how shall i put it",
    ),
    closings=_closings(
        "that is it,that's it,that was it,that is all,that's all,i think that is all,"
        "that would be all,i am done,i'm done,thank you,thanks,yes,no,skip,next question,"
        "next question please"
    ),
    backchannels=_words(f"{_SOUNDS} yeah right"),
)

GERMAN = EndingWords(
    fillers=_words("äh ähm öh öhm hm hmm mm mhm tja naja also halt sozusagen quasi na"),
    # Not verbs and separable prefixes ("an", "auf", "zu"), with which German sentences end, nor
    # "so", "da" and "ja".
    connectives=_words(
        "und oder aber denn weil dass ob wenn als falls obwohl während nachdem bevor damit sodass "
        "sondern sowie wobei wodurch der die das den dem des ein eine einen einem einer eines "
        "mein meine meinen meinem meiner unser unsere unseren unserem unserer ihr ihre ihren ihrem "
        "ihrer sein seine seinen seinem seiner dieser diese diesen diesem dieses kein keine keinen "
        "jeder jede jeden jedem in im von vom zum zur bei beim für ohne gegen zwischen unter über "
        "wegen trotz ich wir er man es sehr auch noch sogar etwa besonders zuerst dann deshalb "
        "deswegen daher außerdem beziehungsweise"
    ),
    thinking=(
        "lassen sie mich überlegen",
        "lassen sie mich nachdenken",
        "lassen sie mich kurz überlegen",
        "lassen sie mich kurz nachdenken",
        "lass mich überlegen",
        "ich muss kurz überlegen",
        "ich muss kurz nachdenken",
        "da muss ich überlegen",
        "da muss ich kurz überlegen",
        "da muss ich kurz nachdenken",
        "einen moment",
        "einen moment bitte",
        "einen augenblick",
        "einen augenblick bitte",
        "moment bitte",
        "gute frage",
        "wie soll ich sagen",
        "wie sage ich das",
    ),
    closings=_closings(
        "das war es,das war's,das wars,das wäre es,das wär's,das wäre alles,das war alles,"
        "das ist alles,mehr fällt mir nicht ein,mehr habe ich nicht,ich bin fertig,danke,"
        "vielen dank,danke schön,dankeschön,nein,weiter,nächste frage,nächste frage bitte,"
        "die nächste frage bitte,überspringen"
    ),
    backchannels=_words(f"{_SOUNDS} ach ja genau stimmt so gut"),
)

OTHER = EndingWords(frozenset(), frozenset(), (), (), _words(_SOUNDS))
"""For a language without words of its own: only punctuation and sounds tell."""

ENDING_WORDS: Mapping[str, EndingWords] = MappingProxyType({"en": ENGLISH, "de": GERMAN})
"""By language."""

TRAILING = ("...", "…", ",", "-", "–", "—")
"""Marks that recognisers write where a sentence breaks off."""

MARKS = ".!?…。！？,;:-–—"


def ending(text: str, language: str = "en") -> Ending:
    """How the text ends: with a request for time, in the middle of a sentence, with closing words,
    or unclear."""
    known = ENDING_WORDS.get(language, OTHER)
    words = [bare for word in text.lower().split() if (bare := word.strip(MARKS))]
    said = f" {' '.join(words)}"
    if said.endswith(known.thinking):
        return "thinking"
    if text.rstrip().endswith(TRAILING):
        return "open"
    if said.endswith(known.closings):
        return "closed"
    return "open" if words and words[-1] in known.fillers | known.connectives else "unclear"


def is_backchannel(text: str, language: str = "en") -> bool:
    """Whether the text is nothing but a sign of listening, like "mm-hm" or "uh-huh, okay"."""
    words = re.findall(r"[^\W_]+", text.lower())
    return bool(words) and ENDING_WORDS.get(language, OTHER).backchannels.issuperset(words)
