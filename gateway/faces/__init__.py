"""The interviewer's face as pictures for a client.

`stream` sends one session's pictures with the audio that they belong to; `service` holds what the
sessions of a process share. `pictures` draws the built-in face, in the `studio` that the settings
want; `animation` and `loops` get pictures from an avatar server.
"""

__all__: list[str] = []
