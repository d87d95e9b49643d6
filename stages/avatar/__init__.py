"""The interviewer's face: what it looks like (`face`), what it does when (`timeline`), its pictures
(`renderer`, which wants the extra `avatar`), and a mouth for voices without timing (`energy`).

As video: `encoding`, what is encoded once (`loops`), what may be spent (`ladder`), and the threads
that draw for all sessions (`studio`).
"""
