"""The chart in `deploy/helm`, rendered by helm: valid for Kubernetes, and true of Parley."""

import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import kubernetes_validate
import pytest
import yaml
from redis import Redis

from gateway import __version__
from gateway.commands.capacity.planning import SPEAKING_PERCENT
from gateway.commands.cli import _parser
from gateway.commands.serve import GRACE_S
from gateway.commands.stage_worker import START_S
from gateway.live.registry import LAST_WORDS_S, STORE_S
from gateway.media.resampling import converter
from gateway.security import Need
from gateway.security.access import NEEDS
from gateway.settings import Settings
from gateway.variables import variables
from gateway.workers.supervisor import END_S, FORCED_S
from stages._remote_conversations import LAST_WORDS_S as WORKERS_LAST_WORDS_S
from stages._remote_server import StageServer
from tests.support.figures import check_query
from tests.support.helm import (
    CHART,
    HERE,
    IN_CI,
    MISSING,
    NAMESPACE,
    Manifest,
    ask,
    missing,
    refusal,
    rendered,
)
from tests.support.paths import ROOT
from tests.support.remote_worker import stage_of
from tests.support.served import free_port

pytestmark = pytest.mark.skipif(bool(MISSING) and not IN_CI, reason=f"needs {', '.join(MISSING)}")

KUBERNETES = ("1.25", "1.36")
"""The oldest that the chart takes, and one of today's."""

PASSWORD = "0123456789abcdef"
GIVEN = {
    "PARLEY_API_KEYS": "a-clients-key",
    "PARLEY_WORKER_KEY": "a-workers-key",
    "REDIS_PASSWORD": PASSWORD,
}
SECRET = GIVEN | {
    "PARLEY_ADMIN_KEY": "an-operators-key",
    "PARLEY_LLM_URL": "http://user:password@models:8000/v1",
    "PARLEY_STT_URL": "http://user:password@recognition:8000/v1",
    "REDIS_URL": f"rediss://:{PASSWORD}@redis.example.org:6380/0",
}
"""What is in the cluster's Secret."""


def given(**values: str) -> tuple[str, ...]:
    """Words for helm that give these secrets."""
    return tuple(
        word
        for name, value in values.items()
        for word in ("--set-string", f"secrets.values.{name}={value}")
    )


def file(name: str) -> tuple[str, str]:
    return "--values", str(CHART / f"values-{name}.yaml")


ONE_EGRESS = ("--set-json", 'networkPolicy.gatewayEgress=[{"to": [{"podSelector": {}}]}]')

CASES = {
    "as it is": given(**GIVEN),
    "dev": (*file("dev"), *given(**GIVEN)),
    "staging": file("staging"),
    "prod": file("prod"),
    "everything": ("--values", str(HERE / "everything.yaml")),
}

each_case = pytest.mark.parametrize("words", CASES.values(), ids=CASES.keys())


# --- what Kubernetes and helm say ----------------------------------------------------------------


def test_helm_finds_nothing_to_complain_of() -> None:
    done = ask("lint", CHART, "--strict", "--quiet", *CASES["everything"])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "version"),
    [*((name, KUBERNETES[1]) for name in CASES), ("everything", KUBERNETES[0])],
)
def test_kubernetes_takes_what_is_rendered(name: str, version: str) -> None:
    own = [one for one in rendered(*CASES[name]) if one["kind"] not in OTHERS]
    assert len(own) > 5
    for manifest in own:
        kubernetes_validate.validate(manifest, version, strict=True)


OTHERS = {"ScaledObject", "ServiceMonitor"}
"""Kinds that are not Kubernetes' own."""


def test_keda_and_prometheus_operator_take_what_is_rendered() -> None:
    theirs = [one for one in rendered(*CASES["everything"]) if one["kind"] in OTHERS]
    assert {one["kind"] for one in theirs} == OTHERS
    done = subprocess.run(
        ["node", HERE / "validate.mjs"],
        input=json.dumps(theirs),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("machine", "installed", "told"),
    [
        (("Linux", "x86_64"), True, []),
        (("Linux", "x86_64"), False, ["npm ci"]),
        (("Linux", "aarch64"), True, ["alone"]),
        (("Darwin", "x86_64"), True, ["alone"]),
    ],
    ids=["all there", "not installed", "another processor", "another system"],
)
def test_helm_is_missing_where_its_program_would_not_run(
    machine: tuple[str, str], installed: bool, told: list[str]
) -> None:
    assert [part in why for part, why in zip(told, missing(machine, installed), strict=True)] == [
        True for _ in told
    ]


