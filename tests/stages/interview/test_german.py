"""An interview in German: the same rules as in English, other words."""

import json

import pytest

from stages.interview import (
    InterviewConfig,
    InterviewSession,
    answers_of,
    evaluate,
    expire,
    give_feedback,
    heard,
    make_report,
    prompt,
    prompted,
    respond,
    resume,
    spoken_summary,
    start,
)
from stages.interview.answers import InterviewAnswer
from stages.interview.cue_lists import CUES
from stages.interview.errors import UnknownLanguage
from stages.interview.feedback_lines import feedback_lines
from stages.interview.hearing import spoken
from stages.interview.lines import LANGUAGES, lines_for
from stages.interview.transitions import is_farewell

ROLE = "Software Engineer"
LINES = lines_for("de")
STORY = (
    "Letztes Jahr hatten wir in meiner letzten Firma eine Abfrage, die zwölf Sekunden brauchte, "
    "und unsere Kunden haben sich beschwert. Meine Aufgabe war es, sie schneller zu machen. Zuerst "
    "habe ich gemessen, wo die Zeit bleibt, dann habe ich einen Index auf PostgreSQL angelegt und "
    "den Cache neu geschrieben. Am Ende dauerte sie 300 Millisekunden, das sind 97 Prozent "
    "weniger, und die Beschwerden haben aufgehört."
)
APPROACH = (
    "Zuerst schaue ich in die Protokolle und frage die Nutzer, weil ich sonst nur raten würde. "
    "Dann grenze ich die Ursache ein, zum Beispiel mit Git Bisect, und prüfe eine Hypothese nach "
    "der anderen mit einem Test. Das klappt nicht immer: Wenn es ein Timing-Problem ist, brauche "
    "ich mehr Logs. Am Schluss schreibe ich einen Regressionstest, damit es nicht wiederkommt."
)


def opened(total: int = 3) -> InterviewSession:
    return start(InterviewConfig(ROLE, "m", total, "de")).session


def after(session: InterviewSession, *answers: str) -> InterviewSession:
    for answer in answers:
        session = respond(session, answer).session
    return session


def test_the_interviewer_speaks_german_from_the_greeting_to_the_farewell() -> None:
    step = start(InterviewConfig(ROLE, "m", 2, "de"))
    assert step.say[0].startswith("Guten Tag, ich bin Parley")
    assert step.say[1].startswith("Frage 1: ")
    assert "Speak German only" in step.session.messages[0].content
    second = respond(step.session, STORY)
    assert second.intent == "ask"
    assert second.say[0] in {line.format("Postgres") for line in LINES.mentions}
    closed = respond(second.session, APPROACH)
    assert (closed.intent, closed.session.is_complete) == ("close", True)
    assert closed.say[-1] in closed.session.config.bank.closings


@pytest.mark.parametrize(
    ("said", "intent", "lead"),
    [
        ("Können Sie das bitte wiederholen?", "repeat", LINES.repeats),
        ("???", "repeat", LINES.unclear),
        ("Nächste Frage, bitte.", "skip", LINES.skips),
        ("Ich weiß es nicht.", "skip", LINES.skips),
    ],
)
def test_what_a_candidate_asks_for_is_understood(
    said: str, intent: str, lead: tuple[str, ...]
) -> None:
    step = respond(opened(), said)
    assert step.intent == intent
    assert step.say[0] in lead


def test_an_english_request_is_no_german_one() -> None:
    assert respond(opened(), "Could you repeat that, please?").intent != "repeat"


def test_a_silence_is_filled_in_german_and_the_reply_understood() -> None:
    session = opened()
    assert prompt(session, 1) in LINES.patient
    assert prompt(session, 2) == LINES.offer
    offered = prompted(session, LINES.offer)
    assert respond(offered, "Ja, gern.").intent == "skip"
    waits = respond(offered, "Nein, noch nicht.")
    assert (waits.intent, waits.say[0] in LINES.waits) == ("wait", True)
    assert respond(waits.session, STORY).session.current_question == 2
    assert prompt(after(session, STORY, APPROACH), 2) == LINES.offer_to_end
    assert respond(prompted(session, prompt(session, 1)), "Vielen Dank.").intent == "wait"


def test_an_interview_goes_on_and_ends_by_time_in_german() -> None:
    session = opened()
    assert resume(session).say[0] == LINES.welcome_back
    ended = expire(session)
    assert ended.say == (LINES.farewell,)
    assert is_farewell(ended.session.messages[-1])
    assert respond(ended.session, "Hallo?").say == (LINES.closed,)
    assert respond(session, STORY, time_is_up=True).say[-1] == LINES.time_is_up
    cut = heard(session, "Guten Tag")
    assert prompt(cut, 1) == LINES.anybody


def test_a_short_answer_is_followed_up() -> None:
    step = respond(opened(), "Das war schwierig.")
    assert step.intent == "follow_up"
    bank = step.session.config.bank
    assert step.say[1] in {bank.texts[prompt_id] for prompt_id in bank.elaborations}


def test_the_record_keeps_the_language_and_old_records_are_english() -> None:
    session = after(opened(), STORY)
    record = json.loads(json.dumps(session.to_record()))
    assert InterviewSession.from_record(record) == session
    del record["config"]["language"]
    assert InterviewSession.from_record(record).config.language == "en"
    assert "language" not in session.to_contract()["config"]


