"""What counts as said, as tables."""

from typing import Any

import pytest

from stages.stt._subtitle_lines import CREDITS, POLITE
from stages.stt.speech_check import Hypothesis, Verdict, compression, judge

NOISE = {"avg_logprob": -1.1, "no_speech_prob": 0.93}
SURE = {"avg_logprob": -0.2, "no_speech_prob": 0.05}
UNSURE = {"avg_logprob": -0.6, "no_speech_prob": 0.45}
HINTS = ("Python", "Docker", "Kubernetes", "Google Cloud", "unit tests", "Redis", "gRPC")


def reason(text: str, audio_s: float = 3.0, **known: Any) -> str:
    verdict = judge(Hypothesis(text, audio_s, **known))
    assert (verdict.text == "") == (verdict.reason != "")
    return verdict.reason


@pytest.mark.parametrize(
    "text",
    [
        "Thank you.",
        "Thank you for listening.",
        "Yes.",
        "You.",
        "Okay.",
        "Music.",
        "Docker.",
        "Docker, Kubernetes.",
        "No, no, no, no. I have never done that.",
        "It was very, very, very, very slow.",
        "We had to share the data and comment the code.",
        "I translated the page, and my friend read it.",
        "2014.",
        "C++",
        "\u6211\u7528 Python",
    ],
)
def test_an_answer_stays_as_it_is(text: str) -> None:
    assert judge(Hypothesis(text, 3.0, **SURE, hints=HINTS)) == Verdict(text)
    assert judge(Hypothesis(text, 3.0)) == Verdict(text)  # a recogniser that tells nothing else


@pytest.mark.parametrize(
    "text", ["Yes.", "No.", "I think so.", "Thank you all.", "Thank you. I am glad to be here."]
)
def test_a_short_answer_of_which_the_recogniser_is_not_sure_stays(text: str) -> None:
    assert judge(Hypothesis(text, 1.0, **UNSURE, hints=HINTS)) == Verdict(text)


@pytest.mark.parametrize(
    ("text", "known", "why"),
    [
        ("Thank you for watching!", NOISE, "no speech"),
        ("We used Redis.", NOISE, "no speech"),
        ("We used Redis.", {"avg_logprob": -0.54, "no_speech_prob": 0.93}, "no speech"),
        ("Docker", {"avg_logprob": -2.5, "no_speech_prob": 0.4}, "improbable"),
        ("you", {"loudest_db": -70.0}, "silence"),
        ("you", UNSURE, "subtitles"),
        ("Thank you.", UNSURE, "subtitles"),
        ("Thanks for listening!", UNSURE, "subtitles"),
    ],
)
def test_what_the_recogniser_doubts_is_no_answer(
    text: str, known: dict[str, float], why: str
) -> None:
    assert reason(text, **known) == why


@pytest.mark.parametrize(
    "text",
    [
        "Thanks for watching!",
        "Thank you so much for watching this video.",
        "Please subscribe.",
        "Please like and subscribe to my channel!",
        "Don't forget to subscribe and hit the bell.",
        "I'll see you in the next video.",
        "Subtitles by the Amara.org community",
        "Untertitel der Amara.org-Community",
        "Untertitelung des ZDF f\u00fcr funk, 2017",
        "Vielen Dank f\u00fcrs Zuschauen!",
        "\u00a9 All rights reserved",
        "Thanks for watching, see you next time!",
        "Subtitles from the Amara.org community",
        "Translated by the Amara.org community",
        "Subs by www.zeoranger.co.uk",
        "Transcribed by https://otter.ai",
        "Copyright WDR 2021",
        "\u00a9 WDR 2020",
        "Copyright Australian Broadcasting Corporation",
        "WDR mediagroup GmbH im Auftrag des WDR",
        "Untertitelung im Auftrag des ZDF, 2021",
        "Untertitel: ARD Text im Auftrag von Funk (2017)",
    ],
)
def test_a_line_of_subtitles_is_no_answer_however_sure_the_recogniser_is(text: str) -> None:
    assert reason(text, **SURE) == "subtitles"


@pytest.mark.parametrize(
    "text",
    [
        "Captions by Someone",
        "Captions created by our own model.",
        "Transcription by a model running on the edge.",
        "Untertitel habe ich f\u00fcr das Videoportal gebaut.",
        "Thanks for watching my demo.",
        "www.example.com",
        "Copyright law was my subject.",
    ],
)
def test_what_begins_like_a_line_of_subtitles_is_an_answer_unless_it_is_doubtful(text: str) -> None:
    assert judge(Hypothesis(text, 3.0, **SURE)) == Verdict(text)
    assert judge(Hypothesis(text, 3.0)) == Verdict(text)
    assert reason(text, **UNSURE) == "subtitles"


