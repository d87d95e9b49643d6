"""Texts as they are scored: what is said the same counts as the same, however it is written. Pure.

The steps are those of the normaliser that Radford et al. describe in "Robust Speech Recognition via
Large-Scale Weak Supervision" (2022), appendix C, with a table of our own for each and numbers
spelled out in place of digits, so that a number counts as many words as it has:

- case, punctuation and accents do not count; hyphens, slashes and points within a word open it
  ("cold-hearted", "CI/CD", "Node.js" are two words each), and so does a step from letters to digits
  ("p99" is "p ninety nine"); single letters with points are one word ("U.S." is "us");
- numbers, money and percentages are words in one form, see `benchmarks.numerals`;
- contractions are open ("can't" is "can not"; "'d" is read as "would"); the "'s" of a noun stays;
- titles and common abbreviations are the words that are said ("Mr." is "mister");
- British spelling counts as the American one ("colour", "organise", "travelled", "centre").

Fillers count. Words written together or apart ("on line", "online") differ here; the scoring joins
them (`benchmarks.word_errors`).
"""

import re
import unicodedata

from benchmarks.numerals import canonical, spelled_out

_APOSTROPHE = re.compile("[’‘`´]")
_LETTERS_WITH_POINTS = re.compile(r"\b(?:[a-z]\.){2,}")
_BREAK = re.compile(r"[-‐‑–—/:]|(?<=\w)\.(?=\w)")
_STEP = re.compile(r"(?<=[a-z])(?=\d)")
_NO_WORD = re.compile(r"[^\w\s']|_")

_SIGNS = {"&": " and ", "+": " plus ", "=": " equals ", "c#": " c sharp "}

_ABBREVIATIONS = {
    "mr": "mister",
    "mrs": "missus",
    "dr": "doctor",
    "prof": "professor",
    "vs": "versus",
    "etc": "et cetera",
    "okay": "ok",
    "cannot": "can not",
}
_CONTRACTIONS = {
    "won't": "will not",
    "can't": "can not",
    "shan't": "shall not",
    "let's": "let us",
    "y'all": "you all",
}
_ENDINGS = (
    ("n't", "not"),
    ("'re", "are"),
    ("'ve", "have"),
    ("'ll", "will"),
    ("'m", "am"),
    ("'d", "would"),
)
_WITH_IS = frozenset(
    ["it", "he", "she", "that", "this", "there", "here", "what", "who", "where", "when", "how"]
)

_OUR = "behavi|col|endeav|fav|flav|harb|hon|hum|lab|neighb|rum|vap"
_ISE = (
    "apolog|author|capital|categor|central|character|critic|custom|digit|emphas|final|general|"
    "hypothes|initial|item|local|maxim|memor|minim|modern|normal|optim|organ|parallel|"
    "priorit|random|real|recogn|serial|special|stabil|standard|summar|synchron|"
    "synthes|token|util|virtual|visual"
)
_SPELLINGS = (
    (re.compile(rf"^((?:un|dis)?(?:{_OUR}))our"), r"\1or"),
    (re.compile(rf"^((?:re|un|dis|de)?(?:{_ISE}))is(e|es|ed|ing|ation|ations|er|ers)$"), r"\1iz\2"),
    (re.compile(r"^((?:psycho|cata|para|ana))lys(e|es|ed|ing)$"), r"\1lyz\2"),
    (re.compile(r"^(cancel|fuel|label|level|model|signal|travel)l(ed|ing|er|ers)$"), r"\1\2"),
    (re.compile(r"^(cent|fib|lit|met|kilomet|millimet|theat)re(s?)$"), r"\1er\2"),
    (re.compile(r"^(ana|cata|dia|mono)logue(s?)$"), r"\1log\2"),
    (re.compile(r"^(defen|licen|offen|preten)ce(s?)$"), r"\1se\2"),
    (re.compile(r"^practis(e|es|ed|ing)$"), r"practic\1"),
    (re.compile(r"^programme(s?)$"), r"program\1"),
    (re.compile(r"^(fulfil|enrol|instal)(s?)$"), r"\1l\2"),
    (re.compile(r"^(judg|acknowledg)ement(s?)$"), r"\1ment\2"),
    (re.compile(r"^gr[ae]y"), "gray"),
    (re.compile(r"^artefact"), "artifact"),
)


def words(text: str) -> list[str]:
    """The words of a text as they are compared."""
    text = _without_accents(_APOSTROPHE.sub("'", text.lower()))
    for sign, said in _SIGNS.items():
        text = text.replace(sign, said)
    text = _LETTERS_WITH_POINTS.sub(lambda found: found[0].replace(".", "") + " ", text)
    text = _BREAK.sub(" ", spelled_out(_STEP.sub(" ", text)))
    plain = (word.strip("'") for word in _NO_WORD.sub("", text).split())
    said = " ".join(_said(word) for word in plain if word)
    return canonical([_american(word) for word in said.replace("per cent", "percent").split()])


def _without_accents(text: str) -> str:
    parts = unicodedata.normalize("NFKD", text)
    return "".join(part for part in parts if not unicodedata.combining(part))


def _said(word: str) -> str:
    """A word without its abbreviation or contraction; may be several words."""
    if (whole := _CONTRACTIONS.get(word) or _ABBREVIATIONS.get(word)) is not None:
        return whole
    for ending, expanded in _ENDINGS:
        if word.endswith(ending) and len(word) > len(ending):
            return f"{word.removesuffix(ending)} {expanded}"
    if word.endswith("'s") and word[:-2] in _WITH_IS:
        return f"{word[:-2]} is"
    return word


def _american(word: str) -> str:
    for british, american in _SPELLINGS:
        if (changed := british.sub(american, word)) != word:
            return changed
    return word
