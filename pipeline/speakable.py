"""Turns one sentence of a reply into text that a voice can say. Pure.

What is shown and remembered stays the model's text; only the voice gets the speakable one. Links
become their text or host; code blocks, emoji, stage directions and control tokens are left out;
signs that carry a number's value become words, since many voices skip them. Where a word of the
speakable text comes from is known, so that what was heard is still found in the model's text.

`stages.llm` has already filtered the structure of whole lines (tables, code blocks, headings): a
sentence has no lines any more.
"""

import html
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html.entities import html5

from pipeline.frames import SpokenWord
from pipeline.signs import ENGLISH, LANGUAGES, LATEX, named
from pipeline.stage_directions import is_direction, is_word
from pipeline.traced_text import By, TracedText

_CUT = "\ue000"
"""Stands where something was left out, until the spaces are put in order."""

_MOST_PASSES = 8
"""The most passes: after one removal another may be due, such as a link in a link's text."""

_LATIN = r"[A-Za-z0-9À-ÖØ-öø-ɏ,.!?'’\"]+"
_PLAIN = re.compile(rf"(?!.*www\.)(?=.*[A-Za-z0-9]){_LATIN}(?: {_LATIN})*")
"""Matches most sentences: no rule changes them, so none is tried."""


@dataclass(frozen=True, slots=True)
class Speakable:
    """The text for the voice; "" if nothing of the sentence can be said."""

    text: str
    _starts: tuple[int, ...] | None = None
    _ends: tuple[int, ...] | None = None

    def words(self, words: tuple[SpokenWord, ...]) -> tuple[SpokenWord, ...]:
        """The words of a voice that spoke `text`, as words of the sentence.

        A sign that was said in several words is part of each of them.
        """
        starts, ends = self._starts, self._ends
        if starts is None or ends is None:
            return words
        mapped = []
        for word in words:
            first = min(max(0, word.offset), len(starts) - 1)
            last = min(max(first, word.offset + word.length - 1), len(starts) - 1)
            start = starts[first]
            mapped.append(SpokenWord(start, max(ends[last] - start, 0), word.at_ms))
        return tuple(mapped)


def speakable(text: str, language: str | None = None) -> Speakable:
    """The text that a voice can say of a sentence.

    `language` ("en", "de-DE") chooses the words for signs. Without a known one they are English in
    Latin script; in another script the signs stay, since voices know them best.
    """
    if _PLAIN.fullmatch(text):
        return Speakable(text)
    traced = TracedText(text)
    said = _words_for(text, language)
    for _ in range(_MOST_PASSES):
        before = traced.text
        _rewrite(traced, said)
        if traced.text == before:
            break
    if not any(map(str.isalnum, traced.text)):
        return Speakable("")
    if traced.text == text:
        return Speakable(text)
    return Speakable(traced.text, tuple(traced.starts), tuple(traced.ends))


def _words_for(text: str, language: str | None) -> Mapping[str, str] | None:
    if language is not None and (words := LANGUAGES.get(language[:2].lower())) is not None:
        return words
    letters = [character for character in text if character.isalpha()]
    latin = sum(character < "\u0250" for character in letters)
    return ENGLISH if 2 * latin >= len(letters) else None


def _rewrite(traced: TracedText, said: Mapping[str, str] | None) -> None:
    for pattern, by in _MARKUP:
        traced.replace(pattern, by)
    if "=" in traced.text:  # a calculation: elsewhere "5 - 7" may be a range
        traced.replace(_DIFFERENCE, lambda _: "−")
    if said is not None:
        for pattern, sign in _SIGNS:
            traced.replace(pattern, f"{_CUT}{said[sign]}{_CUT}")
        traced.replace(_POWER, lambda match: _power(match, said))
        traced.replace(_OTHER_SIGN, lambda match: _other_sign(match, said))
    for pattern, by in _LEFT_OVER:
        traced.replace(pattern, by)


# --- rules -----------------------------------------------------------------------------------


