"""Finds the part of a model's thoughts that is speech. Pure.

"Thought:" begins a script. "Thoughts:" or "Reasoning:" begin one, too, but people also begin so:
"Thoughts: a fine plan. What would you change?" Its words tell them apart. A thought is about the
person, or about what to ask; speech is to the person.
"""

import re

LABELS = frozenset(
    {
        *("thoughts", "my thought", "my thoughts", "thinking", "reasoning", "my reasoning"),
        *("internal reasoning", "rationale", "analysis", "reflection", "note to self"),
        *("inner monologue", "internal monologue", "gedanken", "überlegung", "überlegungen"),
        *("analyse", "razonamiento", "raisonnement", "réflexion", "推理", "分析"),
    }
)
"""Labels of thoughts that may begin a sentence."""

_REMARKS = frozenset(("thoughts", "my thought", "my thoughts", "gedanken"))
"""Text after these labels is said unless it is about the person."""

_DOES = (
    "is|was|has|had|does|did|seems?|appears?|sounds?|wants?|needs?|says?|said|asks?|asked|gave|just"
    "|answer(?:s|ed)|mention(?:s|ed)|explain(?:s|ed)|describe[sd]|didn['’]t|hasn['’]t|isn['’]t"
)
_THEM = re.compile(
    rf"\bthe (?:user|human|speaker) (?:{_DOES})\b|\bthe (?:candidate|applicant|interviewee)\b"
    r"|\bder (?:Nutzer|Kandidat|Bewerber)\b|用户|候选人",
    re.IGNORECASE,
)
"""The person as one speaks of them. "The user" alone is whom their program is for."""

_PLAN = re.compile(
    r"\b(?:(?:i|we) (?:should|need to|must|have to|want to|ought to)"
    r"|let me (?:ask|probe|start|begin)"
    r"|i(?:['’]ll| will| am going to) (?:ask|probe|start|begin|follow)"
    r"|(?:next|follow-?up) question|ich (?:sollte|muss|werde))\b|我应该",
    re.IGNORECASE,
)
_ABOUT = re.compile(
    r"\b(?:they|them|their|they['’]re|he|she|him|his|her|vague|nervous|sie wirkt|er wirkt)\b",
    re.IGNORECASE,
)
_HE = re.compile("(?<![其吉排利])[他她](?!人)")
"""He or she, and not the other words that are written with the sign: 其他 is "other"."""

_TO = re.compile(
    r"\b(?:[Yy]ours?|[Yy]ou(?:['’]\w+)?|[Tt]ell me|[Ww]alk me|[Dd]ich|[Dd]ir|[Dd]ein\w*|Sie|Ihnen"
    r"|Ihre?\w?|[Vv]ous|[Vv]otre|[Uu]sted)\b|你|您"
)


_TELLS = re.compile(
    r"""(?![^.!?…\n]*\bthen (?:ask|probe)\b)"""
    r"""(?:["'“‘«(\[*_`「『]*(?:(?:(?:please|now|next|then|so|okay|great|good|and|first)[,.!:]?\s)?"""
    r"""(?:(?:describe|explain|tell|name|walk|talk|share|list|sketch|outline|compare|imagine|suppose"""
    r"""|give (?:an|one|me|us)|take (?:a|me|us)"""
    r"""|let(?:['’]s| us) (?:talk|turn|discuss|move|hear))\s)"""
    r"""|please\s|(?:thanks|thank you|goodbye|bye|good luck|hello|welcome)\b"""
    r"""|(?:bitte|danke|vielen dank|auf wiedersehen|gracias|por favor|merci|au revoir)\b"""
    r"""|(?:beschreib|erklär|erzähl|schilder|nenn)(?:e|en)?\s"""
    r"""|(?:décri|expliqu|racont|parl|donn|describ|explic|cuént|hábl)(?:vez|ez|e|a|eme|enos|enme)?\s)"""
    r"""|[“「『]*(?:请|谈谈|说说|描述|解释|介绍|谢谢|再见))""",
    re.IGNORECASE,
)
"""How a sentence begins that asks for something, thanks or greets, and so is to the person.
"Outline the failure, then ask for numbers" is a plan."""

_ALOUD = re.compile(
    r"\b(?:answer|reply|response|respond|prompt|instructions?|questions?|interview)\b"
    r"|\bthen (?:ask|probe)\b"
    r"|^\W*(?:hmm?|wait|maybe|perhaps|alternatively|okay,? (?:so|the|now|i)\b|they|he|she|their|his"
    r"|her)\b|问题|回答",
    re.IGNORECASE,
)
"""Words of a sentence about a conversation, which is not one of it."""

_SENTENCES = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])")
_NEXT = re.compile(r"\s*I should (?:ask|wait)\b[^.!?…]*+[.!…]*\s*\Z", re.IGNORECASE)
"""A line of one sentence that is a thought wherever it stands, not speech to the person."""

_PARAGRAPHS = re.compile(r"\n[ \t]*\n\s*")
_ASKS = re.compile("[?？]")
_ENDS = ".!?…。！？؟।॥։።"
_CLOSE = r"""["'”’»*_`)\]」』）】]*"""
"""The marks that may follow the end of a sentence that is in bold, quoted or in brackets."""

_SENTENCE = re.compile(
    rf"\S.*?(?:(?<![.!?…])[.!?…]++{_CLOSE}+(?=\s|\Z)|[。！？]+{_CLOSE}+|\Z)", re.DOTALL
)
_QUESTION = re.compile(rf"[?？]{_CLOSE}\s*\Z")


