"""The words that show how an answer is built: which language has which. Pure."""

from collections.abc import Mapping
from types import MappingProxyType

from stages.interview.cues import Cues
from stages.interview.cues_de import GERMAN
from stages.interview.cues_en import ENGLISH

CUES: Mapping[str, Cues] = MappingProxyType({"en": ENGLISH, "de": GERMAN})
"""By the language's code."""
