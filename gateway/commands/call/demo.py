"""The conversation of `parley call --demo-barge-in`: a false interruption, a real one, an answer.

The clips are package data, not synthesised: so the demonstration also runs on a machine without a
synthesizer, and the length of the "uh-huh" is known. Silero detects 290 to 420 ms of speech in it,
more than the 200 ms that pause a reply and less than the 500 ms that end it. A cough would not
work: Silero rightly detects no speech in it.
"""

from collections.abc import Iterator
from pathlib import Path

from gateway.commands.call.audio import read
from gateway.commands.call.conversation import SpokenTurn

CLIPS = Path(__file__).parent / "clips"
SAVED = Path("barge-in.wav")

ASIDE_INTO_REPLY_MS = 2_000
BARGE_IN_INTO_REPLY_MS = 2_500
"""Within a sentence, so that one part of it is heard and remembered and the other is not."""


def turns() -> Iterator[SpokenTurn]:
    """The person's turns, in order. Raises `UnusableAudio` if a clip is missing."""
    yield SpokenTurn("Uh-huh.", read(CLIPS / "uh-huh.flac"), ASIDE_INTO_REPLY_MS, aside=True)
    yield SpokenTurn(
        "I spent the last four years building web services for a large online shop.",
        read(CLIPS / "answer.flac"),
    )
    yield SpokenTurn(
        "Most of my work was making the checkout faster and easier to test.",
        read(CLIPS / "interruption.flac"),
        BARGE_IN_INTO_REPLY_MS,
    )
    yield SpokenTurn(
        "I would first look at the logs, find the slow query, and then add an index before"
        " changing any code.",
        read(CLIPS / "last.flac"),
    )
