"""`services.yaml`: the seed's own words are read, and what is wrong is named with its line."""

import pytest

from gateway.services.definition import (
    Backoff,
    Balancing,
    Endpoint,
    RetryPolicy,
    ServiceFallback,
    ServiceSpec,
    StaticFallback,
)
from gateway.services.model_specs import ModelSpec
from gateway.services.services_file import YamlError, parse_file, parse_services

SEED = """\
# config/service_registry.yaml
services:
  - name: conversation-service
    host: conversation-service
    port: 8003
    protocol: http
    health_endpoint: /health
    base_path: /api/v1/conversation
    timeout: 10.0
    retry_policy:
      max_attempts: 3
      backoff: exponential

  - name: voice-service
    host: voice-service
    port: 8002
    protocol: http
    health_endpoint: /health
    base_path: /voice
    timeout: 30.0
    retry_policy:
      max_attempts: 2
      backoff: fixed

  - name: interview-service
    host: interview-service
    port: 8004
    protocol: http
    health_endpoint: /health
    base_path: /api/v1
    timeout: 15.0
    retry_policy:
      max_attempts: 3
      backoff: exponential

  # ... other services
"""
"""Section 4.2 of the seed, word for word."""


def seeded(name: str, port: int, base: str, timeout_s: float, retry: RetryPolicy) -> ServiceSpec:
    return ServiceSpec(
        name=name,
        instances=(Endpoint(name, port, "http"),),
        health_endpoints=("/health",),
        base_path=base,
        timeout_s=timeout_s,
        retry_policy=retry,
    )


def test_the_file_of_the_seed_is_read() -> None:
    thrice, twice = RetryPolicy(3, Backoff.EXPONENTIAL), RetryPolicy(2, Backoff.FIXED)
    assert [*parse_services(SEED, "services.yaml").values()] == [
        seeded("conversation-service", 8003, "/api/v1/conversation", 10.0, thrice),
        seeded("voice-service", 8002, "/voice", 30.0, twice),
        seeded("interview-service", 8004, "/api/v1", 15.0, thrice),
    ]


def test_instances_take_what_they_do_not_say_from_their_service() -> None:
    text = """
services:
  - name: plans
    port: 8088
    protocol: https
    balancing: weighted_round_robin
    health_endpoint: null
    instances:
      - {host: plan-1, weight: 2}
      - {host: "::1", port: 9000, protocol: http}
    slow_start: 0
    max_request_mb: 0.5
    fallback: {status: 503, json: {plans: [], note: "späte"}}
"""
    (spec,) = parse_services(text, "f").values()
    assert spec == ServiceSpec(
        name="plans",
        instances=(Endpoint("plan-1", 8088, "https", 2), Endpoint("::1", 9000, "http", 1)),
        health_endpoints=(),
        balancing=Balancing.WEIGHTED_ROUND_ROBIN,
        slow_start_s=0.0,
        max_request_bytes=500_000,
        fallback=StaticFallback(b'{"plans":[],"note":"sp\\u00e4te"}', 503),
    )
    assert [one.url for one in spec.instances] == ["https://plan-1:8088", "http://[::1]:9000"]


def test_another_service_of_the_file_may_stand_in() -> None:
    text = """
services:
  - {name: first, host: a, port: 1, fallback: {service: second}}
  - {name: second, host: b, port: 2, health_endpoint: [/health, /api/tags], base_path: /}
"""
    first, second = parse_services(text, "f").values()
    assert first.fallback == ServiceFallback("second")
    assert (second.health_endpoints, second.base_path) == (("/health", "/api/tags"), "")


PLAIN = "services:\n  - name: plans\n    host: plans\n    port: 8088\n"