@pytest.mark.parametrize(
    "text",
    [
        *("Amara.org", "www.amara.org", "SWR 2021", "The end.", "by Amara.org"),
        *("From Amara.org, mostly.", "Translated by volunteers from Amara.org in Berlin."),
        *("Im Auftrag des WDR.", "WDR, im Auftrag des NDR."),
        *("Copyright 2020, I think it was.", "Copyright 2019 GPL."),
        *("Transcribed by Otter AI, and then I corrected it.", "Captions by www consortium rules."),
    ],
)
def test_a_credit_that_may_be_an_answer_is_believed_of_a_recogniser_that_is_sure(text: str) -> None:
    assert judge(Hypothesis(text, 3.0, **SURE)) == Verdict(text)
    assert reason(text) == reason(text, **UNSURE) == "subtitles"


@pytest.mark.parametrize(
    "text",
    [
        "I translated films for Amara.org.",
        "Copyright law was my subject.",
        "I worked for WDR in 2021.",
        "We had the copyright for 2021.",
        "The end of the queue is read first.",
    ],
)
def test_who_speaks_of_films_and_rights_is_heard(text: str) -> None:
    assert judge(Hypothesis(text, 3.0)) == Verdict(text)


@pytest.mark.parametrize(
    ("text", "sure"),
    [
        ("\u266a music playing \u266a", ""),
        ("\u266a la la la \u266a", ""),
        ("# I love you #", ""),
        ("\U0001f3b5 soft music playing", ""),
        ("\u266a Hello, can you hear me?", "Hello, can you hear me?"),
        ("\u266a I love you \u266a We used Redis.", "We used Redis."),
        (
            "\u266a I would look at the logs and then add an index \u266a",
            "I would look at the logs and then add an index",
        ),
    ],
)
def test_what_is_marked_as_music_is_believed_of_a_sure_recogniser_if_it_is_long(
    text: str, sure: str
) -> None:
    assert judge(Hypothesis(text, 5.0, **SURE)).text == sure
    short = "We used Redis." if "Redis" in text else ""
    assert judge(Hypothesis(text, 5.0)).text == judge(Hypothesis(text, 5.0, **UNSURE)).text == short


@pytest.mark.parametrize(
    "text",
    [
        "ha ha ha",
        "Ha, ha, ha, ha!",
        "Hahaha.",
        "Hehehe",
        "Ho ho ho!",
        "jajaja",
        "\u0445\u0430-\u0445\u0430-\u0445\u0430",
        "\u54c8\u54c8\u54c8",
        "\u314b\u314b\u314b",
        "\ud558\ud558\ud558",
    ],
    ids=ascii,
)
def test_a_laugh_is_no_answer(text: str) -> None:
    assert reason(text, **SURE) == reason(text) == reason(text, **UNSURE) == "no words"


@pytest.mark.parametrize("text", ["Haha.", "ha ha", "heh"])
def test_a_short_laugh_is_no_answer_where_it_is_doubtful(text: str) -> None:
    assert judge(Hypothesis(text, 1.0, **SURE)) == judge(Hypothesis(text, 1.0)) == Verdict(text)
    assert reason(text, **UNSURE) == "no words"


@pytest.mark.parametrize(
    "text",
    [
        "Ha ha ha, that was my first bug. It ran for a week.",
        "Well, haha, no.",
        "Ja, ja, ja.",
        "Hi, hi, hi.",
        "Aha.",
        "The hash of a hash.",
    ],
)
def test_who_laughs_inside_an_answer_is_heard(text: str) -> None:
    for known in ({}, SURE, UNSURE):
        assert judge(Hypothesis(text, 4.0, **known)) == Verdict(text)


@pytest.mark.parametrize(
    ("text", "doubtful"),
    [
        (
            "I would take the second one (latter).",
            "I would take the second one (latter).",
        ),
        ("the queue (former), not (sic) that one", "the queue (former), not (sic) that one"),
        ("a cache (or Redis) and (i.e. none)", "a cache (or Redis) and (i.e. none)"),
        ("we say it (yes) and that (no)", "we say it (yes) and that (no)"),
        ("our (typing) rules", "our rules"),
        ("it was (static) at first", "it was at first"),
        ("the water of the (taps) was cold", "the water of the was cold"),
    ],
)
def test_a_word_in_brackets_that_names_a_sound_elsewhere_was_said(text: str, doubtful: str) -> None:
    assert judge(Hypothesis(text, 4.0, **SURE)) == judge(Hypothesis(text, 4.0)) == Verdict(text)
    assert judge(Hypothesis(text, 4.0, **UNSURE)) == Verdict(doubtful)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("(latter)", ""),
        ("Det var sjovt (latter)", "Det var sjovt"),
        ("Az volt (taps)", "Az volt"),
        ("I would look at the logs. (typing)", "I would look at the logs."),
        ("I would (laughs) look", "I would look"),
        ("the logs (music)", "the logs"),
        ("our [typing] rules", "our rules"),
    ],
)
def test_a_sound_in_brackets_is_left_out(text: str, kept: str) -> None:
    assert judge(Hypothesis(text, 4.0, **SURE)).text == kept


