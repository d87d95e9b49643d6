"""The interviewer's face: what it looks like (`face`), what it does when (`timeline`), its pictures
(`renderer`, which wants the extra `avatar`), and a mouth for voices without timing (`energy`).
"""
