"""The interview's errors.

::

    InterviewError                code
    ├── InvalidSession            invalid_session: `where` in the JSON the fault is, and which
    │   └── InvalidReport         invalid_report: the same for a stored report
    ├── UnknownRole               unknown_role: no question bank; `known` names the existing roles
    ├── UnknownLanguage           unknown_language: there are no interviews in it; `known` is what
    │                             may be asked for
    └── InvalidCount              invalid_count: the number of questions is not 1..15
"""

from typing import ClassVar


class InterviewError(Exception):
    """Base of the interview's errors. `code` is stable and may be shown to clients."""

    code: ClassVar[str] = "interview_error"


class InvalidSession(InterviewError):
    """A session that came from outside does not have the contract's shape."""

    code = "invalid_session"

    def __init__(self, where: str, detail: str) -> None:
        super().__init__(where, detail)
        self.where = where
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.where}: {self.detail}"


class InvalidReport(InvalidSession):
    """A report that was stored does not have a report's shape."""

    code = "invalid_report"


class UnknownRole(InterviewError):
    """There is no question bank for the role."""

    code = "unknown_role"

    def __init__(self, role: str, known: tuple[str, ...]) -> None:
        super().__init__(role, known)
        self.role = role
        self.known = known

    def __str__(self) -> str:
        return f"unknown role {self.role[:80]!r}; known roles: {', '.join(self.known)}"


class UnknownLanguage(InterviewError):
    """There are no interviews in the language. `known` is what may be asked for."""

    code = "unknown_language"

    def __init__(self, language: str, known: tuple[str, ...]) -> None:
        super().__init__(language, known)
        self.language = language
        self.known = known

    def __str__(self) -> str:
        return f"unknown language {self.language[:40]!r}; available: {', '.join(self.known)}"


class InvalidCount(InterviewError):
    """The number of questions is not a whole number from `least` to `most`."""

    code = "invalid_count"

    def __init__(self, count: object, least: int, most: int) -> None:
        super().__init__(count, least, most)
        self.count = count
        self.least = least
        self.most = most

    def __str__(self) -> str:
        return (
            f"the number of questions must be a whole number from {self.least} to {self.most}, "
            f"not {self.count!r:.80}"
        )
