"""Transcribers: `openai` asks a server and `remote` a worker elsewhere, `whisper` and
`pocketsphinx` decode on this machine.

`speech_check` decides whether a recogniser's text is speech at all, and `recogniser_load` keeps how
busy a model on this machine is.

Whisper's weights: `whisper_models` knows the models and checks their files, `whisper_sources` finds
them on this machine, `whisper_fetch` downloads them, from `whisper_packs` among others,
`whisper_speeds` keeps how long a decode takes here, `whisper_loading` loads the best of them in the
worker process, `whisper_facts` says which ones that are, and `whisper_languages` what languages
they understand.
"""

__all__: list[str] = []
