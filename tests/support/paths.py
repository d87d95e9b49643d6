"""Where the files are that tests read."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The repository."""

TESTS = ROOT / "tests"
DOCS = ROOT / "docs"
FIXTURES = ROOT / "fixtures"

AUDIO = FIXTURES / "audio"
"""Recorded answers: 16 kHz, mono, `software-engineer-1.wav` and so on."""

JOURNALS = FIXTURES / "journals"
