"""Stored interviews, and everything that is stored about them.

`sessions` holds the stored record, `keys` its names in the store, and `answers` the commit of an
answer. `state` and `written` are the steps of a written interview, and `service` what requests need
of the process. `uploads` turns a recording into an answer; `answer_jobs` tracks answers that are
being recognised. `transcripts`, `recorder`, `recordings`, `speech_files` and `kept_reports` store
or produce the results; `events` reports an interview's progress to watchers.
"""

__all__: list[str] = []
