"""The interviewer's face, drawn here or by a server.

`face` is what it looks like, `timeline` what it does when, `energy` a mouth for voices without
timing, `renderer` its pictures (it needs the extra `avatar`). As video: `encoding`, what is encoded
once (`loops`), what may be spent (`ladder`), and the threads that draw for all sessions (`studio`).
`local` fills the slot without a server; `remote` asks one, and `jpeg` and `decoding` read its
pictures.
"""

__all__: list[str] = []
