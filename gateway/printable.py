"""Text from elsewhere, made safe to show on one line."""


def printable(text: str) -> str:
    """`text` on one line: each control character, which a terminal would obey, is a space."""
    if not text.isprintable():
        text = "".join(character if character.isprintable() else " " for character in text)
    return text.strip()