# --- what is refused -----------------------------------------------------------------------------


def without(name: str) -> tuple[str, ...]:
    return given(**{each: value for each, value in GIVEN.items() if each != name})


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "give values.PARLEY_API_KEYS, or name an existingSecret that has"),
        (without("PARLEY_WORKER_KEY"), "give values.PARLEY_WORKER_KEY"),
        (without("REDIS_PASSWORD"), "give values.REDIS_PASSWORD"),
        ((*given(**GIVEN), "--set", "redis.enabled=false"), "give values.REDIS_URL"),
        ((*given(**GIVEN), "--set", "serviceMonitor.enabled=true"), "values.PARLEY_ADMIN_KEY"),
        ((*given(**GIVEN), "--set", "gateway.secretEnv={PARLEY_TTS_URL}"), "values.PARLEY_TTS_URL"),
        (given(**GIVEN, PARLEY_TTS_URL="http://voices"), "PARLEY_TTS_URL: no pod asks for it"),
        (
            (*file("prod"), "--set", "gateway.secretEnv={PARLEY_PROXIES}"),
            "PARLEY_PROXIES is in gateway.env as well",
        ),
        (given(**GIVEN | {"PARLEY_API_KEYS": "auto"}), "each gateway would have a key of its own"),
        (given(**GIVEN | {"REDIS_PASSWORD": "0123456789@bcdef"}), "16 letters and digits"),
        ((*given(**GIVEN), "--set", "secrets.existingSecret=keys"), "not both"),
        (
            (*given(**GIVEN), "--set", "redis.resources.limits.memory=1.5Gi"),
            '"1.5Gi" is no whole number of Mi or Gi',
        ),
        (
            (*given(**GIVEN), "--set", "redis.resources.limits=null"),
            '"" is no whole number of Mi or Gi',
        ),
        (
            (*given(**GIVEN), "--set", "gateway.maxSessions=11"),
            "gateways take 22 conversations (maxSessions for each), workers.stt carries 20",
        ),
        (
            (*file("prod"), "--set", "autoscaling.tts.maxReplicas=7"),
            "gateways take 400 conversations (maxSessions for each), workers.tts carries 350",
        ),
        ((*given(**GIVEN), "--set", "workers.stt.places=9"), "places are less than sessions"),
        (
            (*file("prod"), "--set", "autoscaling.stt.minReplicas=41"),
            "autoscaling.stt: minReplicas is more than maxReplicas",
        ),
        ((*file("prod"), *ONE_EGRESS), "networkPolicy.redisEgress is missing"),
        (
            (*file("prod"), "--set-string", "gateway.env.PARLEY_WEBRTC_ADDRESSES=203.0.113.9"),
            "networkPolicy.gatewayUdp is missing",
        ),
        (
            (*file("prod"), "--set-json", 'networkPolicy.gatewayUdp={"first": 9, "last": 8}'),
            "first is more than last",
        ),
        (
            (*file("prod"), "--set-json", 'gateway.extraEnv=[{"name": "PARLEY_BUGDET_MS"}]'),
            "/gateway/extraEnv/0/name",
        ),
        (
            (*file("prod"), "--set-json", 'workers.stt.extraEnv=[{"name": "A"}, {"name": "A"}]'),
            "workers.stt.extraEnv: A is there twice",
        ),
        (
            (*file("prod"), "--set", "workers.tts.secretEnv={PARLEY_LOG_FORMAT}"),
            "workers.tts.secretEnv: PARLEY_LOG_FORMAT is in workers.tts.env as well",
        ),
        (
            (*file("prod"), "--set", "secrets.existingSecret=parley-keys"),
            "parley-keys is the chart's own, which helm deletes",
        ),
        (
            (*file("prod"), "--set", "gateway.service.externalTrafficPolicy=Local"),
            "a ClusterIP has no traffic from outside",
        ),
        ((*file("prod"), "--set", "ingress.host="), "ingress.host is missing"),
        ((*file("prod"), "--set-string", "gateway.env.PARLEY_PROXIES="), "PROXIES is missing"),
        ((*file("prod"), "--set", "serviceMonitor.enabled=false"), "needs serviceMonitor.enabled"),
        ((*file("prod"), "--set-string", "gateway.env.PARLEY_BUGDET_MS=900"), "PARLEY_BUGDET_MS"),
        ((*file("prod"), "--set", "gateway.env.PARLEY_BUDGET_MS=900"), "string"),
        ((*file("prod"), "--set", "gateway.env.PARLEY_LLM_KEY=a-key"), "PARLEY_LLM_KEY"),
        ((*file("prod"), "--set-string", "gateway.env.PARLEY_INSECURE=1"), "PARLEY_INSECURE"),
        ((*file("prod"), "--set", "gateway.drainSecond=5"), "drainSecond"),
    ],
    ids=[
        "no keys",
        "no key of workers",
        "no password of Redis",
        "no Redis",
        "no key of the operator",
        "a variable that is not there",
        "a secret that nobody reads",
        "a variable from two places",
        "auto",
        "a password that is no part of a URL",
        "two sources",
        "a part of a Gi",
        "no limit of Redis",
        "more conversations than are recognised",
        "more conversations than are spoken",
        "fewer places than conversations",
        "a minimum above the maximum",
        "the chart's own Secret",
        "outside traffic of a ClusterIP",
        "a Redis out of reach",
        "media out of reach",
        "ports the wrong way round",
        "a setting that goes unchecked",
        "a variable of others twice",
        "a worker's variable from two places",
        "an ingress without a host",
        "an ingress without proxies",
        "scaling without figures",
        "an unknown setting",
        "a number",
        "a secret among the settings",
        "no keys wanted",
        "an unknown value",
    ],
)
def test_values_that_cannot_work_are_refused_in_words(words: tuple[str, ...], told: str) -> None:
    assert told in " ".join(refusal(*words).split())


