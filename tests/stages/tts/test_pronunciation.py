import re
from pathlib import Path

import pytest

from stages.tts.pronunciation import (
    LEXICON,
    MOST_ENTRIES,
    LexiconError,
    Pronunciation,
    parse_lexicon,
    read_lexicon,
)

ENGLISH = Pronunciation()


def said(text: str) -> str:
    return ENGLISH.read(text).text


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        # Names of things and code.
        ("PostgreSQL", "post gress Q.L"),
        ("SQL", "sequel"),
        ("SQLs", "sequels"),
        ("API", "A.P.I"),
        ("APIs", "A.P.I's"),
        ("the API's", "the A.P.I's"),
        ("CI/CD", "C.I.C.D"),
        ("TCP/IP", "T.C.P.I.P"),
        ("k8s", "kates"),
        ("nginx", "engine X"),
        ("NGINX", "engine X"),
        ("Node.js", "node J.S"),
        ("GraphQL", "graph Q.L"),
        ("OAuth2", "oh auth two"),
        ("IPv6", "I.P.V six"),
        ("UTF-8", "U.T.F eight"),
        ("C++ and C#", "C plus plus and C sharp"),
        ("async/await", "eh sink await"),
        ("client/server", "client server"),
        ("p99", "P ninety-nine"),
        ("H264", "H two six four"),
        ("A100", "A one hundred"),
        ("GPT-4", "G.P.T four"),
        ("covid19", "covid nineteen"),
        ("5G", "five G"),
        ("v2.1", "version two point one"),
        ("version v2", "version two"),
        ("1.2.3", "one point two point three"),
        ("Python 3.11", "Python three point eleven"),
        ("HTTP/1.1", "H.T.T.P one point one"),
        ("10.0.0.1", "ten dot zero dot zero dot one"),
        ("getUserById()", "get user by id"),
        ("main.py", "main dot py"),
        ("R&D", "R and D"),
        ("#5", "number five"),
        ("abc123def", "abc one two three def"),
        # Addresses.
        ("example.com", "example dot com"),
        ("www.bbc.co.uk/news", "www dot bbc dot co dot U.K"),
        ("anna.k+x@mail.example.org", "anna dot k plus x at mail dot example dot org"),
        ("me@firm.example", "me at firm dot example"),
        # Numbers.
        ("2024", "twenty twenty-four"),
        ("in 1848", "in eighteen forty-eight"),
        ("1848 users", "one thousand eight hundred forty-eight users"),
        ("2019–2021", "twenty nineteen to twenty twenty-one"),
        ("5-10", "five to ten"),
        ("5-minute", "five-minute"),
        ("the 90s", "the nineties"),
        ("the '90s", "the nineties"),
        ("'90s", "nineties"),
        ("1990s", "nineteen nineties"),
        ("10,000", "ten thousand"),
        ("3.5x", "three point five X"),
        ("0.5", "zero point five"),
        ("-3", "minus three"),
        ("−0.5", "minus zero point five"),
        ("1e6", "ten to the power of six"),
        ("2.5e-3", "two point five times ten to the power of minus three"),
        ("3rd", "third"),
        ("1/2", "one half"),
        ("3/4", "three quarters"),
        ("2/3", "two thirds"),
        ("12/16", "twelve over sixteen"),
        ("3 1/2 hours", "three and one half hours"),
        ("1 5/16 km", "one and five sixteenths kilometers"),
        ("2 3/4.", "two and three quarters."),
        ("1 4/2", "one four over two"),
        ("404s and 500s", "four hundred fours and five hundreds"),
        ("206s", "two hundred sixes"),
        ("300s", "three hundred seconds"),
        ("2½", "two and one half"),
        ("¼", "one quarter"),
        ("24/7", "twenty-four seven"),
        ("①Kafka or ②Redis", "one Kafka or two reddiss"),
        ("⑴ first, ❷ then 5①", "one first, two then five one"),
        ("naïve ½ of 10₂", "naïve one half of ten two"),
        ("16:9", "sixteen to nine"),
        ("555-1234", "five five five, one two three four"),
        ("10k", "ten thousand"),
        ("100K", "one hundred thousand"),
        ("5M", "five million"),
        # Money, shares, units.
        ("$5", "five dollars"),
        ("$1", "one dollar"),
        ("$5.50", "five dollars and fifty cents"),
        ("$5.00", "five dollars"),
        ("$0.01", "one cent"),
        ("£0.05", "five pence"),
        ("£2.01", "two pounds and one penny"),
        ("€10k", "ten thousand euros"),
        ("$3.2 billion", "three point two billion dollars"),
        ("US$5 million", "five million U.S dollars"),
        ("US$1", "one U.S dollar"),
        (
            "C$2.50 or A$3k",
            "two Canadian dollars and fifty cents or three thousand Australian dollars",
        ),
        ("US $5", "U.S five dollars"),
        ("the US$ rate", "the U.S rate"),
        ("5 €", "five euros"),
        ("$5/month", "five dollars per month"),
        ("50 %", "fifty percent"),
        ("5-10%", "five to ten percent"),
        ("1 ms", "one millisecond"),
        ("200 ms", "two hundred milliseconds"),
        ("30s", "thirty seconds"),
        ("200 MB/s", "two hundred megabytes per second"),
        ("1 fps", "one frame per second"),
        ("50 qps", "fifty queries per second"),
        ("2 GHz", "two gigahertz"),
        ("6 ft", "six feet"),
        ("20 °C", "twenty degrees Celsius"),
        ("12 km/h", "twelve kilometers per hour"),
        # Dates and times.
        ("1:30", "one thirty"),
        ("9:05 p.m.", "nine oh five P.M"),
        ("10:00", "ten o'clock"),
        ("14:00", "fourteen hundred"),
        ("10:30:15", "ten thirty and fifteen seconds"),
        ("9am", "nine A.M"),
        ("2024-05-03", "May third, twenty twenty-four"),
        ("2024-13-03", "twenty twenty-four to thirteen to zero three"),
        ("12/31/99", "December thirty-first, nineteen ninety-nine"),
        ("31/12/2024", "December thirty-first, twenty twenty-four"),
        ("May 3rd, 2024", "May third, twenty twenty-four"),
        ("Sept. 11", "September eleventh"),
        ("May 45", "May forty-five"),
        ("3 May", "the third of May"),
        ("the 3rd of May", "the third of May"),
        ("99 May", "ninety-nine May"),
        # Abbreviations.
        ("e.g. this", "for example this"),
        ("logs, etc.", "logs, et cetera."),
        ("Dr. Smith vs. Mr. Jones", "Doctor Smith versus Mister Jones"),
        # What looks like one of these, and is not.
        ("it is us", "it is us"),
        ("IT in the US", "I.T in the U.S"),
        ("Category", "Category"),
        ("It's fine.", "It's fine."),
        ("[word](/wɜd/)", " word ( wɜd )"),
    ],
)
def test_what_is_written_is_read_as_people_say_it(written: str, spoken: str) -> None:
    assert " ".join(said(written).split()) == spoken.strip()


