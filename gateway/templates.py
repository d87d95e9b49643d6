"""Pages made from Jinja templates, in which untrusted text is never markup."""

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gateway.printable import printable


class Templates:
    """The templates of one folder.

    All output of a template is escaped and without control characters, except `Markup`: the output
    of another template, or a file that ships with Parley.

    Args:
        folder: The folder of the templates.
        names: Values and functions that every template may use.
    """

    def __init__(self, folder: Path, **names: Any) -> None:
        self._folder = folder
        self._environment = Environment(
            loader=FileSystemLoader(folder),
            autoescape=True,
            finalize=_printable,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            auto_reload=False,
        )
        self._environment.globals.update(names)
        self._environment.filters.update(px=_px, printable=printable)

    def render(self, name: str, **values: Any) -> Markup:
        """The template of this name with these values.

        Raises `jinja2.TemplateError` if it does not exist or uses a value that is not given.
        """
        return Markup(self._environment.get_template(name).render(values))

    def file(self, name: str) -> Markup:
        """A style sheet or script of the folder, unchanged, to be embedded in a page."""
        return Markup((self._folder / name).read_text(encoding="utf-8"))


def content_hash(text: str) -> Markup:
    """The source expression with which a content security policy allows this style or script."""
    digest = hashlib.sha256(text.encode()).digest()
    return Markup("'sha256-{}'").format(base64.b64encode(digest).decode())


def _printable(value: Any) -> Any:
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _px(length: float) -> str:
    """A length or position in a drawing, to a tenth."""
    return f"{length:.1f}"
