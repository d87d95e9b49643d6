from pathlib import Path

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from gateway.templates import Templates, content_hash


@pytest.fixture
def templates(tmp_path: Path) -> Templates:
    (tmp_path / "page.html").write_text("<p title={{ text }}>{{ text }}</p>\n")
    (tmp_path / "page.css").write_text("p > b { content: '\\2013' }\n")
    return Templates(tmp_path, known="of all")


def test_text_is_escaped_and_without_control_characters(templates: Templates) -> None:
    shown = templates.render("page.html", text='<b>\x1b[2J&\u202e\n"')
    assert shown == "<p title=&lt;b&gt; [2J&amp;  &#34;>&lt;b&gt; [2J&amp;  &#34;</p>\n"


def test_markup_stays_as_it_is(templates: Templates) -> None:
    inner = templates.render("page.html", text="a & b")
    assert templates.render("page.html", text=inner).count("a &amp; b") == 4
    assert templates.render("page.html", text=Markup("<i>\n</i>")).endswith("><i>\n</i></p>\n")


def test_a_value_that_is_missing_is_an_error(templates: Templates) -> None:
    with pytest.raises(UndefinedError, match="'text' is undefined"):
        templates.render("page.html")


def test_names_are_known_to_every_template(tmp_path: Path, templates: Templates) -> None:
    (tmp_path / "names.html").write_text("{{ known }} {{ 1.26 | px }}")
    assert templates.render("names.html") == "of all 1.3"


def test_a_style_sheet_stands_in_the_page_as_its_hash_says(templates: Templates) -> None:
    style = templates.file("page.css")
    assert style == "p > b { content: '\\2013' }\n"
    assert content_hash("p{}") == "'sha256-gG2yISYereRMiG2lMXrbiUgi0Ubw9p7QCeWcroOvy9Y='"
    assert templates.render("page.html", text=style).count(style) == 2
