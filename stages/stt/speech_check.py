"""Whether a recogniser's text is what a person said, or what the recogniser made up. Pure.

Whisper was trained on subtitles, and writes some for sound without speech: a full stop, "you",
"Thanks for watching!", a description in brackets, its own prompt, or one phrase until its decoder
is full. Other recognisers that learnt from the same kind of data do so, too. `judge` takes what is
known of a transcript, from any recogniser, and returns the text that counts, or why none does.

The limits were measured with tiny.en in int8 on silence, noise (-60 to -25 dB), mains hum, breath,
clicks, a hummed vowel and notes of music, 0.1 to 8 s of each, beside 73 clips of speech:

=====================  =====================================  ==============
                       no speech                              speech
=====================  =====================================  ==============
no-speech probability  0.53 to 0.95                           0.00 to 0.60
mean log probability   -0.95 to -1.8 (-1.8 to -2.7 if hints   -0.04 to -0.65
                       were given)
=====================  =====================================  ==============

The two together are the rule of OpenAI's reference decoder (Radford et al., 2022: 0.6 and -1.0),
moved between the two sets. The limit of the compression ratio, 2.4, is that decoder's, too.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from stages.stt._described_sounds import describes, is_laughter, plain_words, without_sounds
from stages.stt._subtitle_lines import CREDITS, DOUBTFUL, POLITE, SUBTITLE, UNLIKELY

Reason = Literal[
    "", "silence", "no words", "no speech", "improbable", "repeated", "hints", "subtitles"
]
"""Why no text counts; "" if the text counts."""

SILENT_DB = -60.0
"""Audio whose loudest 50 ms are below this (RMS, full scale 0) has no speech that can be heard."""

NO_SPEECH_PROB, NO_SPEECH_LOGPROB = 0.5, -0.8
"""No speech if the probability of silence is above the first and the text's below the second."""

SILENT_PROB, SILENT_LOGPROB = 0.8, -0.4
"""The same if silence is all but certain: a loop over the hints is more probable (-0.54)."""

IMPROBABLE_LOGPROB = -1.5
"""A text that is less probable than this was not said, whatever else is known."""

MOST_COMPRESSION = 2.4
"""Text that zlib makes smaller than this repeats itself."""

WORDS_PER_S, MORE_WORDS = 7.0, 6
"""The most words that a person says: the first number for each second, plus the second number."""

_DOUBTFUL_PROB, _DOUBTFUL_LOGPROB = 0.3, -0.5
"""Between speech and none: here a polite word, nothing but hints, or brackets are not believed."""

_ENDS = ".,;:!?\u2026"

_PIECE_CHARACTERS = 600
"""About half a minute of speech: the ratio grows with the length of a text that repeats nothing."""

_SENTENCE_WORDS = 6
"""A hint of this many words is the sentence around the hints, which is nobody's whole answer."""

_LONGEST_PHRASE = 12
_MOST_TIMES = (8, 4)
"""How often one word, and a phrase of several words, may be said in a row."""

