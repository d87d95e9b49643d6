"""Whether words are the reply's own, come back, or a person's: a table of both."""

import pytest

from pipeline.echo import ECHOED_REPLIES, MOST_HEARD, EchoWatch, is_echo

DEBUG = "How do you approach debugging an issue that you cannot reproduce?"
OPENING = (
    "Hello, I'm Parley, and I will be your interviewer today for the software engineer role."
    " Question 1: Tell me about a time when you disagreed with a technical decision of your team."
)
TEAM = "Would you rather work alone or in a team?"
GERMAN = "Erzählen Sie mir von einer Entscheidung Ihres Teams, der Sie nicht zugestimmt haben."
CHINESE = "请告诉我你在上一个项目中的角色是什么"


@pytest.mark.parametrize(
    ("played", "text"),
    [
        (DEBUG, "How do you approach debugging an issue that you cannot reproduce?"),
        (DEBUG, "how do you approach the bugging an issue that you cannot reproduce"),
        (DEBUG, "debugging an issue that you cannot"),
        (DEBUG, "do you approach debugging on issue that you can not reproduce"),
        (DEBUG, "Oh, you approach debugging an issue"),
        (OPENING, "I will be your interviewer today for the software"),
        (OPENING, "be your interviewer today for the software engineer roll question one tell me"),
        (OPENING, "tell me about the time when you disagree with a technical decision if your"),
        (OPENING, "and i will be your interview or today"),
        (GERMAN, "Erzählen Sie mir von einer Entscheidung ihres Teams, der Sie nicht"),
        (CHINESE, "你在上一个项目中的角色"),
        ("Good. " + DEBUG, DEBUG),
    ],
)
def test_the_replys_own_words_are_an_echo(played: str, text: str) -> None:
    assert is_echo(text, played)


@pytest.mark.parametrize(
    ("played", "text"),
    [
        (DEBUG, "yes"),
        (DEBUG, "no I cannot"),
        (DEBUG, "you cannot reproduce"),  # three words
        (DEBUG, "How do you approach debugging an issue that you cannot reproduce? I add logs."),
        (DEBUG, "An issue that you cannot reproduce? Well, first I look at the logs."),
        (DEBUG, "If I cannot reproduce an issue I look at the logs and talk to users"),
        (DEBUG, "I approach debugging an issue with logs"),
        (DEBUG, ""),
        (DEBUG, "?"),
        ("", "I like tests very much"),
        (TEAM, "I would rather work in a team"),
        (TEAM, "rather work in a team"),  # leaves out what is not meant
        (TEAM, "in a team"),
        (OPENING, "I disagreed with a technical decision of my team about the database"),
        (OPENING, "My team wanted Mongo and I will be honest, I was against it"),
        (GERMAN, "Ich habe einer Entscheidung meines Teams nicht zugestimmt"),
        ("Did you use Kafka or RabbitMQ there?", "we used Kafka there"),
        (CHINESE, "我在上一个项目中是后端工程师，负责数据库"),
        (DEBUG, " ".join(["debugging"] * (MOST_HEARD + 1))),
    ],
)
def test_a_persons_words_are_an_answer(played: str, text: str) -> None:
    assert not is_echo(text, played)


@pytest.mark.parametrize(
    ("text", "echo"),
    [
        ("you cannot reproduce", True),
        ("cannot reproduce", True),
        ("reproduce", False),
        ("yes", False),
        ("how do you", True),
        ("I cannot reproduce", False),
    ],
)
def test_where_an_echo_is_expected_fewer_words_are_one(text: str, echo: bool) -> None:
    assert echo is is_echo(text, DEBUG, expected=True)


def test_only_what_was_said_lately_comes_back() -> None:
    long_ago = f"{DEBUG} {'And then something else was said. ' * 40}"
    assert not is_echo(DEBUG, long_ago)


def test_after_an_echo_another_is_expected_for_a_while() -> None:
    watch = EchoWatch(lambda: 5000)
    watch.said(DEBUG)
    assert not watch.hears("you cannot reproduce")
    assert watch.hears("that you cannot reproduce")
    watch.heard()
    for number in range(ECHOED_REPLIES):
        assert watch.hears("you cannot reproduce")
        watch.said(f"{number} And an issue that you cannot reproduce?")
    assert not watch.hears("you cannot reproduce")


def test_speech_that_cut_a_reply_off_may_be_its_echo() -> None:
    watch = EchoWatch(lambda: 5000)
    watch.said(OPENING, cut_after="Hello, I'm Parley, and I will be")
    assert watch.hears("and I will")
    assert watch.hears("will be your interviewer")  # a little more may have been played
    assert not watch.hears("technical decision")  # that was not said yet
    assert not watch.hears("hello")
    watch.said("")  # nothing was heard of it: the reply before counts
    assert watch.hears("and I will")


@pytest.mark.parametrize(
    ("text", "echo"),
    [("hello", True), ("i'm parley", True), ("yes", False), ("hello there", False)],
)
def test_a_reply_that_was_cut_off_at_once_is_known_by_its_first_words(
    text: str, echo: bool
) -> None:
    watch = EchoWatch(lambda: 5000)
    watch.said(OPENING, cut_after="Hello, I'm")
    assert echo is watch.hears(text)


def test_an_echo_begins_before_the_end_of_what_it_repeats() -> None:
    watch = EchoWatch(lambda: 5000)
    watch.said(DEBUG)
    watch.began(4900)
    assert watch.hears(DEBUG)
    watch.began(5100)
    assert not watch.hears(DEBUG)  # a person who says it again
    watch.heard()
    assert watch.hears(DEBUG)  # where an echo is expected, it may come later
    watch.began(6100)
    assert not watch.hears(DEBUG)


def test_an_echo_ends_with_what_it_repeats() -> None:
    watch = EchoWatch(lambda: 5000)
    watch.said(DEBUG)
    watch.began(4800)
    watch.ended(6000)
    assert watch.hears("that you cannot reproduce")
    watch.ended(6100)
    assert not watch.hears("that you cannot reproduce")  # a person who answers a little too early


def test_a_filler_is_none_of_the_replies_after_an_echo() -> None:
    watch = EchoWatch(lambda: 5000)
    watch.heard()
    for _ in range(ECHOED_REPLIES):
        watch.said("Let me think about that.", cut_after="Let me", replied=False)
    watch.said(DEBUG)
    watch.began(5500)  # as late as an echo may begin where one is expected
    watch.ended(5900)
    assert watch.hears(DEBUG)
