import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sentences import FIRST_CLAUSE_CHARS, LONGEST_CHARS, SentenceSplitter


def split(*deltas: str) -> list[str]:
    splitter = SentenceSplitter()
    pieces = [piece for delta in deltas for piece in splitter.push(delta)]
    return pieces + splitter.finish()


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Hello there. How are you? Good!", ["Hello there.", "How are you?", "Good!"]),
        ("No end", ["No end"]),
        ("Well… Then it broke.", ["Well…", "Then it broke."]),
        ("Really?! Yes.", ["Really?!", "Yes."]),
        ('He said "stop." (Twice.) She left.', ['He said "stop."', "(Twice.)", "She left."]),
        ("  Two \n\t lines.\r\nThree  spaces. ", ["Two lines.", "Three spaces."]),
        ("", []),
        (" \n ", []),
    ],
)
def test_text_is_cut_where_sentences_end(text: str, pieces: list[str]) -> None:
    assert split(text) == pieces


@pytest.mark.parametrize(
    "sentence",
    [
        "Ask Mr. Smith or Dr. Jones.",
        "Use a queue, e.g. Kafka, i.e. a log.",
        "In the U.S. Army it is so.",
        "It is (U.S. Army) property.",
        "The talk (by Mr. Smith) was good.",
        '"Stop!" he said.',
        "J. R. Tolkien wrote it.",
        "It took 3.5 seconds.",
        "Version 1.2.3 broke it.",
        "Well... maybe not.",
        "Well … maybe not.",
        "Bread, milk etc. were there.",
        "At 5 p.m. we left.",
        "1. First do this.",
        "Python 3.11 is fine.",
        "See parley.gateway.cli for it.",
        "It took 3.14 s, 1.000,50 euros, and v2.0 came at 10:30.",
        "We met on 3.10.2024 at noon.",
        "Use Node.js, .NET or C++ for it.",
        'Call asyncio.run(main()) or "foo.bar" in main.py, then stop.',
        "A std::vector<int> is fine.",
        "Write to ann.lee@example.org or see https://example.org/a?b=1.5&c for it.",
        "It is in Fig. 3, vol. 12 and no. 7 of it.",
        "Smith et al. wrote it.",
        # German
        "Am 3. Oktober und im 19. Jahrhundert war das z. B. bei Dr. Maier bzw. Hr. Klein so.",
        "Das sind d. h. ca. 1.000,50 Euro inkl. MwSt. und mehr.",
        "„Halt!“ sagte er.",
        "Äpfel, Birnen usw. waren da.",
        "Der Termin ist am 3. 10. 2024 im Büro.",
        # French
        "On prend un outil, p. ex. Python, cf. le livre de M. Dupont.",
        "« Halte ! » dit-il.",
        "« Halte. » dit-il.",
        # Spanish, Portuguese, Italian
        "El Sr. García y la Dra. Ruiz usan, p. ej. Python, en EE. UU. desde hoy.",
        "O Sr. Silva usa, por ex. Python, com a Dra. Costa.",
        "Il Sig. Rossi usa, ad es. Python, con il Dott. Bianchi.",
        # Dutch, Polish, Russian
        "Dhr. Jansen gebruikt bijv. Python, d.w.z. een taal, enz. in het werk.",
        "Używam np. Pythona, tzn. języka, m.in. na ul. Długiej.",
        "Это т. е. язык, напр. Python, и т. д. для работы.",
        # Greek, Turkish, Hindi
        "Έχω π.χ. Python και κ. Παπαδόπουλο, κ.λπ. στη δουλειά.",
        "Prof. Yılmaz örn. Python, bkz. kitap, vb. kullanır.",
        "डॉ. शर्मा यहाँ हैं।",
        "... and so it went.",
    ],
)
def test_full_stops_inside_a_sentence_do_not_cut_it(sentence: str) -> None:
    assert split(f"So. {sentence} Next.") == ["So.", sentence, "Next."]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Wait... What?", ["Wait...", "What?"]),
        ("Milk etc. Then bread.", ["Milk etc.", "Then bread."]),
        ("So do I. Then we left.", ["So do I.", "Then we left."]),
        ("It took 3. Then we left.", ["It took 3.", "Then we left."]),
        ("We waited... 5 people came.", ["We waited...", "5 people came."]),
        ("Hello. ? Yes.", ["Hello.", "? Yes."]),
        ("He said no. Then he left.", ["He said no.", "Then he left."]),
        ("Es waren 3. Dann gingen wir.", ["Es waren 3.", "Dann gingen wir."]),
        ("Yes (really.) Then no.", ["Yes (really.)", "Then no."]),
        ("« Oui. » Il part.", ["« Oui. »", "Il part."]),
        ("« Oui. Non. » Il part.", ["« Oui.", "Non. »", "Il part."]),
        ("Ça va ? Très bien !", ["Ça va ?", "Très bien !"]),
        ("Äpfel usw. Dann Birnen.", ["Äpfel usw.", "Dann Birnen."]),
        ("„Halt!“ Er ging.", ["„Halt!“", "Er ging."]),
        ("»Halt.« Er ging.", ["»Halt.«", "Er ging."]),
        (
            "¿Qué tal? ¡Muy bien! Así es. Entonces.",
            ["¿Qué tal?", "¡Muy bien!", "Así es.", "Entonces."],
        ),
        ("Si fa così, ecc. Poi basta.", ["Si fa così, ecc.", "Poi basta."]),
        ("Tudo bem? Sim. Vamos!", ["Tudo bem?", "Sim.", "Vamos!"]),
        ("Goed zo. Ga verder. Ja?", ["Goed zo.", "Ga verder.", "Ja?"]),
        ("Dobrze. Proszę dalej.", ["Dobrze.", "Proszę dalej."]),
        ("Это был я. Хорошо. Дальше?", ["Это был я.", "Хорошо.", "Дальше?"]),
        ("Τι κάνεις; Καλά. Ναι;", ["Τι κάνεις;", "Καλά.", "Ναι;"]),
        ("Nasılsın? İyiyim. Evet!", ["Nasılsın?", "İyiyim.", "Evet!"]),
        ("كيف حالك؟ بخير. نعم!", ["كيف حالك؟", "بخير.", "نعم!"]),
        ("क्या हाल है? ठीक है। चलो।", ["क्या हाल है?", "ठीक है।", "चलो।"]),
        ("آپ کیسے ہیں؟ ٹھیک۔ چلو۔", ["آپ کیسے ہیں؟", "ٹھیک۔", "چلو۔"]),
    ],
)
def test_full_stops_that_may_end_a_sentence_do_so_before_a_new_one(
    text: str, pieces: list[str]
) -> None:
    assert split(text) == pieces


