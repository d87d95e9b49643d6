"""Removes a recogniser's descriptions of sounds that are no words from a transcript. Pure.

Recognisers that learnt from subtitles write "[music]", "(laughs)", "♪ la la la ♪" or "ha ha ha".
In round brackets they also write what was said beside the sentence, "our (typing) rules", and a
word of one language names a sound in another: "latter" is laughter in Danish.
"""

import re
import unicodedata

from stages.stt._sound_names import SOUND_NAMES

_NOTES = "\u2669-\u266c\U0001f3b5\U0001f3b6"
_MARKS = re.compile(rf"<\|[a-z_ ]{{1,30}}\|>|[{_NOTES}]+", re.IGNORECASE)
"""The decoder's own marks, and notes of music."""

_SUNG = re.compile(
    rf"[{_NOTES}]([^{_NOTES}]{{1,300}})[{_NOTES}]"
    rf"|\A\s*[{_NOTES}]{{1,20}}([^{_NOTES}]{{1,300}})\Z|\A\s*\#\s([^#]{{1,300}})\s\#\s*\Z"
)
"""The text that subtitles mark as music: lyrics, or a description of the music."""

_BRACKETS = re.compile(
    r"\[[^\[\]]{0,80}\]|\([^()]{0,80}\)|\*[^*\s][^*]{0,80}\*|<[a-z_ ]{1,30}>"
    r"|（[^（）]{0,80}）|［[^［］]{0,80}］|【[^【】]{0,80}】",
    re.IGNORECASE,
)
"""Brackets, or marks used like them, whose text may describe a sound."""

_SOUNDS = """
    applause applauding beep beeps beeping breath breathes breathing buzzing cheering cheers chimes
    chirping chuckles chuckling clapping claps clicking clicks closes coughing cough coughs creaks
    crosstalk crying exhales footsteps gasps groans grunts hissing humming hums inaudible indistinct
    inhales knocking laugh laughing laughs laughter mumbles mumbling murmuring music nospeech
    rustling screaming sighing sigh sighs silence slams sneezes sniffing sniffles sniffs snoring
    sobbing throat thunder typing unintelligible wheezing whirring whistles whistling
    applaus atmen gelachter husten lachen lacht musik rauschen rauspern seufzen seufzt stille
    unverstandlich
"""
_WITH_SOUNDS = """
    a and in of the to audience background baby bell birds bright calm clears clearing continues
    crowd deep dog dogs door dramatic ends engine eerie fades faintly gentle happy heavily heavy
    intense keyboard light loud man mouse opens ominous people phone piano playing plays quiet
    rock sad slow soft softly speaker speech starts suspenseful tense upbeat water wind woman
    dramatische leise ruhige spannende
"""
_SOUND_WORDS = frozenset(_SOUNDS.split())
_DESCRIBING = frozenset((_SOUNDS + _WITH_SOUNDS).split())
_DESCRIPTIONS = frozenset(
    {
        *("blank audio", "no audio", "no speech", "no sound", "noise", "background noise", "pause"),
        *("speaking foreign language", "speaking in foreign language", "foreign language"),
        *("static", "speaks in foreign language", "wind blowing", "phone ringing", "unk", "sound"),
    }
)
"""In brackets: a description has a word for a sound and none that describes nothing, or is one of
these. All are as `plain_words` gives them."""

_SAID = re.compile(r"\d|^\W{0,2}(?:[A-Z]{2,}s?|\w{1,2})\W{0,2}$")
"""Text in round brackets that is speech all the same: a number, an acronym."""

_ASIDE = re.compile(
    r"(?:or|i\.?e\.?,?|e\.?g\.?,?|that is|for example|such as) .+|sic|former|latter|yes|no|none"
    r"|respectively|etc\.?|optional",
    re.IGNORECASE,
)
"""The same after a word."""

_ENGLISH = re.compile(
    r"\b(?:the|of|was|my|that|this|with|you|we|would|used|took|second|they|and|from|which"
    r"|are|what|how|when|where|who|(?-i:[Ii]t))\b",  # IT is a word of many languages
    re.IGNORECASE,
)
_FOREIGN = frozenset(("latter", "taps"))
"""Sounds in other languages (laughter, applause), and words of English."""

_THINGS = frozenset(
    ("typing", "static", "noise", "sound", "silence", "music", "clicks", "beeps", "breath")
)
"""Sounds, and what programs deal with: "our (typing) rules"."""

_LAUGHTER = re.compile(
    unicodedata.normalize(
        "NFKD",
        r"(?:[bm]w)?a*(?:h[aeo]+h? ?){3,}|(?:ja){3,}j?|(?:х[ае]+х? ?){3,}|(?:は ?){3,}|(?:ハ ?){3,}"
        r"|(?:哈 ?){3,}|(?:呵 ?){3,}|(?:하 ?){3,}|(?:ㅋ ?){3,}|(?:ㅎ ?){3,}|k{4,}|(?:rs){2,}",
    )
)
"""A laugh, as plain words; a shorter one may be a word."""