def is_said(label: str, text: str) -> bool:
    """Whether the text behind a label, to the end of the reply, is speech together with it."""
    line, _, rest = text.partition("\n")
    if label not in LABELS or not line.strip():
        return False
    for sentence in _SENTENCES.split(line):
        if _plans(sentence) or (_ABOUT.search(sentence) and not _TO.search(sentence)):
            return False
        if _TO.search(sentence):
            return True
    return label in _REMARKS or "?" in line or not rest.strip()


def behind(text: str) -> str:
    """The spoken part of the text after a label that begins thoughts, to the end of the reply.

    The thought is the rest of the label's line. If that is empty, the thought is the paragraph
    that follows, or the lines of it that are about the person. Lines that plan belong to it, too.

    >>> behind(" The user is vague.\\n\\nI should ask for numbers.\\n\\nHow fast is it?")
    'How fast is it?'
    """
    label_line, _, rest = text.partition("\n")
    if not label_line.strip():
        thought, _, after = re.sub(r"\n[ \t]+(?=\n)", "\n", rest).lstrip("\n").partition("\n\n")
        rest = after if after.strip() and not _speaks(thought) else f"{thought}\n\n{after}"
    lines = rest.strip("\n").split("\n")
    while lines and (not lines[0].strip() or (_plans(lines[0]) and "?" not in lines[0])):
        del lines[0]
    if lines:
        return _without_next(lines)
    # A reply is better than none, for which another model would be asked.
    return " ".join(one for one in _SENTENCES.split(label_line.strip()) if _is_to_the_person(one))


def is_speech(text: str) -> bool:
    """Whether a sentence of the text is to the person."""
    return any(map(_asks_or_is_to, _sentences(text)))


def at_the_end(text: str, *, asking: bool = True) -> str:
    """The part of long thoughts that may be spoken; `text` is their end. It is the last paragraph,
    or the last line or sentence where there is only one, and is spoken if it is to the person. Of a
    model that is not `asking`, but answers, a paragraph is also spoken that shows no sign of a
    thought, unless it breaks off within a sentence.

    >>> at_the_end("and so on.\\n\\nI should ask for numbers.\\n\\n**How fast is it?**")
    '**How fast is it?**'
    """
    _, *paragraphs = _PARAGRAPHS.split(text.strip())
    *lines, last = text.rstrip().split("\n")
    if paragraphs:
        whole = _unplanned(paragraphs[-1].split("\n"))
        said = _behind_remarks(whole)
        if not asking and _is_ended(whole) and not is_speech(said):
            return "" if any(map(_is_thought, _sentences(whole))) else whole
    elif lines:
        said = _behind_remarks(last)
    else:
        said = "".join(_sentences(last)[-1:])
        if _is_about(said):  # in one line with the thoughts, also a question
            return ""
    return said if is_speech(said) else ""


def _without_next(lines: list[str]) -> str:
    """The lines without those that only plan, and without what stands between those and is not
    to the person."""
    runs: list[list[str]] = [[]]
    for line in lines:
        if _NEXT.match(line) and _plans(line) and not _ASKS.search(line):
            runs.append([])
        else:
            runs[-1].append(line)
    texts = ["\n".join(run) for run in runs if any(map(str.strip, run))]
    if len(runs) == 1:
        return texts[0]
    return "\n".join(filter(is_speech, texts)) or texts[-1]


def _unplanned(lines: list[str]) -> str:
    """Of the lines between lines that only plan, the last ones that are to the person, or the last
    ones of all."""
    runs: list[list[str]] = [[]]
    for line in lines:
        if _plans(line) and not _ASKS.search(line):
            runs.append([])
        else:
            runs[-1].append(line)
    texts = [text for run in runs if (text := "\n".join(run).strip())]
    return next(filter(is_speech, reversed(texts)), texts[-1] if texts else "")


def _behind_remarks(text: str) -> str:
    """The text behind the last sentence that is about the person and asks nothing."""
    start = 0
    for found in _SENTENCE.finditer(text):
        if _is_about(found[0]) and not _QUESTION.search(found[0]):
            start = found.end()
    return text[start:].strip()


def _sentences(text: str) -> list[str]:
    return _SENTENCE.findall(text)


def _is_ended(text: str) -> bool:
    last = max((at for at, sign in enumerate(text) if sign.isalnum()), default=None)
    return last is not None and any(sign in _ENDS for sign in text[last + 1 :])


def _is_about(sentence: str) -> bool:
    about = _ABOUT.search(sentence) or _HE.search(sentence)
    return about is not None and not _TO.search(sentence)


def _asks_or_is_to(sentence: str) -> bool:
    return not _plans(sentence) and bool(
        _QUESTION.search(sentence) or _TO.search(sentence) or _TELLS.match(sentence)
    )


def _is_thought(sentence: str) -> bool:
    return _plans(sentence) or _ALOUD.search(sentence) is not None


def _is_to_the_person(sentence: str) -> bool:
    return not _plans(sentence) and (sentence.endswith("?") or _TO.search(sentence) is not None)


def _speaks(text: str) -> bool:
    return _TO.search(text) is not None and not _plans(text)


def _plans(text: str) -> bool:
    """Whether a text is about the person, or about the model's own next step."""
    if _THEM.search(text):
        return True
    return _PLAN.search(text) is not None and not _TO.search(text)
