"""How many examples a property test tries: fewer in development, more at night.

Three profiles, of which `HYPOTHESIS_PROFILE` names one; where it does not, `CI` decides.

    dev      half as many, other ones each time; what failed is tried again first
    ci       all of them, the same ones every time
    nightly  twenty times as many, other ones each time
"""

import os
from typing import Any

from hypothesis import HealthCheck, settings

EXAMPLES = {"dev": 50, "ci": 100, "nightly": 2_000}
"""Of a test that says nothing itself."""


def load_profile() -> None:
    """Register the profiles and choose one. Called before any test module is imported."""
    common = settings(
        deadline=None,  # a busy machine is no error
        print_blob=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    same = settings(common, derandomize=True, database=None)
    for name, count in EXAMPLES.items():
        parent = same if name == "ci" else common
        settings.register_profile(name, parent, max_examples=count)
    chosen = "ci" if os.environ.get("CI") == "true" else "dev"
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or chosen)


def examples(in_ci: int, **others: Any) -> settings:
    """Settings for a test that needs more or fewer than others: `in_ci` in the profile `ci`, and
    in the others in proportion. `others` are Hypothesis's own settings.
    """
    usual = settings().max_examples
    return settings(max_examples=max(1, in_ci * usual // EXAMPLES["ci"]), **others)
