import pytest

from gateway.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Frau Müller – 你好", "Frau Müller – 你好"),
        ("\x1b[2Jgone\x07", "[2Jgone"),
        ("one\r\ntwo\tthree", "one  two three"),
        ("safe\u202egpj.exe", "safe gpj.exe"),
        ("\n", ""),
    ],
)
def test_no_control_character_is_left(text: str, shown: str) -> None:
    assert shown == printable(text)
