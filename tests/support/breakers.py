"""A breaker that writes down what it was told."""

from pipeline.breaker import Breaker, BreakerPolicy, Outcome, Permit


class Recorder(Breaker):
    """Settles as any breaker does; `settled` are the outcomes, in order."""

    def __init__(self, policy: BreakerPolicy | None = None) -> None:
        super().__init__(policy)
        self.settled: list[Outcome] = []
        self.retry_after_s = 0.0

    def settle(
        self, permit: Permit, outcome: Outcome, now: float, *, retry_after_s: float = 0.0
    ) -> None:
        self.settled.append(outcome)
        self.retry_after_s = retry_after_s
        super().settle(permit, outcome, now, retry_after_s=retry_after_s)
