"""`python -m tests.fuzz TARGET [libFuzzer's options]`: one target with atheris, until it is ended.

Without a target they are named. What breaks a promise is written to a file crash-…; put it into
tests/fuzz/found/TARGET, where each run of the tests tries it again.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["gateway", "stages", "websockets"]):
    from tests.fuzz.seeds import seeds
    from tests.fuzz.targets import TARGETS


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        raise SystemExit(f"python -m tests.fuzz TARGET, which is one of {', '.join(TARGETS)}")
    target = TARGETS[sys.argv[1]]
    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate(seeds(sys.argv[1])):
            (Path(folder) / str(number)).write_bytes(seed)
        atheris.Setup([sys.argv[0], folder, *sys.argv[2:]], target)
        atheris.Fuzz()


main()
