"""`python -m stages.avatar check FOLDER`: print the problems of a face.

Exits with 0 if the face can be shown, 1 with all its problems, 2 if it could not be checked.
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