def test_a_sentence_is_given_as_soon_as_white_space_follows_it() -> None:
    splitter = SentenceSplitter()
    assert splitter.push("Hello there.") == []
    assert splitter.push(" ") == ["Hello there."]
    assert splitter.push("How") == []
    assert splitter.finish() == ["How"]
    assert splitter.finish() == []


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("你好。今天好吗？好！", ["你好。", "今天好吗？", "好！"]),
        ("他说“好。”然后走了。", ["他说“好。”", "然后走了。"]),
        ("你好。 再见", ["你好。", "再见"]),
        ("真的！？好", ["真的！？", "好"]),
        ("！好", ["！好"]),
        ("「元気ですか？」と聞いた。はい。", ["「元気ですか？」", "と聞いた。", "はい。"]),
    ],
)
def test_wide_sentence_ends_need_no_white_space(text: str, pieces: list[str]) -> None:
    assert split(text) == pieces


@pytest.mark.parametrize("mark", [",", ";", ":", "—", "–", " -"])
def test_only_the_first_piece_may_end_at_a_clause(mark: str) -> None:
    clause = "x" * (FIRST_CLAUSE_CHARS - 1) + mark
    text = f"{clause} and {clause} so it goes"
    assert split(text) == [clause, f"and {clause} so it goes"]


def test_a_clause_of_chinese_or_japanese_is_long_sooner() -> None:
    clause = "我们来谈谈您最近做过的一个项目，"
    assert split(f"{clause}您做了什么，为什么？") == [clause, "您做了什么，为什么？"]
    assert split("你好，请坐。") == ["你好，请坐。"]


