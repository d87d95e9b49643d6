"""Synthesizers: `openai` asks a speech server, `piper` and `espeak` speak on this machine.

`visemes` has mouth shapes from phonemes; `viseme_fallback` finds them in the sound of a voice that
comes without timing.
"""

__all__: list[str] = []
