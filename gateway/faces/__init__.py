"""The interviewer's face as pictures for a client.

`stream` sends one session's pictures with the audio they belong to; `service` holds what the
sessions of a process share. `pictures` come from the built-in face, `animation` and `loops` from an
avatar server.
"""

__all__: list[str] = []