WRONG = {
    "nothing": ("", 1, "the file is empty"),
    "no YAML": ("services: [\n", 2, "expected the node content, but found '<stream end>'"),
    "tab": ("services:\n\t- name: a\n", 2, "found character '\\t' that cannot start any token"),
    "control": ("services:\n  - name: a\x07\n", 2, "character #x0007 is not allowed"),
    "a list": ("- name: a\n", 1, "the file must be a mapping, such as name: value"),
    "no services": ("{}\n", 1, "the file needs services"),
    "empty": ("services: []\n", 1, "services must be a list with at least one entry"),
    "service is a text": ("services:\n  - plans\n", 2, "a service must be a mapping"),
    "no host": ("services:\n  - name: plans\n    port: 1\n", 2, "a service needs host"),
    "unknown field": (PLAIN + "    tiemout: 3\n", 5, "tiemout is no field of a service; there are"),
    "twice": (PLAIN + "    port: 1\n", 5, "port comes twice; the first is at line 4"),
    "name twice": (PLAIN + PLAIN[10:], 5, "name plans comes twice; the first is at line 2"),
    "odd name": (PLAIN.replace("name: plans", "name: a/b"), 2, "name must be letters, digits"),
    "own path": (PLAIN.replace("name: plans", "name: admin"), 2, "name admin is the beginning of"),
    "page": (PLAIN.replace("name: plans", "name: static"), 2, "name static is the beginning of"),
    "port text": (
        PLAIN.replace("8088", '"8088"'),
        4,
        "port must be a whole number from 1 to 65535",
    ),
    "port 0": (PLAIN.replace("8088", "0"), 4, "port must be a whole number from 1 to 65535"),
    "yes is no port": (PLAIN.replace("8088", "true"), 4, "port must be a whole number"),
    "host with port": (PLAIN.replace("host: plans", "host: plans:1"), 3, "host must be a host's"),
    "host with user": (PLAIN.replace("host: plans", "host: a@b"), 3, "host must be a host's name"),
    "protocol": (PLAIN + "    protocol: grpc\n", 5, "protocol must be http or https"),
    "timeout 0": (PLAIN + "    timeout: 0\n", 5, "timeout must be a number above 0 and at most"),
    "endless": (PLAIN + "    timeout: .inf\n", 5, "timeout must be a number above 0"),
    "base path": (PLAIN + "    base_path: api\n", 5, "base_path must be a path such as /api/v1"),
    "upwards": (PLAIN + "    base_path: /a/../b\n", 5, "base_path must be a path such as /api/v1"),
    "dot": (PLAIN + "    health_endpoint: /./b\n", 5, "health_endpoint must be a path"),
    "backoff": (
        PLAIN + "    retry_policy:\n      backoff: slow\n",
        6,
        "backoff must be fixed, exponential",
    ),
    "attempts": (
        PLAIN + "    retry_policy: {max_attempts: 11}\n",
        5,
        "max_attempts must be a whole number from 1 to 10",
    ),
    "balancing": (PLAIN + "    balancing: best\n", 5, "balancing must be round-robin, weighted-"),
    "instance": (PLAIN + "    instances:\n      - {host: a, wait: 1}\n", 6, "wait is no field of"),
    "same instance": (
        PLAIN + "    instances:\n      - host: a\n      - host: a\n",
        7,
        "an instance a:8088 comes twice",
    ),
    "two fallbacks": (
        PLAIN + "    fallback: {json: 1, service: a}\n",
        5,
        "fallback is a service or json, not both",
    ),
    "no body": (
        PLAIN + "    fallback: {json: {}, status: 204}\n",
        5,
        "status must be one of an answer that has a body",
    ),
    "no number": (PLAIN + "    timeout: !!int ''\n", 5, "timeout cannot be read"),
    "empty fallback": (PLAIN + "    fallback: {status: 200}\n", 5, "fallback needs json, or"),
    "status of a service": (
        PLAIN + "    fallback:\n      service: a\n      status: 200\n",
        7,
        "status belongs to a fallback of json",
    ),
    "fallback unknown": (
        PLAIN + "    fallback: {service: x}\n",
        5,
        "fallback names x, which is no",
    ),
    "its own fallback": (PLAIN + "    fallback: {service: plans}\n", 5, "fallback names plans"),
    "a date": (PLAIN + "    fallback: {json: 2026-01-01}\n", 5, "a value cannot stand in JSON"),
    "no date": (PLAIN + "    fallback: {json: 2026-13-01}\n", 5, "a value cannot be read"),
    "endless list": (PLAIN + "    fallback: {json: &a [*a]}\n", 5, "json has too many levels"),
    "many values": (
        PLAIN
        + "    fallback:\n      json: [&a [1,1,1,1,1,1,1,1,1,1], &b [*a,*a,*a,*a,*a,*a,*a,*a,*a],"
        " &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b], [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]]\n",
        6,
        "json has too many values",
    ),
    "merged": ("services:\n  - <<: {name: a}\n    host: b\n", 2, "<< is no field of a service"),
    "a key that is a list": ("services:\n  - [a]: 1\n", 2, "a key that is no text is no field"),
    "two documents": ("a: 1\n---\nb: 2\n", 2, "but found another document"),
}


@pytest.mark.parametrize("case", [*WRONG])
def test_what_is_wrong_is_named_with_its_line(case: str) -> None:
    text, line, problem = WRONG[case]
    with pytest.raises(YamlError) as refused:
        parse_services(text, "services.yaml", {"admin", "static"})
    told = str(refused.value)
    assert (refused.value.line, told[: len(f"services.yaml:{line}: {problem}")]) == (
        line,
        f"services.yaml:{line}: {problem}",
    )
    assert "\n" not in told


def test_a_file_of_brackets_alone_is_refused() -> None:
    with pytest.raises(YamlError):
        parse_services("services: " + "[" * 1200, "f")


MODELS = """\
services:
  - {name: small-llm, host: a, port: 1}
  - {name: large-llm, host: b, port: 2}
models:
  - name: interviewer
    service: small-llm
    model: qwen2.5:3b
    escalate_to: large
  - {name: large, service: large-llm, confidence: 0}
"""


def test_models_are_read_with_what_they_lead_to() -> None:
    found = parse_file(MODELS, "services.yaml")
    assert [*found.services] == ["small-llm", "large-llm"]
    assert [*found.models.values()] == [
        ModelSpec("interviewer", "small-llm", "qwen2.5:3b", "large", 0.7),
        ModelSpec("large", "large-llm", "large", "", 0.0),
    ]
    assert parse_file(SEED, "services.yaml").models == {}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("service: small-llm", "service: other", "6: service names other, which is no service"),
        ("escalate_to: large", "escalate_to: huge", "8: escalate_to names huge, which is no model"),
        ("escalate_to: large", "escalate_to: interviewer", "8: escalate_to leads back to"),
        ("confidence: 0", "escalate_to: interviewer", "8: escalate_to leads back to interviewer"),
        ("confidence: 0", "confidence: 1.1", "9: confidence must be a number above"),
        ("confidence: 0", "price: 1", "9: price is no field of a model"),
        ("name: large,", "name: interviewer,", "9: name interviewer comes twice"),
        ("name: large,", "name: 'a b',", "9: name must be letters"),
    ],
    ids=["service", "model", "itself", "circle", "confidence", "field", "twice", "name"],
)
def test_a_mistake_in_a_model_is_named_with_its_line(old: str, new: str, told: str) -> None:
    with pytest.raises(YamlError) as refused:
        parse_file(MODELS.replace(old, new), "services.yaml")
    assert str(refused.value).startswith(f"services.yaml:{told}")
