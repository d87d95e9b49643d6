"""The answers that a candidate gives with the keys of a telephone. Pure.

Key 1 asks for the question once more, key 2 for the next one. The words are the candidate's answer,
as if they had been spoken: they are stored, and the report shows them.
"""

from stages.interview.lines import lines_for


def words_of(key: str, language: str) -> str:
    """The answer that a key stands for, in the interviewer's language; "" for a key that has none.

    Raises `UnknownLanguage`.
    """
    keys = lines_for(language).keys
    number = int(key) if len(key) == 1 and key in "123456789" else 0
    return keys[number - 1] if 0 < number <= len(keys) else ""