def test_no_file_of_the_chart_has_a_secret() -> None:
    for path in CHART.glob("values*.yaml"):
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert values.get("secrets", {}).get("values", {}) == {}, path.name


# --- the gateway's settings ----------------------------------------------------------------------

CHARTS_OWN = {
    "PARLEY_DATA_DIR",
    "PARLEY_DRAIN_S",
    "PARLEY_HOST",
    "PARLEY_INSECURE",
    "PARLEY_MAX_SESSIONS",
    "PARLEY_PORT",
    "PARLEY_STT_WORKER",
    "PARLEY_TTS_WORKER",
    "PORT",
}
"""What the chart sets, or never."""

OPENTELEMETRY = {"OTEL_SERVICE_NAME", "OTEL_TRACES_SAMPLER"}
HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"
"""What its library reads beside the gateway's settings (docs/operations.md)."""


def names() -> set[str]:
    return {name for field in Settings.model_fields.values() for name in variables(field)}


def secrets() -> set[str]:
    """The settings that are secrets: by their type, and a URL with a password."""
    return {
        name
        for field in Settings.model_fields.values()
        if "SecretStr" in str(field.annotation)
        for name in variables(field)
    } | {"REDIS_URL"}


def test_the_schema_knows_the_settings_of_the_gateway() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    known = {name: set(schema["definitions"][name]["enum"]) for name in ("setting", "secret")}
    assert known == {
        "setting": names() - secrets() - CHARTS_OWN | OPENTELEMETRY,
        "secret": secrets() | {"REDIS_PASSWORD", HEADERS},
    }
    assert len(secrets()) > 10


Pod = tuple[str, Manifest]


def pods(manifests: tuple[Manifest, ...]) -> Iterator[Pod]:
    """The pods of each component."""
    for one in manifests:
        if one["kind"] in ("Deployment", "StatefulSet"):
            template = one["spec"]["template"]
            yield template["metadata"]["labels"]["app.kubernetes.io/component"], template


def container(template: Manifest) -> Manifest:
    (only,) = template["spec"]["containers"]
    return dict(only)


def environment(template: Manifest, secret: Mapping[str, str]) -> dict[str, str]:
    """What the container's process finds, as Kubernetes makes it of the Secret."""
    found: dict[str, str] = {}
    for entry in container(template)["env"]:
        assert entry["name"] not in found
        if "resourceFieldRef" in entry.get("valueFrom", {}):
            continue
        if "value" in entry:
            found[entry["name"]] = re.sub(r"\$\((\w+)\)", lambda m: found[m[1]], entry["value"])
            continue
        reference = entry["valueFrom"]["secretKeyRef"]
        assert reference["key"] == entry["name"]
        if not reference.get("optional", False) or reference["key"] in secret:
            found[entry["name"]] = secret[reference["key"]]
    return found


@pytest.fixture
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in names():
        monkeypatch.delenv(name, raising=False)


