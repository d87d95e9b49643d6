import json
import logging
import subprocess
import sys
from contextvars import copy_context
from typing import Any

import pytest
from pydantic import SecretStr

from gateway.logs import JsonLine, OneLine, Redaction, correlation_id, session_id
from gateway.settings import Settings
from gateway.variables import secrets_of
from pipeline.turn_context import current_turn


def test_an_event_is_one_line_whatever_is_in_it() -> None:
    formatter = OneLine("%(levelname)s %(name)s: %(message)s")
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        record = logging.LogRecord(
            "parley", logging.ERROR, __file__, 1, "session %s\r\n failed", ("a\nb",), sys.exc_info()
        )
    line = formatter.format(record)
    assert "\n" not in line
    assert "\r" not in line
    assert line.startswith("ERROR parley: session a | b | failed | Traceback")
    assert line.endswith("ValueError: first | second")


@pytest.mark.parametrize(
    ("level", "logged"),
    [
        ("debug", ["debug", "info", "warning", "library warning"]),
        ("info", ["info", "warning", "library warning"]),
        ("warning", ["warning", "library warning"]),
        ("error", []),
    ],
)
def test_libraries_are_heard_from_warnings_on_and_never_below(
    level: str, logged: list[str]
) -> None:
    program = (
        "import logging, sys\n"
        "from gateway.logs import configure\n"
        "configure(sys.argv[1])\n"
        "for name in ('debug', 'info', 'warning'):\n"
        "    getattr(logging.getLogger('parley.x'), name)(name)\n"
        "logging.getLogger('uvicorn.error').info('/ws/a?ticket=secret')\n"
        "logging.getLogger('uvicorn.error').warning('library warning')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, level], capture_output=True, text=True, check=True
    )
    assert [line.partition(": ")[2] for line in done.stderr.splitlines()] == logged
    assert done.stdout == ""


