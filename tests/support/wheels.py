"""Wheels that pip takes for some."""

import zipfile
from pathlib import Path


def make_wheel(
    folder: Path, members: dict[str, bytes], name: str = "tiny-wheel", version: str = "1.0"
) -> Path:
    """A wheel that pip takes for one."""
    module = name.replace("-", "_")
    file = folder / f"{module}-{version}-py3-none-any.whl"
    folder.mkdir(parents=True, exist_ok=True)
    about = f"{module}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    wheel = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(file, "w") as archive:
        for path, content in members.items():
            archive.writestr(path, content)
        archive.writestr(f"{about}/METADATA", metadata)
        archive.writestr(f"{about}/WHEEL", wheel)
        archive.writestr(f"{about}/RECORD", "")
    return file