@each_case
def test_gateways_start_with_what_they_are_given(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, bare_environment: None
) -> None:
    manifests = rendered(*words)
    by_component = dict(pods(manifests))
    gateway = by_component["gateway"]
    given_to_it = environment(gateway, SECRET)
    theirs = {"HTTPS_PROXY", "OMP_NUM_THREADS"} if "everything" in words[-1] else set()
    assert given_to_it.keys() <= names() | OPENTELEMETRY | {HEADERS, "REDIS_PASSWORD"} | theirs
    for name, value in given_to_it.items():
        monkeypatch.setenv(name, value)
    settings = Settings.load(None)
    assert settings.guarded
    assert settings.host == "0.0.0.0"
    assert settings.port == container(gateway)["ports"][0]["containerPort"]
    services = {one["metadata"]["name"]: one for one in manifests if one["kind"] == "Service"}
    for stage, urls in (("stt", settings.stt_worker), ("tts", settings.tts_worker)):
        assert (urls is not None) == (stage in by_component)
        if urls is not None:
            service, _, port = urls.removeprefix("ws://").partition(":")
            assert int(port) == services[service]["spec"]["ports"][0]["port"]
    assert settings.redis_url is not None
    if "redis" in by_component:
        (service,) = re.findall(rf"^redis://:{PASSWORD}@([\w-]+):6379/0$", settings.redis_url)
        assert services[service]["spec"]["ports"][0]["port"] == 6379
    else:
        assert settings.redis_url == SECRET["REDIS_URL"]


def test_every_secret_that_there_is_reaches_the_gateway() -> None:
    gateway = dict(pods(rendered(*CASES["prod"])))["gateway"]
    from_secret = {one["name"]: one for one in container(gateway)["env"] if "valueFrom" in one}
    assert from_secret.keys() == secrets() | {HEADERS}
    needed = {
        name
        for name, one in from_secret.items()
        if not one["valueFrom"]["secretKeyRef"].get("optional", False)
    }
    assert needed == {"PARLEY_ADMIN_KEY", "PARLEY_API_KEYS", "PARLEY_WORKER_KEY", "REDIS_URL"}


def test_secrets_on_the_command_line_are_in_the_secret_alone() -> None:
    manifests = rendered(*CASES["as it is"])
    (secret,) = [one for one in manifests if one["kind"] == "Secret"]
    assert secret["stringData"] == GIVEN
    assert secret["metadata"]["name"] == "parley-keys"  # not one that somebody makes by hand
    others = json.dumps([one for one in manifests if one["kind"] != "Secret"])
    assert [value for value in GIVEN.values() if value in others] == []


# --- the workers ---------------------------------------------------------------------------------


@each_case
def test_workers_are_started_by_a_command_that_there_is(words: tuple[str, ...]) -> None:
    stages = {name: pod for name, pod in pods(rendered(*words)) if name in ("stt", "tts")}
    assert stages
    for stage, pod in stages.items():
        program, *arguments = container(pod)["args"]
        parsed = _parser().parse_args(arguments)
        assert (program, parsed.slot, parsed.host) == ("parley", stage, "0.0.0.0")
        assert parsed.port == container(pod)["ports"][0]["containerPort"]
        assert not parsed.insecure
        assert "PARLEY_WORKER_KEY" in environment(pod, SECRET)


def probes(template: Manifest) -> dict[str, Manifest]:
    return {
        kind: container(template)[f"{kind}Probe"] for kind in ("startup", "liveness", "readiness")
    }


def test_gateways_are_asked_for_paths_that_need_no_key() -> None:
    gateway = dict(pods(rendered(*CASES["prod"])))["gateway"]
    asked = {kind: probe["httpGet"] for kind, probe in probes(gateway).items()}
    (port,) = container(gateway)["ports"]
    assert {request["port"] for request in asked.values()} == {port["name"]}
    assert {kind: request["path"] for kind, request in asked.items()} == {
        "startup": "/health/ready",
        "liveness": "/health/live",
        "readiness": "/health/live",
    }
    for request in asked.values():
        assert NEEDS[request["path"]]["GET"] is Need.NOTHING


def test_workers_are_asked_for_what_they_answer_and_are_not_ready_when_they_end() -> None:
    worker = dict(pods(rendered(*CASES["prod"])))["stt"]
    (path,) = {probe["httpGet"]["path"] for probe in probes(worker).values()}
    startup = probes(worker)["startup"]
    assert startup["periodSeconds"] * startup["failureThreshold"] > START_S

    async def statuses() -> list[int]:
        listener = socket.create_server(("127.0.0.1", 0))
        server = StageServer("stt", stage_of("stt"), converter, key="a-workers-key")
        serving = asyncio.create_task(server.serve([listener]))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}{path}"
        found = []
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            found.append((await client.get(url)).status_code)
            server.conversations.draining = True
            found.append((await client.get(url)).status_code)
        await server.drain(0)
        await serving
        return found

    assert asyncio.run(statuses()) == [200, 503]


