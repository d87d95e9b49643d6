"""The interviewer's face, drawn here or by a server.

`face` is the drawing, `timeline` its movement over time, `energy` mouth shapes for voices without
timing, `mouths` how one becomes the next, `renderer` the pictures (it needs the extra `avatar`),
`quality` their levels and what they cost. As video: `encoding`; `loops`, encoded once; `studio`,
the threads that draw for all sessions; `encoding_session`, one session's pictures. `local` fills
the slot without a server; `remote` asks a server, and `jpeg` and `decoding` read its pictures.
"""

__all__: list[str] = []
