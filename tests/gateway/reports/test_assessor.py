"""The assessor with a fake chat model in virtual time, and with a real server and its faults."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from gateway.reports.assessor import DEADLINE_S, PER_REPORT, Assessor
from gateway.settings import Settings
from pipeline.errors import StageFailed
from pipeline.guard import Limits
from pipeline.stage import Message
from pipeline.testing import run_virtual
from stages.interview import InterviewAnswer, Report, UnknownRole, answers_of, evaluate, make_report
from tests.support.conversation import DEMO, GOOD, good, interview, spoken_answer
from tests.support.openai_peer import opinion

ROLE = "Software Engineer"
INSTEAD = "heuristic, because model:granite gave no answer ({})"


class Fake:
    """A chat model. `plan` has, in order, what becomes of a request: a text, an exception, or the
    seconds that a good answer takes. After it, answers are good and take `takes_s`."""

    provider = "fake"

    def __init__(self, *plan: Any, takes_s: float = 1.0) -> None:
        self.plan = list(plan)
        self.takes_s = takes_s
        self.asked: list[str] = []
        self.at_once = self.most_at_once = 0
        self.closed = False

    async def complete(self, messages: Sequence[Message], schema: Mapping[str, Any]) -> str:
        self.asked.append(schema["title"])
        takes_s, reply = self.takes_s, self.plan.pop(0) if self.plan else None
        if isinstance(reply, float):
            takes_s, reply = reply, None
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        try:
            await asyncio.sleep(takes_s)
        finally:
            self.at_once -= 1
        if isinstance(reply, BaseException):
            raise reply
        if reply is not None:
            return str(reply)
        return json.dumps(opinion([{"content": message.content} for message in messages]))

    async def aclose(self) -> None:
        self.closed = True


class InPlace(ThreadPoolExecutor):
    """Runs what is submitted at once: virtual time does not wait for threads."""

    def submit(self, work: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(work(*args, **kwargs))
        except Exception as error:
            done.set_exception(error)
        return done


def virtually(story: Any) -> Any:
    async def main() -> Any:
        asyncio.get_running_loop().set_default_executor(InPlace())
        return await story

    return run_virtual(main())


def assessor(model: Fake, **options: Any) -> Assessor:
    return Assessor(model, "granite", **options)


def failure() -> StageFailed:
    return StageFailed("llm", "fake", "connect", "no route to secret.host")


def sources(report: Report) -> list[str]:
    return [item.evaluation.source for item in report.items]


# --- without a model -------------------------------------------------------------------------


def test_without_a_model_the_report_is_the_heuristics() -> None:
    session = interview([GOOD, GOOD])
    answers = answers_of(session)
    expected = make_report(session, answers, evaluate(ROLE, answers), session_id="s")
    assert asyncio.run(Assessor().report(session, session_id="s")) == expected
    assert Assessor().source == expected.source == "heuristic"


def test_without_a_model_there_is_no_summary_of_its_own() -> None:
    answers = (good(),)
    found = asyncio.run(Assessor().summary(ROLE, answers, evaluate(ROLE, answers)))
    assert found is None


def test_what_is_known_of_an_answer_stays() -> None:
    answers = (good(), good(text="I do not think so at all."))
    first = evaluate(ROLE, (good(text="Well, we just did some things."),)).answers[0]
    found = asyncio.run(Assessor().evaluate(ROLE, answers, known={1: first}))
    assert found.answers == (first, evaluate(ROLE, answers).answers[1])


# --- with one --------------------------------------------------------------------------------


def test_the_model_judges_every_answer_and_tells_about_all() -> None:
    model = Fake()
    report: Report = virtually(assessor(model).report(interview([GOOD, GOOD], total=2)))
    assert (report.overall, report.source, report.complete) == (80, "model:granite", True)
    assert [item.number for item in report.items] == [1, 2]
    assert report.feedback.headline == "Well told"
    assert model.asked == ["JudgedAnswer", "JudgedAnswer", "ToldInterview"]


def test_answers_are_judged_side_by_side_but_few_at_a_time() -> None:
    model = Fake()

    async def story() -> float:
        began = asyncio.get_running_loop().time()
        await assessor(model).evaluate(ROLE, [good()] * 7)
        return asyncio.get_running_loop().time() - began

    assert virtually(story()) == 3.0
    assert (len(model.asked), model.most_at_once) == (7, PER_REPORT)


def test_many_reports_at_once_share_the_models_places() -> None:
    model = Fake()
    shared = assessor(model)

    async def story() -> list[Any]:
        return await asyncio.gather(*(shared.evaluate(ROLE, [good()] * 3) for _ in range(20)))

    found = virtually(story())
    assert {evaluation.source for evaluation in found} == {"model:granite"}
    assert model.most_at_once == 12


def test_what_the_model_has_not_judged_by_the_deadline_is_heuristic() -> None:
    model = Fake(1.0, 1.0, 1.0, 14.0, takes_s=14.0)

    async def story() -> tuple[Report, float]:
        began = asyncio.get_running_loop().time()
        report = await assessor(model, deadline_s=10.0).report(interview([GOOD] * 5, total=5))
        return report, asyncio.get_running_loop().time() - began

    report, took_s = virtually(story())
    late = INSTEAD.format("the time for it was up")
    assert took_s == 10.0
    assert sources(report) == ["model:granite"] * 3 + [late] * 2
    assert report.feedback.source == late
    assert f"Where these notes come from: {late}." in report.notes
    # No feedback is asked for when the time is up.
    assert model.asked == ["JudgedAnswer"] * 5


def test_a_model_that_hangs_is_given_up_and_not_asked_again() -> None:
    model = Fake(takes_s=1e9)
    report: Report = virtually(assessor(model).report(interview([GOOD] * 5, total=5)))
    assert sources(report) == [INSTEAD.format("too slow")] * 5
    assert report.overall == evaluate(ROLE, answers_of(interview([GOOD] * 5, total=5))).overall
    assert len(model.asked) == PER_REPORT


def test_a_model_that_fails_is_not_asked_for_the_rest() -> None:
    model = Fake(*[failure()] * 9)
    report: Report = virtually(assessor(model).report(interview([GOOD] * 5, total=5)))
    assert sources(report) == [INSTEAD.format("no connection")] * 5
    assert len(model.asked) == PER_REPORT
    assert "secret.host" not in json.dumps(report.to_json())


def test_nonsense_about_one_answer_costs_that_answer_only() -> None:
    model = Fake("{}", *[2.0] * 2, "[]")
    found = virtually(assessor(model).evaluate(ROLE, [good()] * 3))
    assert [answer.source == "model:granite" for answer in found.answers] == [False, True, True]
    assert found.answers[0].source == INSTEAD.format("unusable answer, no JSON object")


def test_a_model_that_failed_too_often_is_left_alone_for_a_while() -> None:
    model = Fake(*[failure()] * 6)
    shared = assessor(model)

    async def story() -> list[str]:
        seen = []
        for pause_s in (0, 0, 0, 6):
            await asyncio.sleep(pause_s)
            seen.append((await shared.evaluate(ROLE, [good()] * 3)).source)
        return seen

    closed = INSTEAD.format("no connection")
    opened = INSTEAD.format("it failed too often lately")
    assert virtually(story()) == [closed, closed, opened, "model:granite"]
    # The last time one answer went first, and showed that the model is back.
    assert len(model.asked) == 6 + 3


def test_what_is_known_is_not_asked_again() -> None:
    model = Fake()

    async def story() -> Any:
        shared = assessor(model)
        first = await shared.evaluate(ROLE, [good()])
        known = {1: first.answers[0]}
        return await shared.assess(ROLE, [good(), good()], known=known)

    evaluation, _ = virtually(story())
    assert [answer.number for answer in evaluation.answers] == [1, 2]
    assert model.asked == ["JudgedAnswer", "JudgedAnswer", "ToldInterview"]


def test_answers_of_a_demo_recogniser_are_not_shown_to_the_model() -> None:
    model = Fake()
    found = virtually(assessor(model).assess(ROLE, [spoken_answer(recognition=DEMO)]))
    assert (found[0].overall, model.asked) == (None, [])


def test_cancelling_cancels_what_the_model_is_asked() -> None:
    model = Fake(takes_s=1e9)

    async def story() -> None:
        work = asyncio.create_task(assessor(model).evaluate(ROLE, [good()] * 5))
        await asyncio.sleep(1)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work

    virtually(story())
    assert (model.at_once, len(model.asked)) == (0, PER_REPORT)


def test_a_role_without_questions_is_refused_before_the_model_is_asked() -> None:
    model = Fake()
    with pytest.raises(UnknownRole):
        virtually(assessor(model).evaluate("Astronaut", [good()]))
    assert model.asked == []


def test_closing_closes_the_model() -> None:
    model = Fake()
    virtually(assessor(model).aclose())
    assert model.closed
    asyncio.run(Assessor().aclose())


# --- whom the settings ask for ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "source"),
    [
        ({}, "heuristic"),
        ({"llm_model": "granite4:2b"}, "model:granite4:2b"),
        ({"llm": "openai", "llm_model": "granite4:2b"}, "model:granite4:2b"),
        ({"llm": "scripted", "llm_model": "granite4:2b"}, "heuristic"),
    ],
)
def test_the_chat_server_of_the_replies_judges_the_answers(
    settings: dict[str, Any], source: str
) -> None:
    async def story() -> str:
        made = Assessor.of(Settings(**settings))
        await made.aclose()
        return made.source

    assert asyncio.run(story()) == source


# --- a real server ---------------------------------------------------------------------------

ANSWERS: tuple[InterviewAnswer, ...] = (good(), good())


def ask(peer: Any, model: str, work: Callable[[Assessor], Any], **options: Any) -> Any:
    """Through `Assessor.of`, as the gateway does, unless there are options."""

    async def main() -> Any:
        made = Assessor.of(Settings(llm_url=peer.url, llm_model=model))
        if options:
            made = Assessor(made._model, model, **options)
        try:
            async with asyncio.timeout(DEADLINE_S + 20):
                return await work(made)
        finally:
            await made.aclose()

    return asyncio.run(main())


def test_a_report_by_a_real_chat_server(peer: Any) -> None:
    session = interview([GOOD, GOOD], total=2)
    report: Report = ask(peer, "judge/report", lambda assessor: assessor.report(session))
    assert (report.overall, report.source) == (80, "model:judge/report")
    assert report.feedback.source == "model:judge/report"
    assert len(peer.requests("judge/report")) == 3


def test_a_summary_by_a_real_chat_server(peer: Any) -> None:
    evaluation = evaluate(ROLE, ANSWERS)
    said = ask(peer, "judge/sum", lambda found: found.summary(ROLE, ANSWERS, evaluation))
    assert said == "It went well."


@pytest.mark.parametrize(
    ("model", "why", "requests"),
    [
        ("broken", "server error", 2),
        ("busy", "it is at capacity", 2),
        ("missing", "it refused the request", 2),
        ("no-choices", "malformed answer", 2),
        ("empty", "empty answer", 2),
        ("prose", "unusable answer, no JSON object", 4),
        ("hello", "unusable answer, coverage: Field required", 4),
    ],
)
def test_the_heuristic_stands_in_for_a_server_with_a_fault(
    peer: Any, model: str, why: str, requests: int
) -> None:
    name = f"{model}/assessor"
    found = ask(peer, name, lambda assessor: assessor.evaluate(ROLE, ANSWERS))
    expected = f"heuristic, because model:{name} gave no answer ({why})"
    assert [answer.source for answer in found.answers] == [expected] * 2
    assert found.overall == evaluate(ROLE, ANSWERS).overall
    assert len(peer.requests(name)) == requests


@pytest.mark.parametrize("model", ["silent/assessor", "stall/assessor"])
def test_a_server_that_hangs_is_left_and_sees_it(peer: Any, model: str) -> None:
    async def work(assessor: Assessor) -> Any:
        found = await assessor.evaluate(ROLE, ANSWERS)
        await peer.disconnected(model)
        return found

    found = ask(peer, model, work, limits=Limits(first_s=0.5, slow_first_s=0.4))
    expected = f"heuristic, because model:{model} gave no answer (too slow)"
    assert [answer.source for answer in found.answers] == [expected] * 2
