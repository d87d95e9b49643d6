"""Pack the JavaScript client: `python clients/js/pack.py dist`.

Its modules are those that the gateway serves to its own page, `gateway/static/client`; here are the
description, the types and the manual. npm packs where it is installed; without it the same files
are packed here.
"""

import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MODULES = ROOT / "gateway" / "static" / "client"
BESIDE = (HERE / "package.json", HERE / "README.md", HERE / "index.d.ts", ROOT / "LICENSE")


def gather(folder: Path) -> None:
    """Put what the package consists of into an empty folder."""
    for file in BESIDE:
        shutil.copy(file, folder)
    shutil.copytree(MODULES, folder / "src", ignore=shutil.ignore_patterns("[!a-z]*"))


def name() -> str:
    """Of the tarball, as npm has it: `@parley/client` is `parley-client-0.1.0.tgz`."""
    told = json.loads((HERE / "package.json").read_text(encoding="utf-8"))
    return f"{told['name'].removeprefix('@').replace('/', '-')}-{told['version']}.tgz"


def pack(target: Path, npm: str | None) -> Path:
    """The tarball in the folder `target`, packed by the program `npm` where there is one.

    Raises `subprocess.CalledProcessError` where npm fails.
    """
    target.mkdir(parents=True, exist_ok=True)
    packed = target.resolve() / name()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        gather(folder)
        if npm is not None:
            command = [npm, "pack", "--silent", "--pack-destination", str(packed.parent)]
            subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
            return packed
        with tarfile.open(packed, "w:gz") as tarball:
            for file in sorted(folder.rglob("*")):
                if file.is_file():
                    tarball.add(file, f"package/{file.relative_to(folder).as_posix()}")
    return packed


def main() -> None:
    """The command."""
    npm = shutil.which("npm")
    packed = pack(Path(sys.argv[1] if len(sys.argv) > 1 else "dist"), npm)
    print(
        f"{packed.name}: packed {'by npm' if npm else 'without npm, which is not installed here'}"
    )


if __name__ == "__main__":
    main()
