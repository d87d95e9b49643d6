import pytest

from stages.stt._second_look import Guess, better

STRANGE = ("gluure", "sposed", "gluior")


def made_up(text: str) -> list[str]:
    return [word for word in STRANGE if word in text.split()]


def chosen(first: str, *guesses: tuple[str, float], hints: tuple[str, ...] = ()) -> str | None:
    number = better(first, [Guess(*guess) for guess in guesses], made_up, hints)
    return None if number is None else guesses[number][0]


@pytest.mark.parametrize(
    ("guesses", "text"),
    [
        ((("it is clear", -0.1), ("it is near", -0.2)), "it is clear"),
        ((("it is gluior", -0.1), ("it is near", -0.2)), "it is near"),
        ((("it is gluure", -0.1), ("it is near", -0.35)), "it is near"),
        ((("it is gluure", -0.1), ("it is near", -0.36)), None),
        ((("it is gluure", -0.1), ("it is gluior", -0.2)), None),
        ((("it is gluure", -0.1), ("", -0.1)), None),
        ((("it is gluure", -0.1), ("it is a very clear one", -0.1)), None),
        ((), None),
    ],
)
def test_the_most_probable_text_of_existing_words_is_taken(
    guesses: tuple[tuple[str, float], ...], text: str | None
) -> None:
    assert chosen("it is gluure", *guesses) == text


def test_of_two_made_up_words_one_is_better_and_none_is_best() -> None:
    first = "gluure is not sposed"
    half, whole = ("clear is not sposed", -0.2), ("clear is not disposed", -0.3)
    assert chosen(first, (first, -0.1), half) == half[0]
    assert chosen(first, (first, -0.1), half, whole) == "clear is not disposed"


def test_no_term_of_the_interview_is_lost() -> None:
    first = "with gluure PostgreSQL here"
    lost, kept = ("with clear post grey here", -0.1), ("with clear postgresql here", -0.2)
    hints = ("PostgreSQL", "Redis")
    assert chosen(first, lost, hints=hints) is None
    assert chosen(first, lost, kept, hints=hints) == kept[0]
