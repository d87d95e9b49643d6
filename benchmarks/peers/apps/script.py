"""What is said in every peer's server, so that all have the same work. Standard library only.

The peers' environments do not have Parley, so this stands beside their programs.
"""

import math
from array import array

ANSWER = (
    "Last month our checkout froze under load, and I traced it to a lock in the database. I moved"
    " the slow query out of the transaction and wrote a test so that it would not come back."
)

REPLY = (
    "Thank you, that is a good example of finding a cause step by step. Let us go on with the next"
    " question. How do you decide what to test first when you have little time?"
)
"""About as many words as a question of Parley's interview has."""

MS_PER_WORD = 120
"""As `gateway.commands.bench.scripted` has it."""

SILENCE_S = 0.8
"""That ends a turn."""

BARGE_IN_S = 0.2
"""Of speech that end a reply."""

RATE_HZ = 16_000


def tone(text: str) -> bytes:
    """A steady tone as long as the text takes: 16 kHz mono PCM16."""
    count = len(text.split()) * MS_PER_WORD * RATE_HZ // 1000
    return array(
        "h", (int(8000 * math.sin(2 * math.pi * 220 * n / RATE_HZ)) for n in range(count))
    ).tobytes()
