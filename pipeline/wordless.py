"""Whether a text says anything: signs without a letter or digit do not. Pure.

Servers that fail give such texts as answers (`{}[]<>`, replacement characters), and recognisers
give them for music and noise (`♪♪ [?] ♪♪`).
"""

from dataclasses import replace

from pipeline.frames import Transcript


def has_words(text: str) -> bool:
    """Whether the text has a letter or a digit of any script (the Unicode categories L and N)."""
    return any(map(str.isalnum, text))


def worded(transcript: Transcript) -> Transcript:
    """The transcript, or the same one without text where its text has no letter or digit."""
    if not transcript.text or has_words(transcript.text):
        return transcript
    return replace(transcript, text="", words=())
