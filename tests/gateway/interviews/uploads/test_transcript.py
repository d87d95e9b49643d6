"""An uploaded answer's pieces as one answer, and its delivery."""

from gateway.interviews.uploads.segments import Span
from gateway.interviews.uploads.transcript import Part, joined
from pipeline.frames import Transcript, Word
from stages.interview.answers import InterviewAnswer
from stages.interview.delivery import Pause, delivery_of

MS = 16


def span(start_ms: int, end_ms: int) -> Span:
    return Span(start_ms * MS, end_ms * MS)


def part(
    start_ms: int,
    end_ms: int,
    text: str,
    *words: Word,
    provider: str = "whisper",
    note: str = "",
    language: str | None = "en",
    confidence: float | None = None,
) -> Part:
    transcript = Transcript(
        0, text, final=True, language=language, confidence=confidence, words=words
    )
    return Part(span(start_ms, end_ms), transcript, provider, note)


def test_words_have_their_place_in_the_recording_and_none_lies_beyond_its_piece() -> None:
    heard = joined(
        [
            part(500, 3000, "I led", Word("I", 100, 300), Word("led", 300, 700)),
            part(10_000, 12_000, "a team", Word("a", 0, 200), Word("team", 1500, 2400)),
        ],
        [span(600, 2900), span(10_100, 11_900)],
        13_000 * MS,
        first="whisper",
        truncated=True,
    )
    assert heard.text == "I led a team"
    assert heard.words == (
        Word("I", 600, 800),
        Word("led", 800, 1200),
        Word("a", 10_000, 10_200),
        Word("team", 11_500, 12_000),
    )
    assert (heard.duration_ms, heard.truncated) == (13_000, True)
    assert (heard.first_speech_ms, heard.pauses) == (600, (Pause(2900, 7200),))


def test_confidence_is_weighted_and_the_language_is_that_of_most() -> None:
    heard = joined(
        [
            part(0, 3000, "hello", confidence=0.9),
            part(3000, 4000, "hallo", language="de", confidence=0.5),
            part(4000, 9000, "", confidence=0.1),
        ],
        [span(0, 4000)],
        9000 * MS,
        first="whisper",
        truncated=False,
    )
    assert (heard.recognition.confidence, heard.recognition.language) == (0.8, "en")
    assert (heard.recognition.provider, heard.recognition.quality) == ("whisper", "full")


def test_one_piece_by_a_demo_recogniser_makes_all_of_it_demo() -> None:
    heard = joined(
        [
            part(0, 3000, "hello"),
            part(3000, 6000, "there", provider="pocketsphinx", note="demo quality"),
        ],
        [span(0, 6000)],
        6000 * MS,
        first="whisper",
        truncated=False,
    )
    assert (heard.recognition.provider, heard.recognition.quality) == ("pocketsphinx", "demo")
    assert heard.note == "demo quality"


def test_silence_is_an_empty_answer() -> None:
    heard = joined([], [], 5000 * MS, first="whisper", truncated=False)
    assert (heard.text, heard.words, heard.first_speech_ms, heard.pauses) == ("", (), None, ())
    assert heard.recognition.provider == "whisper"
    delivery = delivery_of(InterviewAnswer("Why?", heard.text, speech=heard.speech))
    assert delivery is not None
    assert heard.measured(delivery) == delivery


def test_a_recogniser_without_word_times_leaves_pauses_to_voice_detection() -> None:
    heard = joined(
        [part(700, 11_300, "one two three four five six seven eight nine ten")],
        [span(1000, 4000), span(4400, 6000), span(8000, 11_000)],
        12_500 * MS,
        first="whisper",
        truncated=False,
    )
    delivery = delivery_of(InterviewAnswer("Why?", heard.text, speech=heard.speech))
    assert delivery is not None
    assert (delivery.time_to_first_word_ms, delivery.pause_count) == (None, None)
    measured = heard.measured(delivery)
    assert measured.time_to_first_word_ms == 1000
    assert (
        measured.pause_count, measured.pause_total_ms, measured.pause_longest_ms,
    ) == (1, 2000, 2000)  # fmt: skip
    assert measured.pauses == (Pause(6000, 2000),)
    assert (measured.words_per_minute, measured.talk_ratio) == (60, 0.64)


def test_word_times_are_believed_where_there_are_any() -> None:
    words = [Word(f"w{n}", n * 500, n * 500 + 400) for n in range(10)]
    heard = joined(
        [part(0, 6000, "ten words", *words)],
        [span(400, 5000)],
        6000 * MS,
        first="whisper",
        truncated=False,
    )
    delivery = delivery_of(InterviewAnswer("Why?", heard.text, speech=heard.speech))
    assert delivery is not None
    assert heard.measured(delivery) is delivery
    assert (delivery.time_to_first_word_ms, delivery.pause_count) == (0, 0)