# --- the end of a pod ----------------------------------------------------------------------------


def pre_stop_s(template: Manifest) -> int:
    program, seconds = container(template)["lifecycle"]["preStop"]["exec"]["command"]
    assert program == "sleep"
    return int(seconds)


@each_case
def test_a_pod_is_killed_only_when_its_drain_must_have_ended(words: tuple[str, ...]) -> None:
    for component, pod in pods(rendered(*words)):
        grace_s = pod["spec"]["terminationGracePeriodSeconds"]
        if component == "gateway":
            drain_s = int(environment(pod, SECRET)["PARLEY_DRAIN_S"])
            assert grace_s >= pre_stop_s(pod) + drain_s + LAST_WORDS_S + STORE_S + GRACE_S
            if int(environment(pod, SECRET).get("PARLEY_WORKERS", "1")) > 1:
                ends_s = drain_s + LAST_WORDS_S + STORE_S + END_S + FORCED_S + 1
                assert grace_s >= pre_stop_s(pod) + ends_s
        elif component != "redis":
            drain_s = _parser().parse_args(container(pod)["args"][1:]).drain
            assert grace_s >= pre_stop_s(pod) + drain_s + WORKERS_LAST_WORDS_S + 10


@each_case
def test_gateways_end_one_after_the_other(words: tuple[str, ...]) -> None:
    (gateway,) = [
        one["spec"]
        for one in rendered(*words)
        if one["kind"] == "Deployment" and one["metadata"]["name"].endswith("-gateway")
    ]
    pod = gateway["template"]
    drain_s = int(environment(pod, SECRET)["PARLEY_DRAIN_S"])
    assert gateway["minReadySeconds"] == pre_stop_s(pod) + drain_s
    startup = probes(pod)["startup"]
    starts_s = startup["periodSeconds"] * startup["failureThreshold"]
    assert gateway["progressDeadlineSeconds"] > gateway["minReadySeconds"] + starts_s


# --- what belongs together -----------------------------------------------------------------------


def selected(selector: Mapping[str, str], manifests: tuple[Manifest, ...]) -> list[str]:
    """The components whose pods have these labels."""
    return [
        component
        for component, pod in pods(manifests)
        if selector.items() <= pod["metadata"]["labels"].items()
    ]


@each_case
def test_every_selector_finds_the_pods_of_one_component(words: tuple[str, ...]) -> None:
    manifests = rendered(*words)
    templates = dict(pods(manifests))
    for one in manifests:
        spec = one.get("spec", {})
        match one["kind"]:
            case "Service":
                (component,) = selected(spec["selector"], manifests)
                (port,) = spec["ports"]
                named = [each["name"] for each in container(templates[component])["ports"]]
                assert named == [port["targetPort"]]
            case "Deployment" | "StatefulSet" | "PodDisruptionBudget":
                assert len(selected(spec["selector"]["matchLabels"], manifests)) == 1
            case "NetworkPolicy":
                assert len(selected(spec["podSelector"]["matchLabels"], manifests)) == 1
            case "ServiceMonitor":
                wanted = spec["selector"]["matchLabels"].items()
                services = [each for each in manifests if each["kind"] == "Service"]
                (service,) = [
                    each for each in services if wanted <= each["metadata"]["labels"].items()
                ]
                (endpoint,) = spec["endpoints"]
                assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
                assert NEEDS[endpoint["path"]]["GET"] is Need.OPERATOR


@pytest.mark.parametrize("name", ["as it is", "prod", "everything"])
def test_only_gateways_reach_workers_and_redis(name: str) -> None:
    manifests = rendered(*CASES[name])
    guarded = {}
    for policy in (one["spec"] for one in manifests if one["kind"] == "NetworkPolicy"):
        (component,) = selected(policy["podSelector"]["matchLabels"], manifests)
        (rule,) = policy["ingress"]
        port, *media = rule["ports"]
        udp = {"protocol": "UDP", "port": 32768, "endPort": 60999}
        assert media == ([udp] if (component, name) == ("gateway", "everything") else [])
        (open_port,) = container(dict(pods(manifests))[component])["ports"]
        assert port == {"protocol": "TCP", "port": open_port["containerPort"]}
        if component != "gateway":
            (source,) = rule["from"]
            assert selected(source["podSelector"]["matchLabels"], manifests) == ["gateway"]
            assert "Egress" in policy["policyTypes"]
        guarded[component] = policy
    assert guarded.keys() == dict(pods(manifests)).keys()


