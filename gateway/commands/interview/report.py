"""The file in which `parley interview` saves the report."""

import json
import os
from collections.abc import Callable
from pathlib import Path

from gateway.commands.terminal import FAILED, CommandFailed
from gateway.reports.page import page
from stages.interview import Report
from stages.interview.markdown import markdown

FORMS: dict[str, Callable[[Report], str]] = {
    ".html": page,
    ".md": markdown,
    ".json": lambda report: json.dumps(report.to_json(), ensure_ascii=False, indent=2) + "\n",
}
"""The endings of file names and their formats."""

_SHOWN_ID = 8
_MOST_NAMES = 1_000


class Target:
    """The report's file: `path`, or a new name in this folder.

    An existing file is overwritten only with `force`, or if `ask` returns true; it is called once,
    before the interview begins. Raises `CommandFailed` if the file cannot be written.
    """

    def __init__(
        self, path: Path | None, *, force: bool, ask: Callable[[str], bool] | None = None
    ) -> None:
        self._path = path
        self._replaces = force
        if path is None:
            if not os.access(Path(), os.W_OK):
                raise CommandFailed("this folder is not writable: name a file with --save")
            return
        if path.suffix.lower() not in FORMS:
            raise CommandFailed(f"--save {path}: the name must end in {', '.join(FORMS)}")
        if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
            raise CommandFailed(f"--save {path}: cannot be written")
        if path.exists() and not force:
            if ask is None or not ask(f"{path} exists. Overwrite it?"):
                raise CommandFailed(f"--save {path}: it exists; --force overwrites it")
            self._replaces = True

    def write(self, report: Report) -> Path:
        """Write the report and return its path. Raises `CommandFailed`.

        If another file has taken the name meanwhile, the report gets a name beside it.
        """
        path = self._path or Path(f"interview-{(report.session_id or 'report')[:_SHOWN_ID]}.html")
        text = FORMS[path.suffix.lower()](report)
        try:
            if self._path is not None and self._replaces:
                path.write_text(text, encoding="utf-8")
                return path
            for number in range(1, _MOST_NAMES):
                free = path if number == 1 else path.with_stem(f"{path.stem}-{number}")
                try:
                    with free.open("x", encoding="utf-8") as file:
                        file.write(text)
                except FileExistsError:
                    continue
                return free
        except OSError as error:
            raise CommandFailed(f"the report: {path}: {error.strerror}", FAILED) from None
        raise CommandFailed(f"the report: there are {_MOST_NAMES} files like {path}", FAILED)
