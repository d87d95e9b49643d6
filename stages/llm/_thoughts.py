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
    r"\b(?:they|them|their|they['’]re|he|she|him|his|her|vague|nervous|sie wirkt|er wirkt)\b"
    "|[他她]",
    re.IGNORECASE,
)
_TO = re.compile(
    r"\b(?:[Yy]ours?|[Yy]ou(?:['’]\w+)?|[Tt]ell me|[Ww]alk me|[Dd]ich|[Dd]ir|[Dd]ein\w*|Sie|Ihnen"
    r"|Ihre?\w?|[Vv]ous|[Vv]otre|[Uu]sted)\b|你|您"
)


_SENTENCES = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])")
_PARAGRAPHS = re.compile(r"\n[ \t]*\n\s*")
_ASKS = re.compile("[?？]")


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
    if said := _unplanned(rest.strip("\n").split("\n")):
        return said
    # A reply is better than none, for which another model would be asked.
    return " ".join(one for one in _SENTENCES.split(label_line.strip()) if _is_to_the_person(one))


def at_the_end(text: str) -> str:
    """What is said of long thoughts, of which `text` is the end: the last paragraph, or the last
    line or sentence where there is only one. It is said if it is to the person.

    >>> at_the_end("and so on.\\n\\nI should ask for numbers.\\n\\nHow fast is it?")
    'How fast is it?'
    """
    _, *paragraphs = _PARAGRAPHS.split(text.strip())
    if paragraphs:
        said = _unplanned(paragraphs[-1].split("\n"))
        sentences = _sentences(said)
        if any(_ABOUT.search(one) and not _TO.search(one) for one in sentences):
            said = sentences[-1]
        return said if _is_speech(said) else ""
    *lines, last = text.rstrip().split("\n")
    said = last if lines else "".join(_sentences(last)[-1:])
    return said if _is_speech(said) and not _ABOUT.search(said) else ""


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
    return next(filter(_is_speech, reversed(texts)), texts[-1] if texts else "")


def _sentences(text: str) -> list[str]:
    return [sentence for sentence in _SENTENCES.split(text) if sentence]


def _is_speech(text: str) -> bool:
    return any(_is_to_the_person(sentence) for sentence in _sentences(text))


def _is_to_the_person(sentence: str) -> bool:
    return not _plans(sentence) and bool(sentence.endswith(("?", "？")) or _TO.search(sentence))


def _speaks(text: str) -> bool:
    return _TO.search(text) is not None and not _plans(text)


def _plans(text: str) -> bool:
    """Whether a text is about the person, or about the model's own next step."""
    if _THEM.search(text):
        return True
    return _PLAN.search(text) is not None and not _TO.search(text)