def test_plain_text_is_not_changed() -> None:
    text = "Tell me about a project that you are proud of, and why: what was yours?"
    reading = ENGLISH.read(text)
    assert reading.text == text
    assert reading.source(5, 2) == (5, 2)


def test_every_word_is_placed_in_the_sentence_it_comes_from() -> None:
    text = "In 2024, p99 of nginx at $5/month fell by 50 % (e.g. CI/CD)."
    reading = ENGLISH.read(text)
    places = {}
    for match in re.finditer(r"[\w.'-]*\w", reading.text):
        offset, length = reading.source(match.start(), len(match[0]))
        places.setdefault(text[offset : offset + length], []).append(match[0])
    assert places == {
        "In": ["In"],
        "2024": ["twenty", "twenty-four"],
        "p99": ["P", "ninety-nine"],
        "of": ["of"],
        "nginx": ["engine", "X"],
        "at": ["at"],
        "$5": ["five", "dollars"],
        "/month": ["per", "month"],
        "fell": ["fell"],
        "by": ["by"],
        "50 %": ["fifty", "percent"],
        "e.g.": ["for", "example"],
        "CI/CD": ["C.I.C.D"],
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "9" * 5000,
        "1/" * 2000,
        "a" * 5000,
        "[" * 4000,
        "1.1" * 1500,
        "@." * 2000,
        "\0" * 4000,
        "$1-" * 1300,
        "aA" * 2000,
        "v1." * 1300,
    ],
)
def test_hostile_text_is_read_in_bounded_time(text: str) -> None:
    assert len(said(text)) < 20 * len(text) + 10


