"""Holds a model's refusal back: an interviewer that cannot assist asks no question. Pure."""

import re

MOST_HELD = 400
"""The most characters that are held back; a refusal is shorter."""

_OPENINGS = (
    *("i'm sorry", "i am sorry", "i'm very sorry", "i'm so sorry", "i'm afraid", "i am afraid"),
    *("sorry,", "sorry but", "i apologi", "my apologies", "apologies", "unfortunately"),
    *("i can't", "i cannot", "i can not", "i won't", "i will not", "i'm unable", "i am unable"),
    *("i'm not able", "i am not able", "i must decline", "as an ai", "as a language model"),
)

_REFUSES = re.compile(
    r"\b(?:can(?:no|')t|can not|won't|will not|unable to|not able to|must decline|not allowed to)\b"
    r".{0,40}?\b(?:assist|help|continue|comply|provide|discuss|engage|fulfil|fulfill|respond|process"
    r"|generate|create|participate|support|do that|talk about|answer that|conversation)\b"
)
_SENTENCE = re.compile(r"[^.!?]*[.!?]+[\"')]*\s")


class RefusalFilter:
    """The text of one reply, without a reply that is only a refusal.

    Text is held back only while it begins as refusals do, and asks nothing.
    """

    def __init__(self) -> None:
        self._held: str | None = ""  # None once the text passes

    def push(self, text: str) -> str:
        """Take more text; returns what can be said by now."""
        if self._held is None:
            return text
        held = self._held + text
        if _may_refuse(held):
            self._held = held
            return ""
        self._held = None
        return held

    def finish(self) -> tuple[str, bool]:
        """The text is over: returns the held text, and whether it is a refusal, not to be said."""
        held = self._held or ""
        refused = bool(held) and _REFUSES.search(_plain(held)) is not None
        return ("", True) if refused else (held, False)


def _may_refuse(text: str) -> bool:
    line = _plain(text)
    begins = line.startswith(_OPENINGS)
    if not begins and not any(opening.startswith(line) for opening in _OPENINGS):
        return False
    if "?" in line or len(line) > MOST_HELD:
        return False
    sentence = _SENTENCE.match(line)
    return sentence is None or _REFUSES.search(sentence[0]) is not None


def _plain(text: str) -> str:
    return " ".join(text.replace("’", "'").lower().split()) + (" " if text[-1:].isspace() else "")
