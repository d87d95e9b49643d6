import pytest

from benchmarks.word_errors import differences, word_errors


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("a b c", "a b c", 0),
        ("a b c", "a x c", 1),
        ("a b c", "a c", 1),
        ("a b c", "a b b c", 1),
        ("a b c", "", 3),
        ("", "a b", 2),
        ("the slow query", "this low query", 2),
        ("one two three four", "two three four five", 2),
        ("an online shop", "an on line shop", 0),
        ("rather cold hearted", "rather coldhearted", 0),
        ("cold hearted and", "coldhearted an", 1),
    ],
)
def test_word_errors_are_the_fewest_edits(reference: str, hypothesis: str, expected: int) -> None:
    assert expected == word_errors(reference.split(), hypothesis.split())


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("a b c", "a b c", []),
        ("a b c", "a x c", ["b → x"]),
        ("a b c", "a c", ["-b"]),
        ("a c", "a b c", ["+b"]),
        ("find the slow query now", "find this low query", ["the slow → this low", "-now"]),
        ("", "thank you", ["+thank you"]),
        ("thank you", "", ["-thank you"]),
    ],
)
def test_differences_are_told_word_by_word(
    reference: str, hypothesis: str, expected: list[str]
) -> None:
    assert expected == [str(one) for one in differences(reference.split(), hypothesis.split())]