@pytest.mark.parametrize("language", ["fr", "", "DE", "auto"])
def test_a_language_that_the_interviewer_does_not_speak_is_refused(language: str) -> None:
    with pytest.raises(UnknownLanguage):
        InterviewConfig(ROLE, "m", 3, language)
    record = opened().to_record()
    record["config"]["language"] = language
    with pytest.raises(UnknownLanguage):
        InterviewSession.from_record(record)


def test_answers_are_found_in_a_german_interview() -> None:
    session = after(opened(), STORY, "Wie bitte?", "Keine Ahnung.", APPROACH)
    found = answers_of(session)
    assert [answer.declined for answer in found] == [False, True, False]
    assert {answer.language for answer in found} == {"de"}
    assert all(answer.question in session.config.bank.texts.values() for answer in found)


def test_a_good_german_answer_scores_like_an_english_one() -> None:
    answers = [
        InterviewAnswer("", STORY, "performance", language="de"),
        InterviewAnswer("", APPROACH, "debugging", language="de"),
    ]
    found = evaluate(ROLE, answers)
    story, approach = found.answers
    assert (story.overall or 0) >= 85
    assert (approach.overall or 0) >= 85
    structure = story.score("structure")
    assert structure is not None
    assert structure.found == ("situation", "task", "action", "result")
    assert structure.reason.startswith("Gefundene Teile: Ausgangslage, Aufgabe")
    assert found.method == feedback_lines("de").method
    assert found.skills[0].reason == "Der Mittelwert aus 2 Antworten."


def test_a_weak_german_answer_scores_low() -> None:
    text = (
        "Also das war irgendwie so eine Sache und wir haben dann halt verschiedene Dinge gemacht."
    )
    [found] = evaluate(ROLE, [InterviewAnswer("", text, "performance", language="de")]).answers
    assert (found.overall or 0) < 40
    specificity = found.score("specificity")
    assert specificity is not None
    assert specificity.reason == "0 Zahlen, 0 Namen, 0 Handlungen, 3 vage Wörter."


def test_german_nouns_are_no_names() -> None:
    text = "Das Haus, der Baum und die Straße waren in AWS und PostgreSQL, sagte der Kollege mir."
    [found] = evaluate(ROLE, [InterviewAnswer("", text, language="de")]).answers
    specificity = found.score("specificity")
    assert specificity is not None
    assert "3 Namen" in specificity.reason  # the term Postgres counts beside its spelling


def test_an_english_answer_in_a_german_interview_is_not_scored() -> None:
    text = "Last year I had to fix the slow query because the customers were not happy at all."
    [found] = evaluate(ROLE, [InterviewAnswer("", text, "performance", language="de")]).answers
    assert found.unscored == feedback_lines("de").unscored["language"]


def test_the_report_and_its_summary_are_german() -> None:
    session = after(opened(), STORY, "Nächste Frage bitte.", APPROACH)
    answers = answers_of(session)
    report = make_report(session, answers, evaluate(ROLE, answers))
    assert report.language == "de"
    assert report.from_json(report.to_json()) == report
    summary = spoken_summary(report)
    assert summary.startswith("Sie haben 3 von 3 Fragen beantwortet. Ihr Gesamtergebnis ist ")
    assert summary.endswith("Vielen Dank für Ihre Teilnahme.")
    skipped = report.items[1].feedback
    assert skipped.improvements == (feedback_lines("de").skipping,)


def test_feedback_quotes_german_words_in_german_marks() -> None:
    answers = (InterviewAnswer("", STORY, "performance", language="de"),)
    told = give_feedback(ROLE, answers, evaluate(ROLE, answers))
    assert any("„" in line and "“" in line for line in told.answers[0].strengths)
    assert told.overall.headline == "Ein starkes Interview"


@pytest.mark.parametrize(
    ("text", "deeds"),
    [
        ("ich habe den dienst gebaut", True),
        ("dann habe ich mit dem team alles neu geschrieben", True),
        ("ich entwickelte eine lösung", True),
        ("danach fand ich den fehler", True),
        ("ich habe immer gern dort gearbeitet", False),
        ("ich wollte das nicht", False),
        ("wir haben das gebaut", False),
        ("ich habe keine ahnung", False),
    ],
)
def test_german_deeds(text: str, deeds: bool) -> None:
    assert (CUES["de"].action.search(text) is not None) is deeds


@pytest.mark.parametrize(
    ("text", "habit"),
    [
        ("ich prüfe die daten", True),
        ("zuerst frage ich das team", True),
        ("ich würde zuerst die logs lesen", True),
        ("ich denke schon", False),
        ("ich habe zeit", False),
    ],
)
def test_german_habits(text: str, habit: bool) -> None:
    assert (CUES["de"].habit.search(text) is not None) is habit


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("es waren fünfundzwanzig prozent", 1),
        ("zwei komma fünf millionen", 1),
        ("die hälfte von 300", 2),
        ("das war einzig und witzig", 0),
    ],
)
def test_german_numbers(text: str, count: int) -> None:
    assert len(CUES["de"].number.findall(text)) == count


def test_every_language_says_everything() -> None:
    for language in LANGUAGES:
        lines = lines_for(language)
        assert all(len(lines.mentions) == len(lines_for("en").mentions) for _ in "x")
        assert lines.question.format(1, "Warum?").endswith("1: Warum?")
        assert all("{}" in mention for mention in lines.mentions)
        assert len({spoken(line) for line in (*lines.patient, *lines.offers)}) == 5
