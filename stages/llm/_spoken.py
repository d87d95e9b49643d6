"""Filters a language model's text for speech, while the text is still coming. Pure."""

from stages.llm._agent_script import AgentScript
from stages.llm._markdown import PlainText
from stages.llm._reasoning import SaidText
from stages.llm._turn_labels import OneTurn

LIMIT = 1500
"""Characters after which a reply ends with its sentence: about 90 s of speech."""

_OVER = 500
"""After this many more characters it ends between two words; after twice that, anywhere."""

_UNHEARD = dict.fromkeys(
    (
        *(code for code in range(160) if not 31 < code < 127 and code not in b"\t\n\r"),
        0x200B,
        0x2060,
        0xFEFF,
    )
)
"""Control characters, and spaces and joiners without width."""

_ENDS = ".!?…"
_WIDE_ENDS = "。！？"


class SpokenText:
    """Filters one reply: removes reasoning, control tokens, scripts, Markdown; bounds its length.

    The result does not depend on how the text was cut. `unopened` is that of `SaidText`. A reply
    that is `written` keeps its tables and code; of one that is `one_turn` nothing is left of the
    other side's next turn.
    """

    def __init__(
        self, *, written: bool = False, unopened: bool = False, one_turn: bool = False
    ) -> None:
        self._half = ""  # the first half of a surrogate pair
        self._said = SaidText(unopened=unopened)
        self._script = AgentScript(asking=one_turn)
        self._turn = OneTurn(only=one_turn)
        self._plain = PlainText(blocks=written)
        self._last = ""
        self._length = 0
        self.full = False
        """Whether the reply is long enough: nothing more of it will be spoken."""

    @property
    def closed_unopened(self) -> bool:
        """Whether reasoning ended that no mark had opened."""
        return self._said.closed_unopened

    def push(self, delta: str) -> str:
        """Take more text; returns the part to be spoken, often nothing."""
        said = self._script.push(self._said.push(self._sound(delta)))
        return self._bounded(self._plain.push(self._turn.push(said)))

    def finish(self) -> str:
        """End the text; returns the part that was held back, if any."""
        said = self._script.push(self._said.finish()) + self._script.finish()
        said = self._turn.push(said) + self._turn.finish()
        return self._bounded(self._plain.push(said) + self._plain.finish())

    def _sound(self, delta: str) -> str:
        """The text without characters of no sound that cannot be stored: controls, half pairs."""
        if delta.isascii() and delta.isprintable() and not self._half:
            return delta
        delta, self._half = self._half + delta, ""
        if "\ud800" <= delta[-1:] <= "\udbff":
            delta, self._half = delta[:-1], delta[-1]
        whole = delta.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return whole.translate(_UNHEARD)

    def _bounded(self, text: str) -> str:
        kept: list[str] = []
        for character in text:
            if self._length >= LIMIT and self._may_end(character):
                self.full = True
            if self.full:
                break
            if not self._length and character.isspace():
                continue
            kept.append(character)
            self._last = character
            self._length += 1
        return "".join(kept)

    def _may_end(self, following: str) -> bool:
        over = self._length - LIMIT
        if self._last in _WIDE_ENDS or over >= 2 * _OVER:
            return True
        return following.isspace() and (self._last in _ENDS or over >= _OVER)
