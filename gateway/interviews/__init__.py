"""Stored interviews, and what is kept of each.

`sessions` is the stored record, with the `consent` to recordings, `leases` tell which processes
still run, `neighbours` what differs between them, `keys` are the names of all that is stored of a
session, `answers` the one way by which answers are committed, `state` and `written` the steps of a
written interview, `service` what requests need of the process. `uploads` turns a recording into an
answer, and `answer_jobs` holds answers that are being recognised. `transcripts`, `recorder`,
`recordings`, `speech_files` and `kept_reports` are what is kept or made of an interview; `events`
passes on what happens in it to watchers, and `telling` drafts the events that are stored.
"""

__all__: list[str] = []