def _character(match: re.Match[str]) -> str | int:
    """Leaves out characters that no voice can say; the letters of every script stay."""
    character = match[0]
    kind = unicodedata.category(character)
    code = ord(character)
    match kind:
        case "Cc" | "Cn" | "Co" | "Cs" | "Zl" | "Zp":
            return " " if character.isspace() else _CUT
        case "Cf":
            before = match.string[match.start() - 1 : match.start()]
            joins = character in "\u200c\u200d" and before > "\u024f"
            return 0 if joins and unicodedata.category(before)[0] in "LM" else ""
        case "Mn" | "Me" if code in _VARIANTS or code == 0x20E3:
            return ""
        case "So" | "Sk" if character not in "°℃℉№" and any(code in block for block in _SYMBOLS):
            return _CUT
    return 0


_VARIANTS = {*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}
_SYMBOLS = (range(0xA6, 0xAF), range(0x2010, 0x2C00), range(0x1F000, 0x1FB00))


def _direction(match: re.Match[str]) -> str | int:
    return _CUT if is_direction(match[1]) else 0


def _aside(match: re.Match[str]) -> str | int:
    before, after = match.string[: match.start()], match.string[match.end() :]
    return _CUT if is_direction(match[1]) and not is_word(match[1], before, after) else 0


def _entity(match: re.Match[str]) -> str | int:
    name = f"{match[1]};"
    if not name.startswith("#") and name not in html5:
        return 0
    return html.unescape(f"&{name}").replace("\xa0", " ")


def _command(match: re.Match[str]) -> str:
    return f" {LATEX[match[1]]} "


def _code(match: re.Match[str]) -> str | int:
    return _CUT if any(map(str.isspace, match[1].strip())) else 1


def _power(match: re.Match[str], said: Mapping[str, str]) -> str:
    raised = match[0]
    if raised in said:
        return f"{_CUT}{said[raised]}{_CUT}"
    number = "".join(unicodedata.normalize("NFKC", character) for character in raised)
    return f"{_CUT}{said['^']} {number.replace('−', '-')}{_CUT}"


def _other_sign(match: re.Match[str], said: Mapping[str, str]) -> str | int:
    sign = match[0]
    if sign == "+" or unicodedata.category(sign) != "Sm":
        return 0
    beside = (match.string[: match.start()].rstrip()[-1:], match.string[match.end() :].lstrip()[:1])
    if not any(map(str.isalnum, beside)):
        return _CUT
    return f"{_CUT}{said.get(sign) or named(sign)}{_CUT}"


def _rules(*rules: tuple[str, By]) -> list[tuple[re.Pattern[str], By]]:
    return [(re.compile(pattern), by) for pattern, by in rules]


def _group(number: int) -> Callable[[re.Match[str]], int]:
    return lambda _: number


_REASONING = "think|thinking|thought|reasoning|reflection|scratchpad"
_TAG = r"[A-Za-z][\w:-]{0,30}(?:\s+[\w:-]{1,30}=(?:\"[^\"<>]{0,300}\"|'[^'<>]{0,300}'))*\s*"
_STYLES = "br|b|i|u|s|em|strong|sub|sup|span|small|mark|font|speak|break|prosody|emphasis|say-as"
_URL_REST = r"(?:[/?#:](?:[^\s<>\"“”]*[\w/=&%#~-])?)?"
_HOST = r"(?:www\.)?([\w-]+(?:\.[\w-]+)*)"
_TARGET = r"\((?:[^()\s]|\([^()\s]{0,100}\)){0,500}(?:\s[^()]{0,100})?\)"

