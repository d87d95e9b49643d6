import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.interview.hearing import spoken, wants_repeat, wants_skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I didn't use Postgres, sorry!", "i didnt use postgres sorry"),
        ("  A/B-tests:\n3.5 % ", "a b tests 3 5"),
        ("it’s snake_case", "its snake case"),
        ("... !", ""),
    ],
)
def test_text_becomes_words_as_a_recogniser_writes_them(text: str, words: str) -> None:
    assert spoken(text) == words


@pytest.mark.parametrize(
    "text",
    [
        "Could you repeat that?",
        "could you please repeat the question",
        "um sorry could you say that again please",
        "can you say that one more time",
        "please repeat",
        "repeat the question please",
        "Say that again?",
        "say again",
        "Pardon?",
        "pardon me",
        "I beg your pardon",
        "Sorry?",
        "oh sorry",
        "excuse me",
        "what",
        "sorry what",
        "what was that",
        "What was the question?",
        "what's the question again",
        "what was your last question",
        "what did you say",
        "sorry what did you just ask me",
        "I didn't hear you.",
        "i did not hear the question",
        "sorry i didnt quite catch that could you repeat it please",
        "i couldn't hear you very well",
        "i can't hear you",
        "i don't understand the question",
        "would you mind repeating the question",
        "do you mind saying that again",
        "can i hear the question again please",
        "could you rephrase that",
        "could you say that a bit slower please",
        "come again",
        "one more time please",
        "i missed that sorry",
        "i forgot the question",
        "you broke up",
        "hello are you still there",
        "hello can you hear me",
    ],
)
def test_requests_to_repeat_are_understood(text: str) -> None:
    assert wants_repeat(spoken(text))
    assert not wants_skip(spoken(text))


@pytest.mark.parametrize(
    "text",
    [
        "I had to repeat the experiment three times and then it worked.",
        "we repeat the question in every survey",
        "i would say that again and again we failed to test",
        "what i did was to say that again to my manager",
        "sorry to say that we lost the customer",
        "i did not hear back from the team for a week",
        "i didn't understand the customer at first",
        "the question was what to build",
        "i don't understand why they did it",
        "pardon the pun but we cached it",
        "hello my name is ada",
        "no i did not get that job",
        "again and again",
        "yes",
        "no",
        "thank you",
        "um",
        "",
        "so " * 17 + "repeat that",
    ],
)
def test_answers_that_merely_contain_such_words_are_answers(text: str) -> None:
    assert not wants_repeat(spoken(text))


@pytest.mark.parametrize(
    "text",
    [
        "Skip.",
        "skip this one",
        "can we skip this question please",
        "let's skip that",
        "I'd like to skip this one",
        "i would like to skip it if thats okay",
        "um i think i'll pass",
        "pass",
        "I pass on that one",
        "next",
        "Next question, please.",
        "can we go to the next question",
        "can we move on",
        "let's move on to the next one please",
        "could i have another question",
        "could you ask me a different question",
        "I'd rather not answer.",
        "i would rather not say",
        "i would prefer not to answer that question",
        "sorry i'd rather not talk about that",
        "i don't want to answer that",
        "i do not want to talk about it",
        "i'm not comfortable answering that question",
        "no comment",
        "i have no idea",
        "I don't know.",
        "sorry i really don't know the answer",
        "i can't think of one right now",
        "i can't answer that question",
    ],
)
def test_requests_to_skip_are_understood(text: str) -> None:
    assert wants_skip(spoken(text))
    assert not wants_repeat(spoken(text))


@pytest.mark.parametrize(
    "text",
    [
        "I skipped a grade in school and it was hard.",
        "we skip this one step in the pipeline",
        "the tests pass",
        "i pass the data to the next service",
        "next i wrote a test",
        "the next question is how it scales",
        "we decided to move on to postgres",
        "i don't know the framework well but i learned it quickly",
        "i'd rather not use a queue here",
        "i have no idea how it worked but it did",
        "let me think",
        "no",
        "i would",
        "maybe",
        "",
    ],
)
def test_answers_that_merely_speak_of_skipping_are_answers(text: str) -> None:
    assert not wants_skip(spoken(text))


pieces = (
    "sorry what i please repeat that the question again skip this one you could next pass no not"
)


@given(st.lists(st.sampled_from(pieces.split()), max_size=60).map(" ".join))
def test_one_foreign_word_or_too_many_words_make_it_an_answer(words: str) -> None:
    for asks in (wants_repeat, wants_skip):
        assert not asks(f"{words} kubernetes".strip())
        assert not asks(f"kubernetes {words}".strip())
        assert not (asks(words) and len(words.split()) > 18)


@given(st.text())
def test_spoken_is_idempotent(text: str) -> None:
    assert spoken(spoken(text)) == spoken(text)
