"""Synthesizers: `openai` asks a speech server, `remote` a worker elsewhere; `piper`, `hibari` and
`espeak` speak on this machine.

`pronunciation` says how English text is read aloud, `scripts` which language a text may be in, and
`loudness` how loud a voice is. `visemes` makes mouth shapes from phonemes; `viseme_fallback` makes
them from the sound of a voice without timing.
"""

__all__: list[str] = []
