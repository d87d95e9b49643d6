"""Transcribers: `openai` asks a server, `whisper` and `pocketsphinx` decode on this machine.

`whisper_models` finds Whisper's weights on this machine and fetches them.
"""

__all__: list[str] = []
