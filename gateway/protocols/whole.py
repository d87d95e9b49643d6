"""Whole numbers in clients' messages, however they are written. Pure.

JSON does not tell 16000.0 from 16000, and some languages, such as Lua and Swift with Double, write
the former. A number with a fraction is no whole number.
"""

from typing import Annotated, Any

from pydantic import BeforeValidator, StrictInt

LARGEST = 2**53
"""Beyond it, a float cannot represent every whole number."""


def whole(value: Any) -> Any:
    """A float that is a whole number as an int; any other value as it is."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= LARGEST:
        return int(value)
    return value


Whole = Annotated[StrictInt, BeforeValidator(whole)]
"""A field for a whole number; texts and truth values are refused."""
