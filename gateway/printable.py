"""Untrusted text, made safe to show on one line."""


def printable(text: str) -> str:
    """`text` on one line: a space replaces each control character, which terminals interpret."""
    if not text.isprintable():
        text = "".join(character if character.isprintable() else " " for character in text)
    return text.strip()