def test_gateways_that_may_reach_little_reach_redis_workers_and_what_is_named() -> None:
    manifests = rendered(*CASES["everything"])
    (policy,) = [
        one["spec"]
        for one in manifests
        if one["kind"] == "NetworkPolicy"
        and selected(one["spec"]["podSelector"]["matchLabels"], manifests) == ["gateway"]
    ]
    reached: list[Any] = []
    for rule in policy["egress"]:
        ports = [port["port"] for port in rule["ports"]]
        for peer in rule.get("to", [{}]):
            labels = peer.get("podSelector", {}).get("matchLabels")
            reached.append((selected(labels, manifests) if labels else peer, ports))
    assert reached == [
        ({}, [53, 53]),
        (["stt"], [8100]),
        (["tts"], [8101]),
        (["redis"], [6379]),
        ({"ipBlock": {"cidr": "192.0.2.0/24"}}, [443]),
    ]


def test_gateways_that_may_reach_little_reach_a_redis_elsewhere() -> None:
    rule = {"to": [{"ipBlock": {"cidr": "192.0.2.9/32"}}], "ports": [{"port": 26379}]}
    rules = ("--set-json", f"networkPolicy.redisEgress={json.dumps([rule])}")
    manifests = rendered(*file("prod"), *ONE_EGRESS, *rules)
    (policy,) = [
        one["spec"]
        for one in manifests
        if one["kind"] == "NetworkPolicy" and one["metadata"]["name"] == "parley-gateway"
    ]
    assert rule in policy["egress"]


def test_what_is_not_parleys_reaches_gateways_and_workers() -> None:
    by_component = dict(pods(rendered(*CASES["everything"])))
    for component in ("gateway", "stt", "tts"):
        extra = container(by_component[component])["env"][-2:]
        assert [one["name"] for one in extra] == ["HTTPS_PROXY", "OMP_NUM_THREADS"]
    for component in ("stt", "tts"):
        assert (
            environment(by_component[component], SECRET)["PARLEY_STT_URL"]
            == SECRET["PARLEY_STT_URL"]
        )


@pytest.mark.parametrize("name", ["staging", "prod"])
def test_ingress_nginx_keeps_clients_apart_and_takes_uploads(name: str) -> None:
    manifests = rendered(*CASES[name])
    (ingress,) = [one for one in manifests if one["kind"] == "Ingress"]
    assert ingress["spec"]["ingressClassName"] == "nginx"
    prefix = "nginx.ingress.kubernetes.io/"
    told = {
        key.removeprefix(prefix): value for key, value in ingress["metadata"]["annotations"].items()
    }
    assert told["affinity"] == "cookie"
    assert "http_503" in told["proxy-next-upstream"]
    assert (
        int(told["proxy-body-size"].removesuffix("m"))
        > Settings.model_fields["upload_max_mb"].default
    )
    assert int(told["proxy-read-timeout"]) >= 60


def test_the_service_keeps_addresses_and_clients_where_that_is_wanted() -> None:
    (service,) = [
        one["spec"]
        for one in rendered(*CASES["everything"])
        if one["kind"] == "Service" and one["metadata"]["name"] == "interviews-gateway"
    ]
    assert (service["externalTrafficPolicy"], service["sessionAffinity"]) == ("Local", "ClientIP")


