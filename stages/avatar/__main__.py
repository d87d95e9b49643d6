"""`python -m stages.avatar check FOLDER`: what is wrong with a face.

Exits with 0 if it can be shown, 1 with everything that keeps it from that, 2 if it cannot look.
"""

import argparse
import sys
from pathlib import Path

from stages.avatar.face import FaceError, load
from stages.avatar.renderer import RendererMissing, paint_outside


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m stages.avatar", description="Can a face be shown?"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="print what is wrong with a face")
    check.add_argument("folder", type=Path, help="where face.svg and face.json are")
    folder: Path = parser.parse_args().folder
    try:
        face = load(folder)
        problems = paint_outside(face)
    except FaceError as error:
        problems = error.problems
    except RendererMissing as error:
        parser.error(str(error))
    if problems:
        sys.stdout.write("".join(f"{problem}\n" for problem in problems))
        return 1
    sys.stdout.write(f"{face.manifest.name} is ready\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
