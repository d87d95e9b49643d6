"""How people ask an interviewer for something, as patterns of words. Pure data.

In these patterns white space is ignored and "_" is the gap between two words; the words are as
`hearing.spoken` makes them.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RequestWords:
    """A language's patterns. `filler` words may stand between all others.

    Each of the others is one request or reply: to `repeat` the question, to `skip` it, for `time`,
    `no` and `yes` to what was proposed, and `thanks`. An `apology` alone asks for a repetition;
    beside other words it is a filler. `longest` is how many words a request has at most.
    """

    filler: str
    apology: str
    repeat: str
    skip: str
    time: str
    no: str
    yes: str
    thanks: str
    longest: int = 18
