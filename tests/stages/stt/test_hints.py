"""Hints as text."""

from stages.stt._hints import MOST_CHARACTERS, bounded


def test_hints_are_bounded_in_number_length_and_lines() -> None:
    assert bounded(["Kubernetes", " gRPC\n", "kubernetes", "", "x" * 61, "two\nlines"]) == (
        "Kubernetes",
        "gRPC",
        "two lines",
    )
    many = bounded([f"term{index:03}" for index in range(1000)])
    assert many[0] == "term000"
    assert len(", ".join(many)) <= MOST_CHARACTERS
    assert len(many) == 44
