"""Responders: `openai` asks a chat server, `scripted` speaks what the host wrote.

`chat` asks a chat server for one whole answer by a JSON schema, outside of conversations.
"""

__all__: list[str] = []
