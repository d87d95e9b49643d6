import ast
import re
import string

import pytest

from stages.interview.lines import LANGUAGES
from stages.interview.report_words import TRANSLATIONS, report_words
from tests.support.paths import ROOT

TEMPLATES = ROOT / "gateway" / "reports" / "templates"
MODULES = ("gateway/reports/page.py", "gateway/reports/charts.py", "stages/interview/markdown.py")
NAMES_IN_TABLES = {
    *("Skill", "Score", "Of what", "Source", "Criterion", "Why", "Pace", "First word after"),
    *("Pauses", "Fillers", "Time spent talking", "What went well", "What to work on", "Next step"),
}


def texts_of_templates() -> set[str]:
    """The texts between quotation marks in calls of `words`."""
    found = set()
    for path in TEMPLATES.iterdir():
        for call in re.findall(r"words\(((?:[^()]|\([^()]*\))*)\)", path.read_text()):
            found.update(re.findall(r'"([^"]{3,})"', call))
    return found - {"interviewer", "%.0f", "%.1f"}


def texts_of_modules() -> set[str]:
    """The texts that modules pass to `words`."""
    found = set()
    for name in MODULES:
        for call in ast.walk(ast.parse((ROOT / name).read_text())):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "words":
                for node in ast.walk(call.args[0]):
                    if isinstance(node, ast.Constant) and isinstance(node.value, str):
                        found.add(node.value)
    return found - {"interviewer", "%B"}


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_every_text_of_a_report_is_translated(language: str) -> None:
    translated = TRANSLATIONS[language]
    used = texts_of_templates() | texts_of_modules() | NAMES_IN_TABLES
    assert len(used) > 60
    assert used - set(translated) == set()


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_a_translation_has_the_places_of_its_text(language: str) -> None:
    def places(text: str) -> list[str]:
        return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name)

    wrong = {t: to for t, to in TRANSLATIONS[language].items() if places(t) != places(to)}
    assert wrong == {}


def test_words_are_filled_in_and_english_is_the_rest() -> None:
    assert report_words("de")("Question {0}", 3) == "Frage 3"
    assert report_words("en")("Question {0}", 3) == "Question 3"
    assert report_words("de")("something else {0}", "{1}") == "something else {1}"
