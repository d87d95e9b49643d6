import logging
import subprocess
import sys

import pytest

from gateway.logs import OneLine


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
