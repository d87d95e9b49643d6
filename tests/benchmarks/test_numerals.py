import pytest

from benchmarks.numerals import canonical, cardinal, spelled_out


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "zero"),
        (10, "ten"),
        (19, "nineteen"),
        (20, "twenty"),
        (99, "ninety nine"),
        (100, "one hundred"),
        (2024, "two thousand twenty four"),
        (9999, "nine thousand nine hundred ninety nine"),
        (1_000_000, "one million"),
        (3_000_000_017, "three billion seventeen"),
    ],
)
def test_a_number_has_one_form_in_words(value: int, expected: str) -> None:
    assert expected == " ".join(cardinal(value))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10 seconds", "ten seconds"),
        ("3.5", "three point five"),
        ("10,000 lines", "ten thousand lines"),
        ("10, 20", "ten , twenty"),
        ("50%", "fifty percent"),
        ("$5", "five dollars"),
        ("$1", "one dollar"),
        ("$3.5 million", "three point five million dollars"),
        ("€2k", "two thousand euros"),
        ("£3m a year", "three million pounds a year"),
        ("5k users", "five thousand users"),
        ("1st, 2nd and 3rd", "first , second and third"),
        ("the 12th, the 20th, the 21st", "the twelfth , the twentieth , the twenty first"),
        ("the 1990s", "the one thousand nine hundred nineties"),
        ("in the 100s", "in the one hundreds"),
        ("007", "zero zero seven"),
        ("-3 degrees", "minus three degrees"),
        ("10-20", "ten - twenty"),
        ("1234567890123", "one two three four five six seven eight nine zero one two three"),
    ],
)
def test_digits_are_spelled_out(text: str, expected: str) -> None:
    assert expected == " ".join(spelled_out(text).split())


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("two thousand and twenty four", "two thousand twenty four"),
        ("twenty twenty four", "two thousand twenty four"),
        ("nineteen ninety nine", "one thousand nine hundred ninety nine"),
        ("nineteen ninety", "one thousand nine hundred ninety"),
        ("nineteen oh five", "one thousand nine hundred five"),
        ("nineteen nineties", "one thousand nine hundred nineties"),
        ("fifteen hundred", "one thousand five hundred"),
        ("twenty ten", "two thousand ten"),
        ("twenty one", "twenty one"),
        ("twenty", "twenty"),
        ("a hundred and five", "one hundred five"),
        ("a thousand people", "one thousand people"),
        ("a hundred and more", "one hundred and more"),
        ("between ten and twenty", "between ten and twenty"),
        ("eleven zero", "eleven zero"),
        ("one goal and two teams", "one goal and two teams"),
    ],
)
def test_number_words_take_the_form_of_the_digits(said: str, expected: str) -> None:
    assert expected.split() == canonical(said.split())


@pytest.mark.parametrize("value", [*range(0, 130), *range(1000, 2100, 7), 9_876, 123_456])
def test_what_is_spelled_out_is_canonical(value: int) -> None:
    spelled = spelled_out(str(value)).split()
    assert spelled == cardinal(value) == canonical(spelled)