_DOUBTFUL_LINES = frozenset(
    {
        *(
            "you",
            "thank you",
            "thank you very much",
            "thanks",
            "bye",
            "bye bye",
            "see you next time",
        ),
        *("thank you for listening", "thanks for listening", "okay", "oh", "so", "the"),
        *("foreign", "music", "applause", "laughter", "silence"),
    }
)
"""Texts that Whisper writes for noise but people also say: believed unless they are doubtful."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A transcript as a recogniser gave it, and what the recogniser told about it.

    `avg_logprob` is the mean logarithm of a token's probability, `no_speech_prob` the probability
    that there is no speech, `loudest_db` the level of the loudest 50 ms (RMS, full scale 0); each
    is None if it is not known. `hints` are the terms that the recogniser was given, in order.
    `compression_ratio` is the recogniser's own, and tells of a loop that it has shortened.
    `language` is the code of what is spoken, if that is known.
    """

    text: str
    audio_s: float
    avg_logprob: float | None = None
    no_speech_prob: float | None = None
    loudest_db: float | None = None
    hints: Sequence[str] = ()
    compression_ratio: float | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The text that counts; "" for none, and then the reason."""

    text: str
    reason: Reason = ""


def judge(heard: Hypothesis) -> Verdict:
    """The words of a hypothesis that a person said.

    Descriptions of sounds are taken out of a text that has words besides. A phrase said over and
    over is kept once; a text that is mostly such a phrase is none where there may be no speech, or
    no time to say it. How probable it is tells nothing: a loop is probable to its writer.

    >>> judge(Hypothesis("[BLANK_AUDIO]", 2.0))
    Verdict(text='', reason='no words')
    >>> judge(Hypothesis("(door closes) Thank you.", 2.0))
    Verdict(text='Thank you.', reason='')
    """
    silence, logprob = heard.no_speech_prob or 0.0, heard.avg_logprob or 0.0
    doubtful = silence > _DOUBTFUL_PROB and logprob < _DOUBTFUL_LOGPROB
    unsure = doubtful or (heard.avg_logprob is None and heard.no_speech_prob is None)
    text = without_sounds(heard.text, doubtful=doubtful, unsure=unsure, language=heard.language)
    plain = plain_words(text)
    reason: Reason = ""
    if not plain or is_laughter(plain, doubtful=doubtful):
        reason = "no words"
    elif heard.loudest_db is not None and heard.loudest_db < SILENT_DB:
        reason = "silence"
    elif (silence > NO_SPEECH_PROB and logprob < NO_SPEECH_LOGPROB) or (
        silence > SILENT_PROB and logprob < SILENT_LOGPROB
    ):
        reason = "no speech"
    elif logprob < IMPROBABLE_LOGPROB:
        reason = "improbable"
    elif _is_hints(plain, heard, doubtful=doubtful):
        reason = "hints"
    elif (
        plain in _CREDITS
        or SUBTITLE.fullmatch(plain)
        or (unsure and UNLIKELY.fullmatch(plain))
        or (doubtful and _may_be_subtitle(plain))
    ):
        reason = "subtitles"
    if reason:
        return Verdict("", reason)
    once = _once(text)
    said, kept = len(text.split()), len(once.split())
    made_up = silence > _DOUBTFUL_PROB or said > _most_words(heard.audio_s)
    made_up = made_up or plain_words(once) in _DOUBTFUL_LINES  # "you you you you", for a hum
    if (kept * 2 < said and made_up) or repeats(once, heard.audio_s):
        return Verdict("", "repeated")
    if (heard.compression_ratio or 0.0) > MOST_COMPRESSION and len(once.split()) <= _LONGEST_PHRASE:
        return Verdict("", "repeated")  # the recogniser has kept one phrase of a loop
    return Verdict(once)


def repeats(text: str, audio_s: float) -> bool:
    """Whether a text repeats itself, or has more words than can be said in the time."""
    starts = range(0, len(text), _PIECE_CHARACTERS)
    if any(compression(text[at : at + _PIECE_CHARACTERS]) > MOST_COMPRESSION for at in starts):
        return True
    return len(text.split()) > _most_words(audio_s)


def _most_words(audio_s: float) -> float:
    return WORDS_PER_S * audio_s + MORE_WORDS


def compression(text: str) -> float:
    """How much smaller zlib makes a text; about 1 to 1.7 for an answer."""
    data = text.encode()
    return len(data) / len(zlib.compress(data))


def _once(text: str) -> str:
    """The text with every phrase that is said too often in a row kept once."""
    words = text.split()
    plain = [plain_words(word) for word in words]
    kept: list[str] = []
    at = 0
    while at < len(words):
        length = times = 1
        for length in range(1, _LONGEST_PHRASE + 1):
            phrase = plain[at : at + length]
            times = 1
            while plain[at + times * length : at + (times + 1) * length] == phrase:
                times += 1
            if times > _MOST_TIMES[length > 1]:
                break
        else:
            length = times = 1
        kept += words[at : at + length]
        at += times * length
        if times > 1:  # "No, no, no." ends as it ended
            last = words[at - 1]
            kept[-1] = kept[-1].rstrip(_ENDS) + last[len(last.rstrip(_ENDS)) :]
    return " ".join(kept)


def _is_hints(plain: str, heard: Hypothesis, *, doubtful: bool) -> bool:
    """Whether a text is a piece of the prompt, in the prompt's order.

    One term is an answer unless it is doubtful. Six in a row are no accident, and three are none
    where the recogniser did not tell how sure it was. What begins with a whole sentence of the
    prompt goes on with any of its terms.
    """
    prompt = [term for hint in heard.hints if (term := plain_words(hint))]
    sentence = prompt[0] if prompt and prompt[0].count(" ") >= _SENTENCE_WORDS - 1 else None
    if sentence is not None and plain.startswith(sentence):
        return True
    whole = " ".join(prompt)
    if len(prompt) > 1 and len(plain) > len(whole):  # said again from its beginning
        return plain == " ".join([whole] * ((len(plain) + 1) // (len(whole) + 1)))
    if f" {plain} " not in f" {whole} ":
        return False
    if any(term.count(" ") >= _SENTENCE_WORDS - 1 and term in plain for term in prompt):
        return True
    terms = sum(f" {hint} " in f" {plain} " for hint in prompt)
    unknown = heard.avg_logprob is None and heard.no_speech_prob is None
    return terms == len(prompt) > 1 or terms >= (1 if doubtful else 3 if unknown else 6)


def _may_be_subtitle(plain: str) -> bool:
    """Whether Whisper writes this for noise; people say it, too."""
    if plain in _DOUBTFUL_LINES or plain in _POLITE or describes(plain):
        return True
    return DOUBTFUL.fullmatch(plain) is not None


_CREDITS = frozenset(plain_words(line) for lines in CREDITS.values() for line in lines)
_POLITE = frozenset(map(plain_words, POLITE))
