"""The text of one reply on its way to the voice, which may be dropped before it is heard."""

from dataclasses import dataclass

from pipeline.channel import Channel
from pipeline.frames import Sentence
from pipeline.sentences import SentenceSplitter
from pipeline.wordless import has_words, says

LONGEST_REPLY = 4000
"""Characters of a reply, about four minutes; the responder's text beyond them is dropped."""

LONGEST_LEAD = 80
"""Characters of signs that are kept for the first word, such as an opening quotation mark; the rest
of them are dropped."""


@dataclass(frozen=True, slots=True)
class Aside(Sentence):
    """A line among a reply's sentences that is heard, but not remembered."""


class ReplyDraft:
    """Collects a responder's text and sends its sentences into `sentences`.

    Until the first sentence of a part was sent, `restart` forgets the part, and another responder
    may begin. Signs before the first letter or digit wait for it, and without one nothing is sent.
    `voice` is the wish for each sentence, and `language` the text's.
    """

    def __init__(
        self,
        turn: int,
        sentences: Channel[Sentence],
        voice: str | None = None,
        language: str | None = None,
    ) -> None:
        self._turn = turn
        self._sentences = sentences
        self._voice = voice
        self._language = language
        self._splitter = SentenceSplitter()
        self._room = LONGEST_REPLY
        self._lead = ""  # signs before the first word
        self._worded = False
        self._sent: list[str] = []
        self._before = 0  # sentences of the parts before this one

    @property
    def begun(self) -> bool:
        """Whether a sentence was sent: it may have been heard."""
        return bool(self._sent)

    @property
    def part_begun(self) -> bool:
        """Whether a sentence of this part was sent."""
        return len(self._sent) > self._before

    def begin_part(self) -> None:
        """Begin another part: what was sent stays, and `restart` forgets only what comes now."""
        self._before = len(self._sent)

    @property
    def full(self) -> bool:
        """Whether the reply has reached the longest length."""
        return self._room <= 0

    def restart(self) -> None:
        """Forget the text of this part so far; only before a sentence of it was sent."""
        self._splitter = SentenceSplitter()
        self._room = LONGEST_REPLY
        self._lead, self._worded = "", False

    async def push(self, text: str) -> None:
        """Take more text; waits while too much of it waits for the voice. Raises `ChannelClosed`.

        Cancelling: sentences that were not sent yet are lost.
        """
        if not self._worded:
            self._worded = has_words(text)
            if not self._worded:
                self._lead = (self._lead + text)[:LONGEST_LEAD]
                return
            text = self._lead + text
        for piece in self._splitter.push(text[: self._room]):
            await self.send(piece)
        self._room -= len(text)

    async def finish(self) -> None:
        """The text is complete: send what is left of it. See `push`."""
        for piece in self._splitter.finish():
            await self.send(piece)

    async def send(self, line: str) -> None:
        """Send a line as it is. See `push`."""
        self._sent.append(line)
        await self._sentences.send(self._sentence(line))

    async def say_aside(self, line: str) -> None:
        """Send a line that is no part of the conversation. See `push`."""
        aside = self._sentence(line)
        await self._sentences.send(Aside(aside.turn, aside.text, aside.voice, aside.language))

    def offer_words(self) -> bool:
        """Send the words so far, though no sentence is complete; False if there are none."""
        words = self._splitter.words()
        if not words:
            return False
        self._sent.append(words)
        self._sentences.offer(self._sentence(words))
        return True

    def lacks(self, line: str) -> bool:
        """Whether the sentences that were sent leave out most words of `line`."""
        return not says(" ".join(self._sent), line)

    def _sentence(self, text: str) -> Sentence:
        return Sentence(self._turn, text, self._voice, self._language)
