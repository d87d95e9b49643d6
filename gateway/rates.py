"""How many requests may come: a sustained rate, and a burst above it. Pure."""

import re
from dataclasses import dataclass

FORM = re.compile(r"(?P<count>\d{1,6})/(?P<unit>s|min|h)(:(?P<burst>\d{1,6}))?")
UNITS_S = {"s": 1, "min": 60, "h": 3600}


@dataclass(frozen=True, slots=True)
class Rate:
    """One request every `every_s` seconds, and `burst` at once after a pause, at least 1."""

    every_s: float
    burst: int

    @property
    def window_s(self) -> float:
        """The time after which the whole burst may come again."""
        return self.every_s * self.burst


def parse_rate(text: str) -> Rate:
    """Parse a rate such as "5/s", "60/min" or "60/min:120", which allows 120 at once; without
    ":120" the burst is the rate's own number. Raises `ValueError`."""
    found = FORM.fullmatch(text)
    count = int(found["count"]) if found is not None else 0
    burst = int(found["burst"] or count) if found is not None else 0
    if found is None or not count or not burst:
        raise ValueError("must be a rate like 5/s, 60/min or 1000/h, with :120 for bursts of 120")
    return Rate(UNITS_S[found["unit"]] / count, burst)
