"""Names of hosts in headers and settings, international ones in the ASCII form of browsers. Pure.

Browsers send "xn--bcher-kva.example" for "bücher.example" (RFC 3492, RFC 5891). Some programs put
the letters themselves into `Host`, in UTF-8 or Latin-1, and people write them into settings. As in
browsers, ß and ς stay letters of their own, so that nobody's name is taken for another's.
"""

import unicodedata

_DOTS = str.maketrans("。．｡", "...")
_LONGEST_LABEL = 63
_LONGEST_NAME = 253
"""The most characters in ASCII (RFC 1035); the form with letters is never longer. A longer name is
refused at once: the time that punycode takes grows with the square of the length."""


def host_of(header: str) -> str:
    """The host and the port of a `Host` header, whose bytes were read as Latin-1; "" if the name is
    none that can be written in ASCII."""
    if header.isascii():
        return header
    try:
        return _authority(_unicode(header))
    except ValueError:
        return ""


def ascii_origin(origin: str) -> str:
    """An origin with its name in ASCII. Raises `ValueError` if that cannot be."""
    if origin.isascii():
        return origin
    scheme, mark, rest = origin.partition("://")
    return f"{scheme}{mark}{_authority(_unicode(rest))}"


def _unicode(text: str) -> str:
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:  # it was Latin-1, or is no header
        return text


def _authority(text: str) -> str:
    name, colon, port = text.partition(":")
    if colon and not (port.isascii() and port.isdigit()):
        raise ValueError("behind a name with other letters only a port may stand")
    return f"{_ascii(name)}{colon}{port}"


def _ascii(name: str) -> str:
    if len(name) > _LONGEST_NAME:
        raise ValueError(f"a name has {_LONGEST_NAME} characters at most")
    # Letter by letter: of a whole word Python makes the last sigma another letter.
    small = "".join(letter.lower() for letter in name.translate(_DOTS))
    plain = "".join(letter.lower() for letter in unicodedata.normalize("NFKC", small))
    return ".".join(map(_label, plain.split(".")))


def _label(label: str) -> str:
    if not all(character in "-_" or _is_letter(character) for character in label):
        raise ValueError("a name has letters and digits")
    if label.isascii():
        return label
    if len(label) > _LONGEST_LABEL:  # such as one letter that stands for many
        raise ValueError("a part of a name has 63 characters at most")
    coded = f"xn--{label.encode('punycode').decode()}"
    if len(coded) > _LONGEST_LABEL:
        raise ValueError("a part of a name has 63 characters at most")
    return coded


def _is_letter(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character) in ("Mn", "Mc")
