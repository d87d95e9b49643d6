"""Which weights this machine decodes in time."""

import json
from pathlib import Path

import pytest

from stages.stt.whisper_sources import Weights
from stages.stt.whisper_speeds import keep, machine, preferred, read

FACTS: dict[str, str | int] = {"processor": "slow one", "cores": 2}


def weights(folder: Path, name: str, size: int) -> Weights:
    place = folder / name
    place.mkdir()
    with (place / "model.bin").open("wb") as file:
        file.truncate(size)
    return Weights(name, place, "", "")


@pytest.fixture
def group(tmp_path: Path) -> list[Weights]:
    sizes = (("base", 150), ("tiny", 75), ("small", 480))
    return [weights(tmp_path, name, size) for name, size in sizes]


def chosen(group: list[Weights], **answers_s: float) -> str:
    by_name = {entry.name: entry.identity for entry in group}
    return preferred(group, {by_name[name]: took_s for name, took_s in answers_s.items()}).name


def test_before_anything_is_measured_the_smallest_is_tried(group: list[Weights]) -> None:
    assert chosen(group) == "tiny"


def test_the_next_to_be_tried_is_the_largest_that_may_be_in_time(group: list[Weights]) -> None:
    assert chosen(group, tiny=0.31) == "tiny"
    assert chosen(group, tiny=0.29) == "base"
    assert chosen(group, tiny=0.05) == "small"


def test_the_largest_that_was_measured_in_time_is_taken(group: list[Weights]) -> None:
    assert chosen(group, tiny=0.1, base=0.6, small=1.9) == "base"
    assert chosen(group, tiny=0.1, base=0.61, small=1.9) == "tiny"


def test_where_none_is_in_time_the_smallest_is_taken(group: list[Weights]) -> None:
    assert chosen(group, tiny=2.0) == "tiny"
    assert chosen(group, tiny=2.0, base=1.9) == "tiny"


def test_weights_that_are_gone_have_no_size(tmp_path: Path) -> None:
    assert Weights("tiny", tmp_path, "", "").bytes == 0


def test_measurements_are_kept_for_this_machine_only(tmp_path: Path) -> None:
    file = tmp_path / "models" / "speeds.json"
    assert read(file, FACTS) == {}
    keep(file, FACTS, {"tiny": 0.12345})
    assert read(file, FACTS) == {"tiny": 0.123}
    assert read(file, FACTS | {"cores": 4}) == {}
    assert [path.name for path in file.parent.iterdir()] == ["speeds.json"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"machine": 1}', '{"answer_s": {"a": "x"}}', '{"answer_s": 1}']
)
def test_a_file_that_says_nothing_is_as_if_it_were_not_there(tmp_path: Path, text: str) -> None:
    file = tmp_path / "speeds.json"
    if text.startswith('{"answer_s"'):
        text = json.dumps({"machine": FACTS, **json.loads(text)})
    file.write_text(text)
    assert read(file, FACTS) == {}


def test_a_folder_that_cannot_be_written_costs_only_the_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    keep(tmp_path / "file" / "speeds.json", FACTS, {"tiny": 0.1})
    assert "Whisper's speed on this machine cannot be kept: " in caplog.text


def test_the_machine_is_known_by_its_processor_and_the_versions_of_what_decodes() -> None:
    facts = machine()
    assert list(facts) == ["processor", "cores", "ctranslate2", "faster-whisper", "numpy"]
    assert all(facts.values())
