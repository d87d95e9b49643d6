"""Providers of the avatar slot that are not asked for pictures: the built-in face, which the
gateway draws itself, and mouth shapes, from which the client draws.
"""

from dataclasses import dataclass
from importlib.util import find_spec


@dataclass(frozen=True, slots=True)
class Local:
    """A stage that only has a provider's name."""

    provider: str

    async def aclose(self) -> None: ...


def check() -> str | None:
    """Why the built-in face cannot be drawn here, in a sentence, or None."""
    if find_spec("resvg_py") is None:
        return "the extra is missing: pip install 'parley-gateway[avatar]'"
    return None
