"""`clients/js/pack.py`, which is a script and in no package."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

from tests.support.paths import ROOT

JS = ROOT / "clients" / "js"

_spec = importlib.util.spec_from_file_location("parley_js_pack", JS / "pack.py")
assert _spec is not None
assert _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)

pack: Callable[[Path, str | None], Path] = _module.pack
"""Packs into a folder, by the npm that is given or by itself."""
