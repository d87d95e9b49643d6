"""Which model is asked, and when the next one is."""

import math

import pytest

from gateway.models.routing import Pins, ReplyFacts, confidence_of, judge
from gateway.services.model_specs import Models, ModelSpec

SMALL = ModelSpec("small", "s", "qwen:3b", escalate_to="large", confidence=0.7)
LARGE = ModelSpec("large", "l", "qwen:72b")
OTHER = ModelSpec("other", "l", "qwen:72b")


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        pytest.param(ReplyFacts(confidence=0.9), None, id="sure"),
        pytest.param(ReplyFacts(confidence=0.7), None, id="just-sure-enough"),
        pytest.param(ReplyFacts(confidence=0.69), "confidence", id="unsure"),
        pytest.param(ReplyFacts(), None, id="no-probabilities"),
        pytest.param(ReplyFacts(refused=True, confidence=0.99), "refusal", id="refused"),
        pytest.param(ReplyFacts(failed=True, refused=True), "error", id="failed"),
        pytest.param(ReplyFacts(empty=True), "error", id="empty"),
        pytest.param(None, "error", id="no-reply"),
    ],
)
def test_a_reply_that_is_not_good_enough_is_asked_for_again(
    facts: ReplyFacts | None, reason: str | None
) -> None:
    assert judge(SMALL, facts) == reason
    assert judge(LARGE, facts) is None  # there is nobody else to ask


def test_confidence_is_the_geometric_mean_of_the_tokens_probabilities() -> None:
    found = confidence_of([math.log(0.5), math.log(0.8), math.log(0.9)])
    assert found == pytest.approx((0.5 * 0.8 * 0.9) ** (1 / 3))
    assert confidence_of([]) is None
    assert confidence_of([0.4]) == 1.0  # no probability is above 1


def test_a_session_goes_on_with_the_model_that_has_answered() -> None:
    models, pins = Models({one.name: one for one in (SMALL, LARGE, OTHER)}), Pins()
    assert pins.first(models, "key", "s-1", "small") == SMALL
    pins.pin("key", "s-1", "small", "large")
    assert pins.first(models, "key", "s-1", "small") == LARGE
    assert pins.first(models, "key", "s-2", "small") == SMALL
    assert pins.first(models, "another key", "s-1", "small") == SMALL
    assert pins.first(models, "key", "", "small") == SMALL
    assert pins.first(models, "key", "s-1", "none") is None


def test_a_pin_holds_only_while_the_model_that_is_asked_for_leads_there() -> None:
    models, pins = Models({one.name: one for one in (SMALL, LARGE, OTHER)}), Pins()
    pins.pin("key", "s-1", "small", "other")
    assert pins.first(models, "key", "s-1", "small") == SMALL
    pins.pin("key", "s-1", "small", "large")
    models.replace({"small": ModelSpec("small", "s", "qwen:3b"), "large": LARGE})
    assert pins.first(models, "key", "s-1", "small") == models.find("small")


def test_sessions_that_were_used_least_recently_lose_their_pins() -> None:
    models, pins = Models({one.name: one for one in (SMALL, LARGE)}), Pins(most_kept=2)
    for session in ("a", "b", "c"):
        pins.pin("key", session, "small", "large")
    pins.pin("key", "", "small", "large")
    assert len(pins) == 2
    found = [pins.first(models, "key", session, "small") for session in ("a", "b", "c")]
    assert found == [SMALL, LARGE, LARGE]