@pytest.mark.parametrize("comma", ["،", "؛"])
def test_arabic_clauses_count(comma: str) -> None:
    clause = "س" * FIRST_CLAUSE_CHARS + comma
    assert split(f"{clause} نعم") == [clause, "نعم"]


@pytest.mark.parametrize(
    ("text", "words", "rest"),
    [
        ("Well, let me thi", "Well, let me", ["thi"]),
        ("Well, let me think ", "Well, let me think", []),
        ("It took 3. ", "It took 3.", []),
        ("Supercalifragilistic", "", ["Supercalifragilistic"]),
        ("— and", "", ["— and"]),
        ("", "", []),
        ("我们来谈谈", "我们来谈谈", []),
    ],
)
def test_the_words_so_far_end_with_a_whole_word(text: str, words: str, rest: list[str]) -> None:
    splitter = SentenceSplitter()
    assert splitter.push(text) == []
    assert splitter.words() == words
    assert splitter.finish() == rest


def test_a_short_first_clause_stays_with_its_sentence() -> None:
    clause = "x" * (FIRST_CLAUSE_CHARS - 2) + ","
    assert split(f"{clause} and on.") == [f"{clause} and on."]


def test_a_number_with_commas_is_no_clause() -> None:
    text = "The service then handled a total of 10,000 requests."
    assert split(text) == [text]


def test_a_long_piece_is_cut_at_its_last_space() -> None:
    words = ["word"] * 100
    pieces = split(" ".join(words))
    assert [len(piece) for piece in pieces] == [299, 199]
    assert " ".join(pieces) == " ".join(words)


def test_a_piece_of_exactly_the_longest_size_stays_whole() -> None:
    whole = "a " + "b" * (LONGEST_CHARS - 2)
    assert split(f"{whole} c") == [whole, "c"]
    assert split(whole[::-1]) == [whole[::-1]]


def test_a_word_that_crosses_the_longest_size_goes_to_the_next_piece() -> None:
    head = "a" * (LONGEST_CHARS - 3)
    assert split(f"{head} bcdef") == [head, "bcdef"]


def test_a_word_longer_than_a_piece_is_cut_inside() -> None:
    assert split("a" * (LONGEST_CHARS + 10)) == ["a" * LONGEST_CHARS, "a" * 10]


texts = st.text(
    st.sampled_from("ab I.Mr.,;:!?…\"')（。！”3—- \n\t«»¿;η我，।؟") | st.characters(codec="utf-8"),
    max_size=400,
) | st.lists(
    st.sampled_from(
        [
            "Mr.",
            "e.g.",
            "etc.",
            "am",
            "3.",
            "z.",
            "« Oui.",
            "»",
            "я.",
            "no.",
            "项目，",
            "Hello",
            "well...",
            "3.5",
            "you?",
            "so,",
            "。",
            "x" * 90,
        ]
    ),
    max_size=40,
).map(" ".join)


@given(texts, st.data())
def test_pieces_do_not_depend_on_the_deltas(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    deltas = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert split(*text) == split(*deltas) == split(text)


@given(texts)
def test_nothing_is_lost_and_no_piece_is_empty_or_too_long(text: str) -> None:
    pieces = split(text)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert all(0 < len(piece) <= LONGEST_CHARS for piece in pieces)
    assert [" ".join(piece.split()) for piece in pieces] == pieces


@given(texts, st.data())
def test_nothing_is_lost_by_not_waiting(text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text)))
    splitter = SentenceSplitter()
    pieces = splitter.push(text[:at])
    pieces.append(splitter.words())
    pieces += splitter.push(text[at:]) + splitter.finish()
    assert "".join("".join(pieces).split()) == "".join(text.split())


def test_five_hundred_pages_are_cut_into_pieces_that_can_be_spoken() -> None:
    page = "This is no sentence that comes to an end, and "
    text = page * 30_000
    pieces = split(text)
    assert " ".join(pieces) == text.strip()
    assert max(map(len, pieces)) <= LONGEST_CHARS


@given(st.lists(st.text("abcI.,;!?… ", min_size=1, max_size=40), max_size=30).map(" ".join))
def test_pieces_joined_by_spaces_are_the_text(text: str) -> None:
    assert " ".join(split(text)) == " ".join(text.split())
