"""The worker's handler with a package of a few lines in place of the real one."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from stages._worker_main import LoadError
from stages.tts import _hibari
from stages.tts._hibari import Hibari, SpeechPart, pieces
from stages.tts._hibari_package import LONGEST, SpeechPlan, Token, UnreadableText, WrongModel
from stages.tts._waveform import BINS, ROW, Floats, Spectra, Waveform
from stages.tts.pronunciation import Pronunciation

ROWS_PER_SYMBOL = 8


class FakePackage:
    """Every letter is a phoneme of 100 ms."""

    def __init__(self, path: object) -> None:
        if str(path) == "damaged":
            raise WrongModel("the voice is damaged")

    def tokens(self, text: str) -> list[Token]:
        return list(tokens(text))

    def plan(self, symbols: str) -> SpeechPlan:
        if "z" in symbols:
            raise RuntimeError("no such phoneme")
        rows = ROWS_PER_SYMBOL * (len(symbols) + 2)
        return SpeechPlan(
            f"_{symbols}_",
            (ROWS_PER_SYMBOL,) * (len(symbols) + 2),
            np.full(rows, 200, np.float32),
            np.ones(rows, np.float32),
            np.zeros((1, 1, rows), np.float32),
        )

    def decode(self, plan: SpeechPlan, first: int, after: int) -> Any:
        return (np.full((BINS, after - first), -3, np.float32),) * 5


def tokens(text: str) -> Iterator[Token]:
    for word in text.split(" "):
        bare = word.rstrip(".,!?")
        marks = word[len(bare) :]
        yield Token(bare, bare.lower(), not marks)
        for mark in marks:
            yield Token(mark, mark, mark == marks[-1])


class Replies(list[tuple[str, int]]):
    """What one job was answered: kinds, and milliseconds of sound."""

    def __init__(self, log: list[str], name: str) -> None:
        self._log, self._name = log, name
        self.headers: list[Any] = []

    def __call__(self, kind: str, header: Any = None, payload: bytes = b"", **_: bool) -> None:
        self._log.append(self._name)
        self.append((kind, len(payload) // 48))
        self.headers.append(header)


@pytest.fixture
def hibari(monkeypatch: pytest.MonkeyPatch) -> Hibari:
    monkeypatch.setattr(_hibari, "HibariPackage", FakePackage)
    monkeypatch.setattr(_hibari, "_WARM_UP", "abc")
    return Hibari({"model": "", "lexicon": {}})


def work(hibari: Hibari) -> None:
    while hibari.work():
        pass


def test_a_sentence_comes_in_slices_of_200_and_800_ms(hibari: Hibari) -> None:
    log: list[str] = []
    replies = Replies(log, "a")
    hibari.handle(1, "speak", {"text": "abcdefghijklmnoprstu"}, b"", replies)  # type: ignore[arg-type]
    work(hibari)
    assert replies == [("speech", 200), ("speech", 800), ("speech", 1200), ("end", 0)]
    words = [tuple(word) for header in replies.headers[:-1] for word in header["words"]]
    assert words == [(0, 20, 75)]
    cues = [cue for header in replies.headers[:-1] for cue in header["cues"]]
    assert cues[-1] == (2200, 0, "sil")
    assert [a[0] + a[1] for a in cues[:-1]] == [b[0] for b in cues[1:]]
    assert all(cue[0] < 200 for cue in replies.headers[0]["cues"])


def test_slices_are_as_loud_as_the_whole_sentence(
    hibari: Hibari, monkeypatch: pytest.MonkeyPatch
) -> None:
    sounds: list[Floats] = []

    class Kept(Waveform):
        def add(self, spectra: Spectra) -> Floats:
            sounds.append(super().add(spectra))
            return sounds[-1]

    def loud(plan: SpeechPlan, first: int, after: int) -> Spectra:
        return (np.full((BINS, after - first), 1.2, np.float32),) * 5

    monkeypatch.setattr(_hibari, "Waveform", Kept)
    monkeypatch.setattr(hibari._package, "decode", loud)
    slices = [slice for slice in hibari._say("abcdefghijklmnoprstu") if slice is not None]
    whole = _hibari._LEVEL.apply(np.concatenate(sounds), _hibari.RATE_HZ)
    assert len(slices) == 3
    assert int(np.abs(whole.astype(int)).max()) > 20_000  # the limiter has work
    assert b"".join(slice.pcm for slice in slices) == whole.tobytes()


def test_two_parts_follow_one_another_in_time(hibari: Hibari) -> None:
    replies = Replies([], "a")
    hibari.handle(1, "speak", {"text": "ab. cd."}, b"", replies)  # type: ignore[arg-type]
    work(hibari)
    words = [tuple(word) for header in replies.headers[:-1] for word in header["words"]]
    first_ms = 12.5 * ROWS_PER_SYMBOL * len("_ab._")
    assert words == [(0, 2, 75), (4, 2, first_ms + 75)]


def test_a_new_sentence_begins_before_a_long_one_goes_on(hibari: Hibari) -> None:
    log: list[str] = []
    hibari.handle(1, "speak", {"text": "abcdefghi" * 6}, b"", Replies(log, "long"))  # type: ignore[arg-type]
    while log.count("long") < 3:
        hibari.work()
    hibari.handle(2, "speak", {"text": "abc"}, b"", Replies(log, "short"))  # type: ignore[arg-type]
    work(hibari)
    assert log[:6] == ["long", "long", "long", "short", "short", "short"]
    assert set(log[6:]) == {"long"}


def test_sentences_that_come_together_share_the_process(hibari: Hibari) -> None:
    log: list[str] = []
    for job, name in enumerate("ab"):
        hibari.handle(job, "speak", {"text": "abcdefghi" * 4}, b"", Replies(log, name))  # type: ignore[arg-type]
    work(hibari)
    assert log[:6] == ["a", "b", "a", "b", "a", "b"]


def test_a_cancelled_sentence_is_left_between_two_slices(hibari: Hibari) -> None:
    replies = Replies([], "a")
    hibari.handle(1, "speak", {"text": "abcdefghi" * 4}, b"", replies)  # type: ignore[arg-type]
    while not replies:
        hibari.work()
    hibari.cancel(1)
    hibari.cancel(1)
    assert not hibari.work()
    assert replies == [("speech", 200)]


def test_a_sentence_that_fails_leaves_the_others_alone(hibari: Hibari) -> None:
    failed, said = Replies([], "a"), Replies([], "b")
    hibari.handle(1, "speak", {"text": "z"}, b"", failed)  # type: ignore[arg-type]
    hibari.handle(2, "speak", {"text": "abc"}, b"", said)  # type: ignore[arg-type]
    work(hibari)
    assert failed == [("failed", 0)]
    assert failed.headers == [{"text": "RuntimeError: no such phoneme"}]
    assert said[-1] == ("end", 0)


def test_a_text_that_the_phonemiser_fails_on_is_refused_before_the_first_sound(
    hibari: Hibari, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(text: str) -> list[Token]:
        if "?" in text:
            raise UnreadableText("ValueError: no number")
        return list(tokens(text))

    monkeypatch.setattr(hibari._package, "tokens", unreadable)
    refused, broken, said = (Replies([], name) for name in "abc")
    hibari.handle(1, "speak", {"text": "ab?"}, b"", refused)  # type: ignore[arg-type]
    hibari.handle(2, "speak", {"text": f"{'word ' * 62}. ab?"}, b"", broken)  # type: ignore[arg-type]
    hibari.handle(3, "speak", {"text": "abc"}, b"", said)  # type: ignore[arg-type]
    work(hibari)
    assert refused == [("unreadable", 0)]
    assert refused.headers == [{"text": "ValueError: no number"}]
    assert [kind for kind, _ in broken][-2:] == ["speech", "failed"]
    assert said[-1] == ("end", 0)


def test_an_unknown_message_is_refused(hibari: Hibari) -> None:
    with pytest.raises(ValueError, match="unknown message 'sing'"):
        hibari.handle(1, "sing", {}, b"", Replies([], "a"))  # type: ignore[arg-type]


def test_a_damaged_voice_is_an_error_for_the_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_hibari, "HibariPackage", FakePackage)
    with pytest.raises(LoadError, match="the voice is damaged"):
        Hibari({"model": "damaged", "lexicon": {}})


# --- parts ---------------------------------------------------------------------------------------


def parts(hibari: Hibari, text: str) -> list[SpeechPart]:
    return [part for part in hibari._parts(Pronunciation().read(text)) if part is not None]


def symbols(hibari: Hibari, text: str) -> list[str]:
    return [part.symbols for part in parts(hibari, text)]


def test_each_sentence_is_a_part(hibari: Hibari) -> None:
    assert symbols(hibari, "one two. three! four, five") == ["one two.", "three!", "four, five"]


def test_what_closes_a_sentence_stays_with_it(
    hibari: Hibari, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = [Token("go", "go", False), Token(".", ".", False), Token('"', "”", True)]
    said = [*marks, Token("so", "so", False)]
    monkeypatch.setattr(hibari._package, "tokens", lambda text: said)
    assert symbols(hibari, 'go." so') == ["go.”", "so"]


def test_a_part_without_a_sound_is_left_out(hibari: Hibari) -> None:
    assert symbols(hibari, "one. ... two") == ["one.", "two"]


def test_a_long_sentence_is_cut_behind_commas_and_a_longer_one_between_words(
    hibari: Hibari,
) -> None:
    clause = " ".join(["word"] * 40)  # 199 symbols
    assert symbols(hibari, f"{clause}, {clause}.") == [f"{clause},", f"{clause}."]
    assert symbols(hibari, f"{clause}. {clause}.") == [f"{clause}.", f"{clause}."]
    found = symbols(hibari, " ".join(["word"] * 150))
    assert [len(part) for part in found] == [299, 299, 149]
    assert [len(part) for part in symbols(hibari, "a" * 700)] == [300, 300, 100]


def test_phonemes_of_more_than_the_network_takes_are_parted_too(
    hibari: Hibari, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = [Token("word", "w" * 140, True), Token(",", ",", True)]
    monkeypatch.setattr(hibari._package, "tokens", lambda text: long * 3)
    assert [len(part) for part in symbols(hibari, "word, word, word,")] == [285, 142]
    monkeypatch.setattr(hibari._package, "tokens", lambda text: long[:1] * 5)
    assert [len(part) for part in symbols(hibari, "word word")] == [281, 281, 140]
    monkeypatch.setattr(hibari._package, "tokens", lambda text: [Token("w", "w" * 900, False)])
    assert [len(part) for part in symbols(hibari, "w")] == [LONGEST]


def test_words_stand_at_their_symbols_and_in_the_sentence(hibari: Hibari) -> None:
    text = "so p99, $5"
    [part] = parts(hibari, text)
    assert part.symbols == "so p ninety-nine, five dollars"
    assert [
        (part.symbols[word.symbol :][:2], text[word.offset :][: word.length]) for word in part.words
    ] == [
        ("so", "so"),
        ("p ", "p99"),
        ("fi", "$5"),
    ]


def test_words_of_later_pieces_keep_their_places(hibari: Hibari) -> None:
    text = f"{'word ' * 58}end. $5"
    *_, last = parts(hibari, text)
    assert [text[word.offset :] for word in last.words] == ["$5"]
    assert "".join(piece for _, piece in pieces(text)) == text


def test_a_row_is_as_long_as_the_network_says() -> None:
    assert ROW * 1000 / _hibari.RATE_HZ == _hibari.ROW_MS
