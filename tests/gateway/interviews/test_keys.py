"""The names of a session's entries and logs, which one module makes."""

import ast
from collections.abc import Iterator
from pathlib import Path

import gateway
from gateway.interviews.keys import MOST_UPLOADS_RENEWED, SessionKeys, once_key
from gateway.store import Keep
from gateway.store.protocol import subject_of

KEYS = SessionKeys("a-1")


def test_the_names_are_those_of_sessions_that_older_versions_stored() -> None:
    assert KEYS.record == "session:a-1"
    assert KEYS.transcript == "transcript:a-1"
    assert KEYS.recordings == "recordings:a-1"
    assert KEYS.recording(3) == "recording:a-1:3"
    assert KEYS.evaluations == "evaluations:a-1"
    assert KEYS.report == "report:a-1"
    assert KEYS.answer(12) == "answer:a-1:12"
    assert KEYS.deleted == (
        "deleted:2f8fe63a6224321de5d0a24cf30067d37a358706b1ed38b015282ab68dc69ae9"
    )
    assert once_key("POST", "/api/sessions", "k1") == (
        "once:f79637bd0aec1f6083b315e62512fbedde642bb1f69b033afa725ad250b10afb"
    )


def test_what_is_stored_of_a_session_is_erased_with_it() -> None:
    names = (
        KEYS.record,
        KEYS.transcript,
        KEYS.recordings,
        KEYS.recording(1),
        KEYS.evaluations,
        KEYS.report,
        KEYS.answer(1),
        KEYS.resume("0f"),
    )
    assert {subject_of(name) for name in names} == {"a-1"}
    assert "a-1" not in KEYS.deleted


def test_everything_is_renewed_for_the_same_time() -> None:
    assert KEYS.keep(60, evaluated=True, recorded=2, uploads=2) == (
        Keep("session:a-1", 60),
        Keep("transcript:a-1", 60),
        Keep("answer:a-1:1", 60),
        Keep("answer:a-1:2", 60),
        Keep("recordings:a-1", 60),
        Keep("recording:a-1:1", 60),
        Keep("recording:a-1:2", 60),
        Keep("evaluations:a-1", 60),
    )


def test_what_a_session_cannot_have_is_not_renewed() -> None:
    assert KEYS.keep(None, evaluated=False, recorded=None, uploads=0) == (
        Keep("session:a-1", None),
        Keep("transcript:a-1", None),
    )


def test_uploads_without_end_do_not_make_a_renewal_without_end() -> None:
    kept = KEYS.keep(60, evaluated=False, recorded=None, uploads=100_000)
    names = [keep.name for keep in kept[2:]]
    assert len(names) == MOST_UPLOADS_RENEWED
    assert names[-1] == "answer:a-1:100000"


# --- one owner ---------------------------------------------------------------------------------

KINDS = (
    "session",
    "transcript",
    "recordings",
    "recording",
    "evaluations",
    "report",
    "answer",
    "once",
    "deleted",
)


def begun(source: str) -> Iterator[str]:
    """The texts in a module's code that begin with the kind of a name, and its f-strings'."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            kind, colon, rest = node.value.partition(":")
            if kind in KINDS and colon and not rest.startswith((" ", "\n")):
                yield node.value


def test_no_other_module_makes_such_a_name() -> None:
    folder = Path(gateway.__file__).parent
    own = folder / "interviews" / "keys.py"
    found = {
        str(file.relative_to(folder)): texts
        for file in folder.rglob("*.py")
        if file != own and (texts := list(begun(file.read_text())))
    }
    assert found == {}
    assert set(begun(own.read_text())) == {f"{kind}:" for kind in KINDS if kind != "session"}, (
        "the search finds what it looks for"
    )
