"""`deploy/`: the rules and the dashboard name figures that the gateway serves."""

import json
import re
import shutil
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.security.access import own_beginnings
from gateway.services.services_file import parse_services
from tests.support.paths import DOCS, ROOT

DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus/alerts.yml"
DASHBOARD = DEPLOY / "grafana/dashboards/parley.json"
OPERATION = (DOCS / "operations.md").read_text(encoding="utf-8")

PROCESS = {"process_resident_memory_bytes", "process_cpu_seconds_total"}


def section(title: str) -> str:
    return OPERATION.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def listed(title: str) -> list[str]:
    return re.findall(r"^\| `(\w+)`", section(title), re.MULTILINE)


def labels() -> dict[str, set[str]]:
    """The labels of each metric, by the table that a test compares with `/metrics`."""
    rows = re.findall(r"^\| `(\w+)` \|([^|]*)\|", section("Metrics"), re.MULTILINE)
    return {name: set(re.findall(r"`(\w+)`", cell)) for name, cell in rows}


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def panels() -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return shown


QUERIES = [
    *(rule["expr"] for rule in alerts()),
    *(target["expr"] for panel in panels() for target in panel["targets"]),
]


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_asks_for_figures_and_labels_that_there_are(query: str) -> None:
    known = labels()
    for name, selected in re.findall(r"\b((?:parley|process)_\w+)(?:\{([^}]*)\})?", query):
        metric = re.sub(r"_(bucket|sum|count)$", "", name)
        assert metric in known.keys() | PROCESS
        asked = set(re.findall(r"(\w+)\s*[=!]~?", selected)) - {"instance", "job"}
        assert asked <= known.get(metric, set())
        if name.endswith("_bucket"):
            assert "histogram_quantile" in query
    for grouped in re.findall(r"\bby \(([^)]*)\)", query):
        by = {label.strip() for label in grouped.split(",")} - {"le", "instance"}
        assert any(by <= given for given in known.values())


def test_every_figure_is_on_the_dashboard() -> None:
    shown = " ".join(target["expr"] for panel in panels() for target in panel["targets"])
    assert [name for name in listed("Metrics") if name not in shown] == ["parley_build_info"]


def test_no_panel_covers_another() -> None:
    for one, other in combinations((panel["gridPos"] for panel in panels()), 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)
    assert all(p["gridPos"]["x"] + p["gridPos"]["w"] <= 24 for p in panels())


def test_every_alert_says_what_is_wrong_and_the_page_what_to_do() -> None:
    assert listed("Alerts") == [rule["alert"] for rule in alerts()]
    for rule in alerts():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool comes with Prometheus")
def test_promtool_accepts_the_rules_and_their_tests() -> None:
    for command in (["check", "rules", RULES], ["test", "rules", RULES.with_stem("alerts_test")]):
        done = subprocess.run(["promtool", *command], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


def test_compose_brings_what_the_files_expect() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    services = compose["services"]
    config = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text(encoding="utf-8"))
    (scraped,) = config["scrape_configs"]
    assert scraped["static_configs"] == [{"targets": ["gateway:8000"]}]
    assert scraped["authorization"]["credentials_file"] in services["prometheus"]["command"][0]
    for name in ("prometheus", "grafana"):
        assert services[name]["profiles"] == ["monitoring"]
        assert all(port.startswith("127.0.0.1:") for port in services[name]["ports"])
        for volume in services[name]["volumes"]:
            source = Path(volume.partition(":")[0])
            assert str(source) in compose["volumes"] or (ROOT / source).is_dir()


def test_the_services_of_the_compose_file_are_those_of_their_file() -> None:
    text = (DEPLOY / "services/services.yaml").read_text(encoding="utf-8")
    file = parse_services(text, "services.yaml", own_beginnings())
    compose = yaml.safe_load((ROOT / "docker-compose.services.yml").read_text(encoding="utf-8"))
    services = compose["services"]
    gateway = services["gateway"]["environment"]
    (subnet,) = compose["networks"]["default"]["ipam"]["config"]
    assert gateway["PARLEY_SERVICE_NETWORKS"] == subnet["subnet"]
    assert gateway["PARLEY_SERVICES"] == "/etc/parley/services.yaml"
    assert services["gateway"]["volumes"] == ["./deploy/services:/etc/parley:ro"]
    assert [*file] == [name for name in services if name != "gateway"]
    for name, spec in file.items():
        stub = services[name]["environment"]
        assert stub["STUB_NAME"] == name
        places = [(one.host, str(one.port)) for one in spec.instances]
        registers = "STUB_REGISTERS_AT" in stub
        assert places == ([] if registers else [(name, stub["STUB_PORT"])])