_MARKUP = _rules(
    (r"[^\x20-\x7e]", _character),
    # Control tokens and reasoning that came through.
    (rf"(?is)<(?:{_REASONING})>.{{0,2000}}?</(?:{_REASONING})>", _CUT),
    (rf"(?i)</?(?:{_REASONING}|bos|eos|pad|unk|end_of_turn|start_of_turn)>", _CUT),
    (r"<\|[^<>|\s]{1,40}\|>|<｜[^<>\s]{1,40}｜>|</?s>|\[/?INST\]|<</?SYS>>", _CUT),
    # Code, links and HTML.
    (r"(?s)```(.{0,2000}?)```", _code),
    (rf"!?\[([^\[\]]{{0,300}})\]{_TARGET}", _group(1)),
    (r"\[([^\[\]]{1,300})\]\[[^\[\]\d]{0,50}\]", _group(1)),
    (r"<((?:\w{2,10}:|[\w.+-]{1,60}@)[^<>\s]{1,500})>", _group(1)),
    (rf"(?<!\w)\w[\w+.-]{{0,15}}://(?:[^\s/@]{{1,100}}@)?{_HOST}{_URL_REST}", _group(1)),
    (r"(?:(?<!\w)\w[\w+.-]{0,15})?://", _CUT),
    (rf"(?<![\w.])www\.([\w-]+(?:\.[\w-]+)+){_URL_REST}", _group(1)),
    (r"(?<!\w)(?:mailto|tel):(?=\S)", ""),
    (r"&(?:amp;){0,9}([A-Za-z]{2,8}|#[0-9]{2,6}|#[Xx][0-9A-Fa-f]{2,5});", _entity),
    (r"(?s)<!--.{0,2000}?-->", _CUT),
    (rf"(?i)</?(?:{_STYLES})(?:\s+[\w-]{{1,30}}=[^<>]{{0,300}})?\s*/?>", _CUT),
    (rf"(?<!\w)</{_TAG}>", _CUT),
    (rf"(?<!\w)<({_TAG})/?>", _group(1)),
    (r"(?<=\w)<([A-Za-z][\w,. ]{0,40})>", lambda match: f" of {match[1]}"),
    # Stage directions and emoticons.
    (r"\(([^()]{1,80})\)", _aside),
    (r"\[([^\[\]]{1,80})\]", _direction),
    (r"(?<![\w*])\*([^*\n]{1,80})\*(?![\w*])", _direction),
    (r"(?<!\S)[:;]-?[)(DP](?!\S)", _CUT),
    # LaTeX.
    (r"\\[dt]?frac\{([^{}]{1,80})\}\{([^{}]{1,80})\}", lambda match: f"{match[1]} / {match[2]}"),
    (r"\\sqrt\{([^{}]{1,80})\}", lambda match: f"√{match[1]}"),
    (r"\\(?:text|mathrm|mathbf)\{([^{}]{1,80})\}", _group(1)),
    (rf"\\({'|'.join(LATEX)})(?![A-Za-z])", _command),
    (r"\$(?=[^\s$\d])([^$]{1,200}?[\\^_=<>][^$]{0,200}?)\$(?!\d)", _group(1)),
    (r"\$\$|\\[()\[\],;!]", _CUT),
    # Markdown.
    (r"(?<![\w*])(\*{1,3})(?=[^\s*])([^*]{1,500}?)(?<=[^\s*])\1(?![\w*])", _group(2)),
    (r"~~([^~]{1,500})~~", _group(1)),
    (r"`", ""),
    (r"\A\s*>+\s+(?![\d.])", ""),
    (r"\A\s*[-*+–—•‣▪·]\s+(?![\s\d.,$€£])", ""),
    (r"(?<![^\W_])#+\s*", ""),
    (r"\s[•‣▪]\s", ", "),
    (r"\|?(?:\s{0,9}:?(?<!-)-{2,}:?\s{0,9}\|)+(?:\s{0,9}:?-{2,}:?)?", _CUT),
    (r"(?<=\w)\s*\|\|\s*(?=\w)", lambda _: " ∨ "),
    (r"\A\s*\|[\s|]*|(?<![\s|])\s*\|[\s|]*\Z", _CUT),
    (r"(?<![\s,])[\s,]*\|[\s|,]*|\|[\s|,]*", ", "),
    # Signs made of several characters.
    (r"(?<=[\w)\]])\s?={2,3}(?=\s?[\w(\[\"'-])", "="),
    (r"(?<!\S)--(?=[A-Za-z])", ""),
    (r"([=<>~^+*_#-])\1{2,}", _CUT),
    (r"<->|<=>(?!\s?\d)", lambda _: " ↔ "),
    (r"-->?(?=[\s\w])(?<=>)|(?<!-)->|=>(?!\s?[\d.])", lambda _: " → "),
    (r"<--?(?=\s)", lambda _: " ← "),
    (r"<=", "≤"),
    (r">=|=>", "≥"),
    (r"!=|<>|=/=", "≠"),
    (r"~=|≃|≅|(?<![\w~])~(?=\s?[\d.$€£])", "≈"),
)
"""Leaves out what is not said, and makes the signs uniform."""

