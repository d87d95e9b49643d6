"""The operator's file of functions: what it may say, and what is refused with its reason."""

from pathlib import Path

import pytest

from stages.tool.tools_file import MOST_FILE_BYTES, ToolsFileError, read_tools

WEATHER = """
tools:
  - name: weather
    description: The weather in a city, now.
    parameters: {type: object, properties: {city: {type: string}}, required: [city]}
    url: http://127.0.0.1:9000/weather
    key: secret-key
    limit_s: 4
    filler: Let me look out of the window.
    always: true
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "tools.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_function_has_what_its_entry_says(tmp_path: Path) -> None:
    (tool,) = read_tools(written(tmp_path, WEATHER))
    assert (tool.name, tool.url, tool.limit_s) == ("weather", "http://127.0.0.1:9000/weather", 4.0)
    assert tool.parameters["required"] == ["city"]
    assert tool.filler == "Let me look out of the window."
    assert tool.always
    assert "secret-key" not in repr(tool)


def test_a_name_and_an_address_are_enough(tmp_path: Path) -> None:
    (tool,) = read_tools(written(tmp_path, "tools: [{name: clock, url: 'http://127.0.0.1:9/t'}]"))
    assert (tool.limit_s, tool.filler, tool.always) == (10.0, None, False)
    assert tool.parameters == {"type": "object", "properties": {}}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("tools: [", "it is no YAML at line 1"),
        ("- weather", "the file: "),
        ("tools: [{name: a b, url: 'http://h'}]", "tools.0.name: "),
        ("tools: [{name: a, url: 'ftp://h'}]", "tools.0.url: "),
        ("tools: [{name: a, url: 'http://h', limit_s: 61}]", "tools.0.limit_s: "),
        ("tools: [{name: a, url: 'http://h', lmit: 1}]", "tools.0.lmit: "),
        ("tools: [{name: a, url: 'http://h'}, {name: a, url: 'http://h'}]", "a comes twice"),
        ("a: &x [1]\ntools: [*x]", "aliases (*name) are not taken"),
        ("x" * (MOST_FILE_BYTES + 1), f"it has more than {MOST_FILE_BYTES} bytes"),
    ],
    ids=["yaml", "list", "name", "url", "limit", "unknown", "twice", "alias", "long"],
)
def test_what_cannot_be_is_refused_with_its_place(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ToolsFileError) as refused:
        read_tools(written(tmp_path, text))
    assert str(refused.value).startswith(why)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ToolsFileError, match="it cannot be read: No such file"):
        read_tools(tmp_path / "none.yaml")
