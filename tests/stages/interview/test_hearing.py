import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.interview.hearing import (
    agrees,
    refuses,
    spoken,
    thanks,
    wants_repeat,
    wants_skip,
    wants_time,
)


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


@pytest.mark.parametrize(
    "text",
    [
        "no",
        "Nope.",
        "no no",
        "No, thank you.",
        "no thanks",
        "no wait",
        "please don't",
        "Not yet.",
        "no not yet",
        "not quite yet",
        "just a moment",
        "yes, just a moment",
        "One moment, please.",
        "wait a second",
        "hold on",
        "hang on",
        "bear with me",
        "okay give me a second",
        "no, give me a minute please",
        "could you give me one more minute please",
        "can I have another minute?",
        "a little more time please",
        "in a moment",
        "almost",
        "No, I'm still thinking.",
        "no I am still thinking",
        "still thinking",
        "I'm not ready yet",
        "let me think",
        "um, let me think about that for a moment",
        "I need a bit more time to think",
        "no I just need a minute to think about it",
        "I'd like a little more time",
        "no, I'd like to answer it",
        "no, let me try",
        "no, I have an answer",
    ],
)
def test_refusals_and_requests_for_time_are_understood(text: str) -> None:
    words = spoken(text)
    assert wants_time(words) or refuses(words)
    assert not agrees(words) or wants_time(words)
    assert not wants_skip(words)
    assert not wants_repeat(words)


@pytest.mark.parametrize(
    "text",
    [
        "yes",
        "Yes, please.",
        "please",
        "please do",
        "yeah sure",
        "sure",
        "sure thing",
        "okay",
        "Okay, let's do that.",
        "yes, let's",
        "yes let us do that please",
        "yeah let's go on",
        "all right then",
        "alright",
        "go ahead",
        "yes, I think so",
        "I guess so",
        "i think we should",
        "that would be great",
        "that's okay with me",
        "fine by me",
        "sounds good",
        "yes we can do that",
        "if you like",
        "I would like that",
        "of course",
        "why not",
        "no problem",
        "um yes",
        "yes, thank you",
    ],
)
def test_acceptance_of_an_offer_is_understood(text: str) -> None:
    words = spoken(text)
    assert agrees(words)
    assert not wants_time(words)
    assert not refuses(words)


@pytest.mark.parametrize(
    "text",
    [
        "yes I used Postgres",
        "no we never did that",
        "no because i left",
        "yes because it was slow",
        "sure we had tests",
        "ok so the first thing is the logs",
        "time was short",
        "it took a moment",
        "we had to wait",
        "i need to think about scaling",
        "fine tuning",
        "no one knew",
        "wait times went up",
        "thank goodness",
        "great team",
        "i would begin with the logs",
        "",
    ],
)
def test_answers_that_merely_begin_like_yes_no_or_thanks_are_answers(text: str) -> None:
    words = spoken(text)
    assert not any(asks(words) for asks in (wants_time, agrees, refuses, thanks))


@pytest.mark.parametrize(
    "text", ["thank you", "Thanks a lot!", "okay", "all right, thank you", "thank you, I will"]
)
def test_thanks_are_understood(text: str) -> None:
    assert thanks(spoken(text))


pieces = (
    "sorry what i please repeat that the question again skip this one you could next pass no not "
    "yes okay thank need more time a moment think still am"
)


@given(st.lists(st.sampled_from(pieces.split()), max_size=60).map(" ".join))
def test_one_foreign_word_or_too_many_words_make_it_an_answer(words: str) -> None:
    for asks in (wants_repeat, wants_skip, wants_time, agrees, refuses, thanks):
        assert not asks(f"{words} kubernetes".strip())
        assert not asks(f"kubernetes {words}".strip())
        assert not (asks(words) and len(words.split()) > 18)


@given(st.text())
def test_spoken_is_idempotent(text: str) -> None:
    assert spoken(spoken(text)) == spoken(text)
