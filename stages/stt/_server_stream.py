"""The text of a transcription that a server streams, from its events. Pure."""

import re
from typing import Any

from stages.stt._server_reply import MAX_CHARACTERS, NoTranscription, Piece, UploadedSpeech, whole

_NEWS = 16
"""A partial is judged once the text has grown by one part in `_NEWS`: judging it at every letter of
a long text would take seconds."""

_OPEN = re.compile(r"(?:[\[(<][^\])>]{0,80}|(?<!\S)\*[^*]{0,80})$")
"""A description of a sound whose end has yet to come."""


class StreamedText:
    """The text that has come so far. Only the part that counts as speech is shown."""

    def __init__(self, upload: UploadedSpeech) -> None:
        self._upload = upload
        self._heard = ""
        self._next = 1
        self._shown = ""

    @property
    def text(self) -> str:
        """All text so far."""
        return self._heard.strip()

    def add(self, event: dict[str, Any]) -> str:
        """Take an event: the partial transcript if it changed, otherwise "".

        Raises `NoTranscription` for an endless text.
        """
        self._heard += _piece_in(event)
        if len(self._heard) > MAX_CHARACTERS:
            raise NoTranscription("a transcript without end")
        if len(self._heard) < self._next:
            return ""
        self._next = len(self._heard) + max(1, len(self._heard) // _NEWS)
        shown, _ = self._upload.judged(Piece(_OPEN.sub("", self.text)))
        if shown == self._shown:
            return ""
        self._shown = shown
        return shown

    def completed(self, event: dict[str, Any]) -> dict[str, Any]:
        """The last event, with the text so far if it has none itself."""
        if isinstance(event.get("text"), str) or not self.text:
            return event
        return {**event, "text": self.text}


def _piece_in(event: dict[str, Any]) -> str:
    """The next piece of text: `transcript.text.delta` as OpenAI has it, or a chunk like a chat's.

    >>> _piece_in({"choices": [{"delta": {"content": "Hello"}}]})
    'Hello'
    """
    delta = event.get("delta") if event.get("type") == "transcript.text.delta" else None
    choices = event.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        delta = choices[0].get("delta")
    if isinstance(delta, dict):
        delta = delta.get("content")
    return whole(delta) if isinstance(delta, str) else ""