@each_case
def test_containers_may_do_no_more_than_they_need(words: tuple[str, ...]) -> None:
    for _, pod in pods(rendered(*words)):
        spec, only = pod["spec"], container(pod)
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False  # they would set PARLEY_PORT
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert only["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert only["resources"]["limits"]["memory"]


def test_the_pods_fit_the_image_of_the_dockerfile() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    (user,) = re.findall(r"--uid (\d+)", dockerfile)
    (folder,) = re.findall(r"PARLEY_DATA_DIR=(\S+)", dockerfile)
    by_component = dict(pods(rendered(*CASES["as it is"])))
    for component in ("gateway", "stt"):
        pod = by_component[component]
        assert pod["spec"]["securityContext"]["runAsUser"] == int(user)
        assert container(pod)["image"] == f"parley:{__version__}"
        writable = {mount["mountPath"] for mount in container(pod)["volumeMounts"]}
        assert writable == {folder, "/tmp"}
        assert environment(pod, SECRET)["PARLEY_DATA_DIR"] == folder


# --- scaling -------------------------------------------------------------------------------------


def test_pods_are_scaled_by_figures_that_there_are() -> None:
    manifests = rendered(*CASES["prod"])
    scaled = [one for one in manifests if one["kind"] == "ScaledObject"]
    deployments = {
        one["metadata"]["name"]: one["spec"] for one in manifests if one["kind"] == "Deployment"
    }
    assert [one["spec"]["scaleTargetRef"]["name"] for one in scaled] == [*deployments]
    assert [name for name, spec in deployments.items() if "replicas" in spec] == []
    targets = frozenset({"namespace", "service", "instance"})
    for one in scaled:
        spec = one["spec"]
        assert 1 < spec["minReplicaCount"] < spec["maxReplicaCount"]
        for trigger in spec["triggers"]:
            query = trigger["metadata"]["query"]
            assert "parley_" in query
            assert f'namespace="{NAMESPACE}",service="parley-gateway"' in query
            check_query(query, targets)
            assert float(trigger["metadata"]["threshold"]) > 0


WORKERS = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))["workers"]
SESSIONS = {stage: worker["sessions"] for stage, worker in WORKERS.items()}
"""Conversations that one pod carries. No file of values has others."""


@each_case
def test_gateways_take_no_more_conversations_than_the_workers_carry(words: tuple[str, ...]) -> None:
    manifests = rendered(*words)
    most = {
        one["metadata"]["labels"]["app.kubernetes.io/component"]: (
            one["spec"].get("maxReplicaCount") or one["spec"].get("replicas")
        )
        for one in manifests
        if one["kind"] in ("Deployment", "ScaledObject")
    }
    by_component = dict(pods(manifests))
    gateways = most["gateway"] * int(
        environment(by_component["gateway"], SECRET)["PARLEY_MAX_SESSIONS"]
    )
    for stage in {"stt", "tts"} & by_component.keys():
        carried = SESSIONS[stage]
        assert gateways <= most[stage] * carried
        assert _parser().parse_args(container(by_component[stage])["args"][1:]).places >= carried
    aims = {
        one["metadata"]["labels"]["app.kubernetes.io/component"]: int(
            one["spec"]["triggers"][0]["metadata"]["threshold"]
        )
        for one in manifests
        if one["kind"] == "ScaledObject"
    }
    assert {
        stage: aim for stage, aim in aims.items() if stage != "gateway"
    }.items() <= SESSIONS.items()


def test_a_recogniser_carries_what_was_measured() -> None:
    told = (ROOT / "docs/scale.md").read_text(encoding="utf-8")
    people = {int(each) for each in re.findall(r"people to a worker, at most +(\d+) ", told)}
    assert {SESSIONS["stt"] * SPEAKING_PERCENT / 100} == people


SERIES = {
    'parley_sessions{%s,instance="a",transport="websocket"}': "30x20",
    'parley_sessions{%s,instance="a",transport="webrtc"}': "5x20",
    'parley_sessions{%s,instance="b",transport="websocket"}': "40x20",
    'parley_sessions{namespace="others",service="parley-gateway",instance="c"}': "99x20",
    'parley_pressure{%s,instance="a",measure="busy"}': "0.5x20",
    'parley_pressure{%s,instance="a",measure="loop_lag"}': "0.75x20",
    'parley_pressure{%s,instance="a",measure="memory"}': "0.99x20",
    'parley_pressure{%s,instance="b",measure="busy"}': "0.25x20",
    'parley_queue_wait_seconds_bucket{%s,queue="recognition",le="1.0"}': "0x20",
    'parley_queue_wait_seconds_bucket{%s,queue="recognition",le="2.5"}': "0+20x20",
    'parley_queue_wait_seconds_bucket{%s,queue="recognition",le="+Inf"}': "0+20x20",
    'parley_queue_wait_seconds_bucket{%s,queue="synthesis",le="1.0"}': "0x20",
    'parley_queue_wait_seconds_bucket{%s,queue="synthesis",le="+Inf"}': "0x20",
}
"""Two gateways of ours and one of somebody else's; nobody has been spoken to."""

FIGURES = {
    ("gateway", "sessions"): 75,
    ("gateway", "load"): 1.0,
    ("stt", "sessions"): 75,
    ("stt", "wait"): 2.425,
    ("tts", "sessions"): 75,
    ("tts", "wait"): 0,
}


