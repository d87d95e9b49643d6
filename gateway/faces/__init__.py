"""The interviewer's face as pictures for a client: `portrait` sends them with the audio they belong
to, `album` has them from the built-in face, `animation` and `loops` from an avatar server, and
`gallery` holds what the sessions of a process share.
"""
