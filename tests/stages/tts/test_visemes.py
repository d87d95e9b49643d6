import pytest

from pipeline.frames import VISEMES, Viseme
from stages.tts._espeak import EspeakJob, EspeakVoice, engine
from stages.tts.visemes import shapes, timeline

TEXT = """
    about above accident action actually advantage again agree air algorithm analysis answer army
    article asked average awkward azure balance bathe beautiful because beige believe better beyond
    bird blueprint boring bought boys breathe bridge brought budget built burn business button cache
    calm candidate car career cautious challenge change charge choice choir church circuit clothes
    cloud coffee colleague comfortable committee computer conclusion cough could courage crisis
    culture curious customer cute data daughter deadline decision delayed design detour developed
    dialogue differ disaster doubt during earth easy edge education effort eight either engineer
    enough equation error euro every example exhaust experience explore eye failure fair father fear
    feature fewer film finger fire flower foreign forward fought four friend fuel further future
    garage genre girl goal gouge graph great group growth guard half harbour heard heir her
    hierarchy higher honest hour house huge human idea idle improve industry interview iron issue
    January joined joy judge juice key kitchen knowledge labour language large laugh launch
    leadership learned length library lieutenant little logic loyal lure machine manager martyr
    mature measure mechanism method middle million mirror mission module mouth mutual myth nature
    neither neural new night noise north nuance nurture obvious occurred ocean onion opinion option
    orchestra order outage over owner oyster parallel pattern people percent persuade phase phoneme
    picture player pleasure poor power prayer pressure price procedure project psychology pure
    puzzle quality query question queue quiet quota rather razor rear receipt recruit regime
    rehearse release require research rhythm rhyme risk royal rural scenario schedule science search
    senior sequence server several shoulder shower singer skill slower smooth soldier solution
    sought source spirit square staff stage statue steer story strength structure student subtle
    success sure surgeon sword system task teacher team technique temperature tenth theatre their
    theory therefore thing think this thought thousand through tire together tongue tooth torque
    tour toward toys treasure truth tune twelfth unique university upgrade usage usual vague value
    variable vehicle version view virtue vision voice volume voyage vulnerable waiter warm was watch
    weather weird whale wheel whole width wire wolf woman word work world worth would wrath yacht
    year yellow yield young your youth zero zone butter water city getting uh-oh bottle rhythm prism
    couldn't I'll we're they've
"""
WORDS = TEXT.split()


def spoken(voice: str) -> list[tuple[str, int]]:
    """Every phoneme of the word list as the real engine names it."""
    phonemes = []
    for start in range(0, len(WORDS), 20):
        job = EspeakJob()
        text = " ".join(WORDS[start : start + 20])
        engine().run(text, EspeakVoice(voice, 165, 50, 50), job)
        phonemes.extend(job.phonemes)
    return phonemes


@pytest.mark.parametrize("voice", ["en-us", "en", "de", "fr"])
def test_every_mnemonic_of_a_word_list_has_known_shapes(voice: str) -> None:
    mnemonics = {mnemonic for mnemonic, _ in spoken(voice)}
    assert len(mnemonics) > 30
    assert {m for m in mnemonics if shapes(m) is None} == set()


def test_only_wire_shapes_are_used() -> None:
    used = {shape for mnemonic, _ in spoken("en-us") for shape in shapes(mnemonic) or ()}
    assert used == set(VISEMES)


@pytest.mark.parametrize(
    ("mnemonic", "expected"),
    [
        ("b", ("PP",)),
        ("t", ("DD",)),
        ("tS", ("CH",)),
        ("T", ("TH",)),
        ("3:", ("RR",)),
        ("@", ("E",)),
        ("@L", ("E", "nn")),
        ("A:", ("aa",)),
        ("A@", ("aa", "RR")),
        ("'oU", ("oh", "ou")),
        (",aI@", ("aa", "ih", "E")),
        ("aI3", ("aa", "ih", "RR")),
        ("i@3", ("ih", "RR")),
        ("l#", ("nn",)),
        ("_:", ("sil",)),
        ("_|", ("sil",)),
        ("h", ()),
        ("?", ()),
        (";", ()),
        ("(de)", ()),
        ("", ()),
        ("~", None),
    ],
)
def test_the_longest_known_beginning_of_a_mnemonic_counts(
    mnemonic: str, expected: tuple[str, ...] | None
) -> None:
    assert shapes(mnemonic) == expected


def test_a_diphthong_shares_its_time_evenly() -> None:
    assert timeline([("b", 0.0), ("aI", 50.0), ("_:", 170.0)], 400.0) == (
        Viseme(0, 50, "PP"),
        Viseme(50, 60, "aa"),
        Viseme(110, 60, "ih"),
        Viseme(170, 230, "sil"),
    )


def test_equal_neighbours_are_one_cue() -> None:
    assert timeline([("b", 0.0), ("p", 50.0), ("m", 80.0), ("_", 130.0)], 200.0) == (
        Viseme(0, 130, "PP"),
        Viseme(130, 70, "sil"),
    )


def test_equal_neighbours_round_an_unseen_shape_are_one_cue() -> None:
    assert timeline([("b", 0.0), ("s", 50.0), ("b", 50.2), ("_", 90.0)], 100.0) == (
        Viseme(0, 90, "PP"),
        Viseme(90, 10, "sil"),
    )


def test_sounds_without_a_shape_keep_the_mouth_as_it_was() -> None:
    assert timeline(
        [("i:", 0.0), ("h", 60.0), ("~", 90.0), ("u:", 100.0), ("_", 150.0)], 160.0
    ) == (
        Viseme(0, 100, "ih"),
        Viseme(100, 50, "ou"),
        Viseme(150, 10, "sil"),
    )


def test_the_mouth_is_closed_before_the_first_sound() -> None:
    assert timeline([("h", 20.0), ("A:", 70.0), ("_", 200.0)], 300.0)[:2] == (
        Viseme(0, 70, "sil"),
        Viseme(70, 130, "aa"),
    )


def test_speech_that_runs_to_the_end_closes_the_mouth_there() -> None:
    assert timeline([("s", 0.0), ("i:", 50.0)], 120.4) == (
        Viseme(0, 50, "SS"),
        Viseme(50, 70, "ih"),
        Viseme(120, 0, "sil"),
    )


def test_no_phonemes_are_a_closed_mouth() -> None:
    assert timeline([], 250.0) == (Viseme(0, 250, "sil"),)


def test_phonemes_past_the_end_are_cut() -> None:
    assert timeline([("s", 0.0), ("i:", 90.0), ("k", 150.0)], 100.0) == (
        Viseme(0, 90, "SS"),
        Viseme(90, 10, "ih"),
        Viseme(100, 0, "sil"),
    )
