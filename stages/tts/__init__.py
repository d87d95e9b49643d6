"""Synthesizers: `openai` asks a speech server, `piper` and `espeak` speak on this machine.

`visemes` makes mouth shapes from phonemes; `viseme_fallback` makes them from the sound of a voice
without timing.
"""

__all__: list[str] = []