@pytest.mark.parametrize(
    ("text", "language", "kept"),
    [
        ("Taps (taps)", None, "Taps (taps)"),
        ("Taps (taps)", "en", "Taps (taps)"),
        ("Taps (taps)", "hu", "Taps"),
        ("Take option two (latter)", "en", "Take option two (latter)"),
        ("Take option two (latter)", "en-GB", "Take option two (latter)"),
        ("They drip (taps)", None, "They drip (taps)"),
        ("Det var sjovt (latter)", "da", "Det var sjovt"),
        ("Jeg arbejder i IT (latter)", None, "Jeg arbejder i IT"),
        ("So was that my joke (latter)", "no", "So was that my joke"),
        ("Taps. (taps)", "en", "Taps."),
        ("Taps [taps]", "en", "Taps"),
        ("It broke (laughs)", "en", "It broke"),
        ("(laughs)", "en", ""),
        ("(taps)", "en", ""),
    ],
)
def test_the_language_tells_whether_a_word_in_brackets_is_a_sound(
    text: str, language: str | None, kept: str
) -> None:
    assert judge(Hypothesis(text, 4.0, **SURE, language=language)).text == kept
    assert judge(Hypothesis(text, 4.0, language=language)).text == kept


@pytest.mark.parametrize(
    ("text", "doubtful"),
    [
        (
            "We used React (the JavaScript library) for the page",
            "We used React for the page",
        ),
        ("It was (and still is) my best work", "It was my best work"),
        ("It returns a List<string> here", "It returns a List here"),
        ("a *b and c* d", "a d"),
        ("Types are checked (static typing) before", "Types are checked before"),
        ("the app [the music one] was mine", "the app was mine"),
    ],
)
def test_what_is_in_brackets_was_said_unless_it_is_a_sound_or_doubtful(
    text: str, doubtful: str
) -> None:
    assert judge(Hypothesis(text, 4.0, **SURE)) == Verdict(text)
    assert judge(Hypothesis(text, 4.0, **UNSURE)) == Verdict(doubtful)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "[音楽]",
        "（拍手）",
        "【背景音乐】",
        "(Música de fondo)",
        "[Applaudissements]",
        "[Музыка] (аплодисменты)",
        "[संगीत]",
        "(박수)",
        "...",
        "[BLANK_AUDIO]",
        "(upbeat music)",
        "*coughs*",
        "\u266a",
        "\u266a \u266a",
        "[ Silence ]",
        "<|nospeech|>",
        "(door closes) [typing]",
        "[MUSIC PLAYING]",
        "(speaking in foreign language)",
        "<noise>",
        "[Applaus]",
    ],
)
def test_a_description_of_sound_is_no_answer(text: str) -> None:
    assert reason(text, **SURE) == "no words"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("(clears throat) I would look at the logs.", "I would look at the logs."),
        ("I would [inaudible] the logs \u266a", "I would the logs"),
        ("the cost was (20%) lower", "the cost was (20%) lower"),
        ("a content delivery network (CDN)", "a content delivery network (CDN)"),
        ("our terms of service (TOS)", "our terms of service (TOS)"),
        ("（笑）キャッシュです。", "キャッシュです。"),
        ("ログ（記録）を見ます。", "ログ（記録）を見ます。"),
    ],
)
def test_words_beside_a_description_stay(text: str, kept: str) -> None:
    assert judge(Hypothesis(text, 3.0, **SURE)) == Verdict(kept)


LOOPS = [
    ("No, " * 8 + "no.", 6.0, "No."),
    ("Ja, " * 9 + "das stimmt.", 6.0, "Ja, das stimmt."),
    ("All right. " * 120, 60.0, "All right."),
    ("I would first look at the logs. " * 8, 30.0, "I would first look at the logs."),
    ("word " * 60, 30.0, "word"),
]


@pytest.mark.parametrize(("text", "audio_s", "once"), LOOPS)
def test_what_was_said_over_and_over_is_kept_once(text: str, audio_s: float, once: str) -> None:
    sure = {"avg_logprob": -0.1, "no_speech_prob": 0.05}
    assert judge(Hypothesis(text, audio_s, **sure)) == Verdict(once)
    assert judge(Hypothesis(text, audio_s)) == Verdict(once)