def test_another_logger_of_the_process_still_writes_through_its_handler() -> None:
    # So does Ray Serve in a replica; a MemoryHandler that is shut down has no target, and grows.
    program = (
        "import logging, logging.handlers, sys\n"
        "from gateway.logs import configure\n"
        "target = logging.StreamHandler(sys.stdout)\n"
        "memory = logging.handlers.MemoryHandler(1, target=target)\n"
        "other = logging.getLogger('ray.serve')\n"
        "other.addHandler(memory)\n"
        "other.propagate = False\n"
        "configure('info')\n"
        "other.warning('call 1')\n"
        "assert memory.target is target\n"
        "logging.getLogger('parley.worker').info('token=of-the-worker')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "call 1\n")
    assert done.stderr.partition(": ")[2] == "token=***\n"


def json_line(message: str, *arguments: object, **extra: object) -> dict[str, Any]:
    """What one record becomes; the line is checked to be one."""
    record = logging.LogRecord("parley", logging.INFO, __file__, 1, message, arguments, None)
    record.created = 1_700_000_000.25
    record.__dict__.update(extra)
    line = JsonLine(redact=Redaction(["hunter2hunter2"])).format(record)
    assert "\n" not in line
    assert line.isascii()
    told: dict[str, Any] = json.loads(line)
    return told


def test_a_json_line_says_when_how_bad_who_and_what() -> None:
    assert json_line("session %s joined", "s-1") == {
        "time": "2023-11-14T22:13:20.250Z",
        "level": "info",
        "logger": "parley",
        "message": "session s-1 joined",
    }


def test_a_json_line_names_its_cause_and_carries_its_fields() -> None:
    def logged() -> dict[str, Any]:
        correlation_id.set("c-1")
        session_id.set("s-1")
        current_turn.set(4)
        return json_line("turn", fields={"outcome": "answered", "turn": 5})

    told = copy_context().run(logged)
    assert {name: told[name] for name in ("correlation_id", "session", "turn", "outcome")} == {
        "correlation_id": "c-1",
        "session": "s-1",
        "turn": 5,
        "outcome": "answered",
    }


def test_what_a_person_said_cannot_look_like_a_second_event_or_move_the_cursor() -> None:
    said = 'a\n{"level":"error"}\x1b[2J\u2028\x9b1m'
    assert json_line("heard %s", said)["message"] == f"heard {said}"
    record = logging.LogRecord("parley", logging.INFO, __file__, 1, "heard %s", (said,), None)
    line = OneLine("%(message)s").format(record)
    assert all(character.isprintable() for character in line)


def test_an_exception_is_a_field_of_its_line() -> None:
    try:
        raise ValueError("key hunter2hunter2 is bad")
    except ValueError:
        told = json_line("it failed", exc_info=sys.exc_info())
    assert told["exception"].endswith("ValueError: key *** is bad")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("the key hunter2hunter2 was refused", "the key *** was refused"),
        ("Authorization: Bearer abcdefgh.ijkl-m", "Authorization: Bearer ***"),
        ("GET /ws/a?ticket=aGVsbG8&x=1", "GET /ws/a?ticket=***&x=1"),
        ('{"api_key": "abc def", "n": 1}', '{"api_key": "***", "n": 1}'),
        ("redis://user:pa55word@host:6379/0", "redis://user:***@host:6379/0"),
        ("got ek_0123456789abcdef0123", "got ek_***"),
        (f"used pt_{'0a' * 24}.", "used pt_***."),
        (f"showed ps_{'0a' * 24}, twice", "showed ps_***, twice"),
        ("came back with pr_QVp_xgBelHiqY1fE5Sz7aL0flCyHm-nV", "came back with pr_***"),
        ("the parts pt_1 and ps_of_speech", "the parts pt_1 and ps_of_speech"),
        ("the first token came after 12 ms", "the first token came after 12 ms"),
    ],
)
def test_secrets_are_in_no_line(text: str, shown: str) -> None:
    assert shown == Redaction(["hunter2hunter2", "short"])(text)
    told = json_line("%s", text, fields={"deep": [{"text": text}]})
    assert (told["message"], told["deep"][0]["text"]) == (shown, shown)
    record = logging.LogRecord("parley", logging.INFO, __file__, 1, "%s", (text,), None)
    assert shown == OneLine("%(message)s", redact=Redaction(["hunter2hunter2"])).format(record)


def test_fields_follow_the_words_in_a_line_of_text() -> None:
    record = logging.LogRecord("parley", logging.INFO, __file__, 1, "turn", (), None)
    record.fields = {"session": "s-1", "outcome": "answered", "stages": {"stt": [1.5, None]}}
    assert (
        OneLine("%(message)s").format(record)
        == 'turn session=s-1 outcome=answered stages={"stt":[1.5,null]}'
    )


def test_the_secrets_of_the_settings_are_known() -> None:
    settings = Settings(
        llm_key=SecretStr("llm-key-0001"),
        llm_model="any",
        api_keys=SecretStr("first-key-1, second-key-2"),
        ice_servers=SecretStr("turn:me:turn-pass-3@turn.example.org:3478,stun:stun.example.org"),
        redis_url="redis://:redis%2Fpass@localhost:6379/0",
    )
    assert set(secrets_of(settings)) == {
        "llm-key-0001",
        "first-key-1",
        "second-key-2",
        "turn-pass-3",
        "redis%2Fpass",
        "redis/pass",
    }


def test_a_process_logs_in_the_form_that_is_asked_for() -> None:
    program = (
        "import logging\n"
        "from gateway.logs import configure\n"
        "configure('info', 'json', ['a-secret-key'])\n"
        "logging.getLogger('parley.x').info('with a-secret-key')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    (line,) = done.stderr.splitlines()
    told = json.loads(line)
    assert (told["level"], told["logger"], told["message"]) == ("info", "parley.x", "with ***")