# --- the lexicon ---------------------------------------------------------------------------------


def test_parleys_own_lexicon_can_be_read() -> None:
    assert len(read_lexicon(LEXICON)) > 200


def test_an_operators_entry_wins_and_adds() -> None:
    reader = Pronunciation({"nginx": "N jinx", "Zyx": "zicks"})
    assert reader.read("NGINX and zyx").text == "N jinx and zicks"


def test_a_word_in_capitals_only_is_found_as_it_is_written() -> None:
    reader = Pronunciation({"WHO": "W H O"})
    assert reader.read("who asked the WHO").text == "who asked the W.H.O"


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("pros, pro's and Pro", "advantages, expert's and expert"),
        ("#pros .NET NET", "tag experts dot net mesh"),
        ("Acme Anvil XL, acme anvils", "big anvil, small anvils"),
        ("Acme sells Acme Anvil", "the firm sells small anvil"),
        ("ASs, As", "A.S's, As"),
    ],
)
def test_the_leftmost_and_longest_entry_is_found(text: str, spoken: str) -> None:
    reader = Pronunciation(
        {
            "pro": "expert",
            "pros": "advantages",
            "#pro": "tag expert",
            ".NET": "dot net",
            "NET": "mesh",
            "Acme": "the firm",
            "Acme Anvil": "small anvil",
            "Acme Anvil XL": "big anvil",
            "AS": "A S",
        }
    )
    assert reader.read(text).text == spoken


def test_the_work_for_a_text_does_not_grow_with_the_lexicon() -> None:
    entries = {f"w{number}x": "word" for number in range(MOST_ENTRIES - 1)}
    reader = Pronunciation({**entries, "Zyx": "zicks"})
    text = "Tell Zyx about W77x, w88xs and the API."
    assert reader.read(text).text == "Tell zicks about word, words and the A.P.I."
    patterns = [found.pattern.pattern for of in reader._patterns.values() for found in of]
    assert len(patterns) < 8
    assert max(map(len, patterns)) < 120


def test_a_lexicon_is_a_file_of_lines(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text(
        "\ufeff# Ours\n\n  nginx = engine X  \nC# = C sharp\n#tag = hash tag\n", "utf-8"
    )
    assert read_lexicon(path) == {"nginx": "engine X", "C#": "C sharp", "#tag": "hash tag"}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("nginx engine", "no ' = ' between a word and how it is said: 'nginx engine'"),
        ("nginx = ", "no ' = ' between a word and how it is said: 'nginx ='"),
        ("++ = plus", "'++' has no letter or figure"),
        ("x1 = 1", "'1' must be English words: letters, spaces, apostrophes, hyphens and dots"),
        ("a = " + "b" * 200, "it is longer than 200 characters"),
    ],
)
def test_a_broken_line_is_refused_with_its_number(line: str, problem: str) -> None:
    with pytest.raises(LexiconError) as caught:
        parse_lexicon(f"# words\nab = a b\n{line}\n", "words.txt")
    assert str(caught.value) == f"words.txt, line 3: {problem}"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    with pytest.raises(LexiconError, match=r"words.txt cannot be read: No such file"):
        read_lexicon(path)
    with pytest.raises(LexiconError, match=r"cannot be read: Is a directory"):
        read_lexicon(tmp_path)
    path.write_bytes(b"a = b\n\xff = c\n")
    with pytest.raises(LexiconError, match=r"words.txt, line 2: it is not UTF-8"):
        read_lexicon(path)
    path.write_bytes(b"# \n" * 400_000)
    with pytest.raises(LexiconError, match=r"words.txt is larger than 1 MiB"):
        read_lexicon(path)
    path.write_text("".join(f"w{n} = w\n" for n in range(10_001)))
    with pytest.raises(LexiconError, match=r"words.txt: it has more than 10000 entries"):
        read_lexicon(path)