@pytest.mark.parametrize(("text", "audio_s", "once"), LOOPS)
def test_a_loop_over_what_may_be_no_speech_is_no_answer(
    text: str, audio_s: float, once: str
) -> None:
    assert reason(text, audio_s, avg_logprob=-0.1, no_speech_prob=0.6) == "repeated"


@pytest.mark.parametrize(
    ("text", "audio_s"),
    [
        ("All right. " * 120, 3.0),
        ("you " * 12, 4.0),
        ("y-" * 110, 10.0),
        (" ".join(f"word{number}" for number in range(40)), 3.0),  # 13 words a second
    ],
)
def test_a_phrase_without_end_is_no_answer(text: str, audio_s: float) -> None:
    assert reason(text, audio_s, **SURE) == "repeated"


ANSWER = (
    "I would first look at the logs, find the slow query, and then add an index before changing "
    "any code. My biggest mistake was to trust a number that nobody had checked."
)


def test_an_answer_that_ends_in_a_loop_keeps_its_words() -> None:
    heard = judge(Hypothesis(f"{ANSWER} {'All right. ' * 12}", 40.0, **SURE))
    assert heard == Verdict(f"{ANSWER} All right.")


def test_a_long_answer_is_not_taken_for_a_loop() -> None:
    answer = f"{ANSWER} {' '.join(reversed(ANSWER.split()))}"
    assert compression(answer) < 2.4
    assert judge(Hypothesis(answer, 30.0, **SURE)).text == answer


@pytest.mark.parametrize(
    ("text", "known", "why"),
    [
        ("Python Docker Kubernetes Google Cloud unit tests Redis gRPC", SURE, "hints"),
        ("Python, Docker, Kubernetes, Google Cloud, unit tests, Redis", SURE, "hints"),
        ("Docker, Kubernetes, Google Cloud.", {}, "hints"),
        ("Docker, Kubernetes, Google Cloud.", SURE, ""),
        ("Docker", UNSURE, "hints"),
        ("Kubernetes, Docker, Python.", {}, ""),  # not in the prompt's order: somebody said it
        ("I use Docker and Kubernetes.", UNSURE, ""),
    ],
)
def test_the_hints_are_no_answer(text: str, known: dict[str, float], why: str) -> None:
    assert reason(text, **known, hints=HINTS) == why


def test_no_text_takes_long() -> None:
    for text in (
        "(" * 20_000,
        "a " * 10_000,
        "[x" * 10_000,
        "www " * 5_000,
        "please " * 3_000,
        "ha" * 20_000 + "x",
        "\u266a" * 20_000,
        "\u266a a" * 10_000,
        "a\u266a" * 10_000,
        "a (latter) " * 5_000,
        "a (typing) " * 5_000,
        "a" + " (yes)" * 5_000,
    ):
        judge(Hypothesis(text, 10.0))
        judge(Hypothesis(text, 10.0, **SURE))


def test_the_sentence_before_the_hints_is_no_answer_whatever_follows() -> None:
    hints = ("In this interview we talk about", *HINTS)
    echo = "In this interview we talk about Python, Kubernetes, Kuber"
    assert reason(echo, **SURE, hints=hints) == "hints"
    said = "In this team we talk about Python and Kubernetes."
    assert judge(Hypothesis(said, 3.0, **SURE, hints=hints)) == Verdict(said)


@pytest.mark.parametrize("language", CREDITS)
def test_credits_of_films_are_no_answer_in_any_language(language: str) -> None:
    for line in CREDITS[language]:
        for said in (line, f"{line}.", f" {line} !"):
            assert judge(Hypothesis(said, 3.0)) == Verdict("", "subtitles")


@pytest.mark.parametrize(
    "line",
    [
        "Sous-titres réalisés par la communauté d'Amara.org",
        "Subtítulos por la comunidad de Amara.org",
        "Ondertitels ingediend door de Amara.org gemeenschap",
        "Napisy stworzone przez społeczność Amara.org",
    ],
)
def test_a_credit_of_the_community_is_no_answer(line: str) -> None:
    assert judge(Hypothesis(line, 3.0)).reason == "subtitles"


@pytest.mark.parametrize("line", POLITE)
def test_thanks_are_believed_unless_they_are_doubtful(line: str) -> None:
    assert judge(Hypothesis(line, 3.0, -0.2, 0.1)).text == line
    assert judge(Hypothesis(line, 3.0, -0.7, 0.4)).reason == "subtitles"


@pytest.mark.parametrize(
    "answer",
    [
        "Nous faisions le sous-titrage pour Amara.org avec une équipe de dix personnes.",
        "I worked for Amara.org.",
    ],
)
def test_who_speaks_of_subtitles_is_heard(answer: str) -> None:
    assert judge(Hypothesis(answer, 6.0)).text == answer
