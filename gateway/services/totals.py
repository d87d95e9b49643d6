"""Counts of all answers to requests for services, since the process began. Pure."""


class Totals:
    """Counts requests that were answered, by a service or in its place."""

    def __init__(self) -> None:
        self.requests = 0
        self.failed = 0
        """The requests that were answered with a status of 500 or more."""
        self._seconds = 0.0

    def answered(self, status: int, seconds: float) -> None:
        """Count an answer, whose head came `seconds` after its request."""
        self.requests += 1
        self.failed += status >= 500
        self._seconds += seconds

    @property
    def average_s(self) -> float:
        """The mean time that a request waited for the head of its answer; 0 without requests."""
        return self._seconds / self.requests if self.requests else 0.0