_SHORT_LAUGHTER = re.compile(r"a*h[aeo]+h? ?h[aeo]+h?|heh")

_NEAR = 20
"""Characters beside brackets that are looked at: a sentence has few blanks in a row."""

_ABBREVIATION = re.compile(r"\([A-Z]{2,4}s?\)")
_MUSIC = re.compile(rf"[{_NOTES}]|\A\s*\#\s")

_MOST_LYRICS = 8
"""More marked words than these are believed of a recogniser that is sure: music may play while a
person speaks."""


def without_sounds(text: str, *, doubtful: bool, unsure: bool, language: str | None = None) -> str:
    """The text without what describes sounds, and without the decoder's marks.

    In a `doubtful` text most brackets describe one. `unsure` says that the recogniser did not tell
    how sure it was, or that it was not. `language` is the code of what is spoken, if it is known.
    """
    if _MUSIC.search(text):
        text = _SUNG.sub(_no_lyrics if unsure else _lyrics, text)
    text = _MARKS.sub(" ", text)
    if doubtful:
        return " ".join(_BRACKETS.sub(_said, text).split())
    english = "(" in text and _is_english(text, language)
    return " ".join(_BRACKETS.sub(lambda found: _no_sound(found, english), text).split())


def _is_english(text: str, language: str | None) -> bool:
    """Whether a text is in English; without a known language by its words, among which one that is
    repeated in brackets is no sound."""
    if language is not None:
        return language.partition("-")[0].lower() == "en"
    if _ENGLISH.search(text):
        return True
    return not _FOREIGN.isdisjoint(plain_words(_BRACKETS.sub(" ", text)).split())


def is_laughter(plain: str, *, doubtful: bool) -> bool:
    """Whether plain words are a laugh and nothing else."""
    if _LAUGHTER.fullmatch(plain):
        return True
    return doubtful and _SHORT_LAUGHTER.fullmatch(plain) is not None


def describes(plain: str) -> bool:
    """Whether plain words describe a sound: one names it, and none says anything else."""
    words = frozenset(plain.split())
    return not words.isdisjoint(_SOUND_WORDS) and words <= _DESCRIBING


def _no_lyrics(found: re.Match[str]) -> str:
    return " "


def _lyrics(found: re.Match[str]) -> str:
    inside = found[1] or found[2] or found[3]
    if found[2] and not describes(plain_words(inside)):
        return f" {inside} "  # nothing says that the music goes on behind the one note
    long = len(inside.split()) > _MOST_LYRICS and not describes(plain_words(inside))
    return f" {inside} " if long else " "


def _no_sound(found: re.Match[str], english: bool) -> str:
    """The text for brackets in a text that is not doubtful: a blank for a sound, else unchanged."""
    plain = plain_words(found[0])
    described = describes(plain)
    if not described and _ABBREVIATION.fullmatch(found[0]):
        return found[0]  # "(TOS)", which is a cough in Spanish
    if not (described or plain in _DESCRIPTIONS or plain in _NAMES) or _is_word(
        found, plain, english
    ):
        return found[0]
    return " "


def _is_word(found: re.Match[str], plain: str, english: bool) -> bool:
    """Whether the name of a sound in round brackets is a word of the sentence around it."""
    if found[0][0] != "(" or not _follows_word(found):
        return False
    if plain in _FOREIGN:
        return english
    following = found.string[found.end() : found.end() + _NEAR]
    return plain in _THINGS and following.lstrip()[:1].islower()


def _follows_word(found: re.Match[str]) -> bool:
    before = found.string[max(0, found.start() - _NEAR) : found.start()]
    return before.rstrip()[-1:].isalnum()


def _said(found: re.Match[str]) -> str:
    """The text for brackets in a doubtful text: a blank, unless round ones hold what was said."""
    inside = found[0]
    if not inside.startswith("("):
        return " "
    aside = _ASIDE.fullmatch(inside[1:-1].strip()) and _follows_word(found)
    return inside if aside or _SAID.search(inside[1:-1]) else " "


def plain_words(text: str) -> str:
    """The words in lower case, without marks and accents."""
    letters = unicodedata.normalize("NFKD", text.casefold().replace("\u00a9", " copyright "))
    bare = "".join(sign for sign in letters if not unicodedata.combining(sign))
    return " ".join(re.sub(r"[\W_]+", " ", bare).split())


_NAMES = frozenset(plain_words(name) for names in SOUND_NAMES.values() for name in names)