@pytest.mark.skipif(
    shutil.which("promtool") is None and not IN_CI, reason="promtool comes with Prometheus"
)
def test_the_figures_are_those_of_all_gateways_and_never_no_number(tmp_path: Path) -> None:
    scaled = [one["spec"] for one in rendered(*CASES["prod"]) if one["kind"] == "ScaledObject"]
    queries = {
        (spec["scaleTargetRef"]["name"].removeprefix("parley-"), trigger["name"]): trigger[
            "metadata"
        ]["query"]
        for spec in scaled
        for trigger in spec["triggers"]
    }
    assert queries.keys() == FIGURES.keys()
    target = f'namespace="{NAMESPACE}",service="parley-gateway"'
    series = [
        {"series": name.replace("%s", target), "values": values} for name, values in SERIES.items()
    ]
    asked = [
        {"expr": query, "eval_time": "5m", "exp_samples": [{"labels": "{}", "value": figure}]}
        for query, figure in zip(queries.values(), FIGURES.values(), strict=True)
    ]
    test = {"interval": "15s", "input_series": series, "promql_expr_test": asked}
    rules = tmp_path / "test.yml"
    rules.write_text(yaml.safe_dump({"tests": [test]}), encoding="utf-8")
    done = subprocess.run(
        ["promtool", "test", "rules", rules],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# --- the chart's own Redis -----------------------------------------------------------------------


def test_redis_is_restarted_only_where_it_takes_no_connection() -> None:
    redis = container(dict(pods(rendered(*CASES["as it is"])))["redis"])
    (port,) = redis["ports"]
    assert redis["livenessProbe"]["tcpSocket"] == {"port": port["name"]}
    assert "startupProbe" not in redis  # it may read its file for as long as that takes


def test_a_new_password_and_no_other_new_key_ends_the_pod_of_redis() -> None:
    def templates(**changed: str) -> dict[str, Manifest]:
        return dict(pods(rendered(*given(**GIVEN | changed))))

    before = dict(pods(rendered(*CASES["as it is"])))
    other_key = templates(PARLEY_API_KEYS="another-clients-key")
    other_password = templates(REDIS_PASSWORD=PASSWORD[::-1])
    assert other_key["redis"] == before["redis"]
    assert other_key["gateway"] != before["gateway"]
    assert other_password["redis"] != before["redis"]


@pytest.mark.skipif(
    shutil.which("redis-server") is None and not IN_CI, reason="redis-server is not installed"
)
def test_the_redis_keeps_sessions_for_those_who_know_the_password(tmp_path: Path) -> None:
    redis = container(dict(pods(rendered(*CASES["as it is"])))["redis"])
    shell, option, script = redis["command"]
    port = free_port()
    (entry,) = redis["env"]
    assert entry["valueFrom"]["secretKeyRef"]["key"] == "REDIS_PASSWORD"
    knows = {"PATH": os.environ["PATH"], entry["name"]: PASSWORD}
    script = script.replace("port 6379", f"port {port}").replace("dir /data", f"dir {tmp_path}")

    def asks(environment: Mapping[str, str]) -> bool:
        probe = " ".join(redis["readinessProbe"]["exec"]["command"][2:])
        probe = probe.replace("redis-cli", f"redis-cli -h 127.0.0.1 -p {port}")
        done = subprocess.run(["sh", "-c", probe], env=environment, timeout=20, check=False)
        return done.returncode == 0

    server = subprocess.Popen([shell, option, script], env=knows, stdout=subprocess.DEVNULL)
    try:
        give_up_at = time.monotonic() + 20
        while not asks(knows):
            assert server.poll() is None
            assert time.monotonic() < give_up_at
            time.sleep(0.02)
        assert not asks({"PATH": os.environ["PATH"]})
        with Redis.from_url(f"redis://:{PASSWORD}@127.0.0.1:{port}/0") as client:
            kept = {
                name: client.config_get(name)[name]
                for name in ("appendonly", "appendfsync", "save", "maxmemory", "maxmemory-policy")
            }
        assert kept == {
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory": str(2**30 * 65 // 100),
            "maxmemory-policy": "noeviction",
        }
        assert redis["resources"]["limits"]["memory"] == "1Gi"
        server.terminate()
        assert server.wait(20) == 0  # the signal reaches Redis, which ends in order
    finally:
        server.kill()
        server.wait(20)