_DIFFERENCE = re.compile(r"(?<=\d\s)-(?=\s\d)")
_OPERAND = r"\s?[\w$€£(.√∞π-]"

_SIGNS = [
    (re.compile(pattern), sign)
    for pattern, sign in (
        (r"\s?≤\s?|\s?⩽\s?", "≤"),
        (r"\s?≥\s?|\s?⩾\s?", "≥"),
        (r"\s?≠\s?", "≠"),
        (r"\s?≈\s?", "≈"),
        (r"\s?(?<!<)<\s?", "<"),
        (r"\s?(?<!>)>\s?", ">"),
        (r"\s?=\s?", "="),
        (r"(?<=[\w)])\s?\*\*\s?(?=[\d(])|(?<=[\w)])\^\{?(?=[\w(-])", "^"),
        (r"(?<=[\d)])\s?[×*⋅·]\s?(?=[\w(-])|(?<=[\w)])\s?[×⋅]\s?(?=[\w(-])", "×"),
        (r"(?<=[\w)])\s?\*\s?(?=\d)|(?<=[\w)])\s\*\s(?=[\w(-])", "×"),
        (r"(?<=\b[A-Za-z])\*(?=[A-Za-z]\b)", "×"),
        (r"\s?÷\s?", "÷"),
        (r"(?<=\d)\s/\s(?=\d)|(?<=\w)\s/\s(?=\w\b)", "/"),
        (r"\s?±\s?", "±"),
        (r"(?<!\+)\+(?=[\w$€£(.])|(?<=[\s])\+(?=\s)", "+"),
        (r"(?<=\d)\+(?!\+)", "+"),
        (r"\s?[−﹣－]\s?", "-"),
        (r"(?<![\w.,:)\]+/-])[-–](?=[$€£]?\.?\d)|\A\s*-\s(?=[$€£]?\.?\d)", "-"),
    )
]
"""Where signs stand for words; tried in this order."""

_POWER = re.compile(r"(?:(?<=\d)|(?<=\b[^\W\d_])|(?<=[ckm]m)|(?<=\)))[⁺⁻]?[⁰¹²³⁴-⁹]+")
_OTHER_SIGN = re.compile(r"[^\x00-\x7f]|[<>=]")

_LEFT_OVER = _rules(
    (r"[*`]", ""),
    (r"[_~^{}\[\]\\|]", " "),
    (r"\(\s*\)|\([\s\ue000]*\)", _CUT),
    # Order: no space where something was left out before a mark, one space elsewhere.
    (r"\A[\s\ue000]*\ue000(?:[\s\ue000]|[,;:.](?!\d))*", ""),
    (r"(?<![\s\ue000])[\s\ue000]*\ue000[\s\ue000]*(?=[,.;:!?…)](?!\d))", ""),
    (r"(?<=\()[\s\ue000]*\ue000[\s\ue000]*", ""),
    (r"\A[\s\ue000]+|(?<![\s\ue000])[\s\ue000]+\Z", ""),
    (r"[\s\ue000]{2,}|[^\S ]|\ue000", " "),
)
