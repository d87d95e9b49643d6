import json
import re
from importlib import resources

import pytest

from stages.interview.bank import RoleBank, bank_for, is_follow_up, roles, rubric_from, seed_of
from stages.interview.errors import UnknownLanguage, UnknownRole
from stages.interview.hearing import spoken
from stages.interview.lines import LANGUAGES
from stages.interview.model import MOST_QUESTIONS

ROLES = ("Software Engineer", "Product Manager", "Data Analyst")
BANKS = [
    pytest.param(bank_for(role, language), id=f"{role} {language}")
    for role in ROLES
    for language in LANGUAGES
]

SPEAKABLE = {"en": re.compile(r"[A-Za-z ,.'?]+"), "de": re.compile(r"[A-Za-zÄÖÜäöüß ,.?-]+")}


def test_the_roles_of_the_contract_have_banks() -> None:
    assert roles() == ROLES


@pytest.mark.parametrize(
    "role", ["Data Analyst", " data analyst ", "DATA\tANALYST", "data  analyst"]
)
def test_a_role_is_found_whatever_its_case_and_space(role: str) -> None:
    assert bank_for(role).role == "Data Analyst"


def test_an_unknown_role_names_the_known_ones() -> None:
    with pytest.raises(UnknownRole) as caught:
        bank_for("Astronaut")
    assert caught.value.code == "unknown_role"
    assert caught.value.known == ROLES
    assert str(caught.value) == (
        "unknown role 'Astronaut'; known roles: Software Engineer, Product Manager, Data Analyst"
    )


def test_an_unknown_language_names_the_known_ones() -> None:
    with pytest.raises(UnknownLanguage) as caught:
        bank_for("Data Analyst", "fr" * 10_000)
    assert caught.value.code == "unknown_language"
    assert caught.value.known == ("en", "de")
    assert str(caught.value).endswith("available: en, de")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("role", ROLES)
def test_the_banks_of_a_role_have_the_same_prompts_in_all_languages(role: str) -> None:
    english, german = bank_for(role), bank_for(role, "de")
    assert list(german.texts) == list(english.texts)
    assert [q.shape for q in german.questions] == [q.shape for q in english.questions]
    assert [len(q.rubric) for q in german.questions] == [len(q.rubric) for q in english.questions]
    assert set(german.texts.values()) & set(english.texts.values()) == set()


def test_an_endless_role_does_not_make_an_endless_message() -> None:
    with pytest.raises(UnknownRole) as caught:
        bank_for("x" * 10_000)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("bank", BANKS)
def test_a_bank_outlasts_the_longest_interview(bank: RoleBank) -> None:
    assert len(bank.questions) > MOST_QUESTIONS
    assert len(bank.elaborations) > MOST_QUESTIONS // 3
    assert len({question.topic for question in bank.questions}) >= 10
    assert all(question.follow_ups for question in bank.questions)


@pytest.mark.parametrize("bank", BANKS)
def test_everything_said_is_short_and_plain(bank: RoleBank) -> None:
    lines = [bank.opening, *bank.texts.values(), *bank.acknowledgements, *bank.closings]
    assert [line for line in lines if len(line) > 160] == []
    assert [line for line in lines if not SPEAKABLE[bank.language].fullmatch(line)] == []
    assert [line for line in lines if not line.endswith((".", "?"))] == []
    assert [line for line in lines if line != " ".join(line.split())] == []
    assert [term for term in bank.key_terms if not SPEAKABLE[bank.language].fullmatch(term)] == []


@pytest.mark.parametrize("bank", BANKS)
def test_every_prompt_differs_from_every_other(bank: RoleBank) -> None:
    prompts = [spoken(text) for text in bank.texts.values()]
    assert [(a, b) for a in prompts for b in prompts if a is not b and a in b] == []
    assert [bank.asked_in([text]) for text in bank.texts.values()] == [(i,) for i in bank.texts]


@pytest.mark.parametrize("bank", BANKS)
def test_ids_tell_questions_from_follow_ups(bank: RoleBank) -> None:
    questions = [question.id for question in bank.questions]
    assert [i for i in bank.texts if not is_follow_up(i)] == questions
    hooks = {f.id for q in bank.questions for f in bank.follow_ups_to(q.id)}
    assert {i for i in bank.texts if is_follow_up(i)} == hooks | set(bank.elaborations)


@pytest.mark.parametrize("bank", BANKS)
def test_every_term_is_heard_as_it_is_said(bank: RoleBank) -> None:
    needs_context = {"React", "Excel", "Spark"}  # words that mean something else as well
    terms = set(bank.key_terms) - needs_context
    assert [
        term for term in terms if term not in bank.terms_in(f"we had {spoken(term)} there")
    ] == []


@pytest.mark.parametrize(
    ("role", "answer", "terms"),
    [
        ("Software Engineer", "we stored it in post gres with red is", ("Postgres",)),
        ("Software Engineer", "a python service and a docker container", ("Python", "Docker")),
        ("Software Engineer", "my sequel and then cuber netties", ("MySQL", "Kubernetes")),
        ("Software Engineer", "i react quickly", ()),
        ("Software Engineer", "i used react js", ("React",)),
        ("Software Engineer", "javascript", ("JavaScript",)),
        (
            "Product Manager",
            "the steak holders wanted an a b test",
            ("stakeholders", "A B testing"),
        ),
        ("Data Analyst", "a dash board in tab low", ("dashboards", "Tableau")),
        ("Data Analyst", "i excel at my job", ()),
    ],
)
def test_terms_are_found_in_recognised_speech(
    role: str, answer: str, terms: tuple[str, ...]
) -> None:
    assert bank_for(role).terms_in(answer) == terms


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("role", ROLES)
def test_hooks_and_terms_are_written_as_a_recogniser_writes(role: str, language: str) -> None:
    name = role.lower().replace(" ", "_")
    file = resources.files("stages.interview") / f"{language}/{name}.json"
    raw = json.loads(file.read_text("utf-8"))
    hooks = [hook for question in raw["questions"] for hook in question["follow_ups"]]
    phrases = [phrase for hook in hooks + raw["follow_ups"] for phrase in hook["heard"]]
    phrases += [phrase for heard in raw["terms"].values() for phrase in heard]
    assert [phrase for phrase in phrases if spoken(phrase) != phrase.replace("*", "")] == []


def test_a_question_has_its_own_follow_ups_before_the_general_ones() -> None:
    bank = bank_for("software engineer")
    ids = [follow_up.id for follow_up in bank.follow_ups_to("outage")]
    assert ids[:3] == ["outage/alerts", "outage/rollback", "any/scale"]
    assert bank.follow_ups_to("any/scale") == bank.follow_ups


def test_a_walk_has_every_question_once_and_starts_where_the_seed_says() -> None:
    bank = bank_for("data analyst")
    ids = [question.id for question in bank.questions]
    assert bank.walk(3) == (*ids[3:], *ids[:3])
    assert bank.walk(len(ids)) == tuple(ids)


def test_a_seed_is_the_same_in_every_process() -> None:
    assert seed_of("Data Analyst", "m", 5) == 3_135_791_495
    assert seed_of("\ud800") == seed_of("?")  # what JSON may hold but UTF-8 cannot


@pytest.mark.parametrize(
    ("lines", "asked"),
    [
        (["Hello. Question 1: walk me through an incident in production that you helped to "
          "resolve"], ("outage",)),
        (["Thanks. How would you measure it?"], ()),
        (["Walk me through an incident"], ("outage",)),
        (["Walk me through an"], ()),
        (["Walk me through an incident from your childhood."], ()),
        (["How do you make sure"], ()),
        (["What did you learn from that person in return? Which piece of your work are you most "
          "proud of, and why?"], ("mentoring/learned", "proud")),
        (["Walk me through an incident", "Sure. Walk me through an incident in production that"],
         ("outage",)),
        ([], ()),
    ],
)  # fmt: skip
def test_prompts_are_found_in_what_was_said(lines: list[str], asked: tuple[str, ...]) -> None:
    assert bank_for("software engineer").asked_in(lines) == asked


def test_a_start_that_two_prompts_share_tells_nothing() -> None:
    bank = bank_for("software engineer")
    shared = "How did you make sure that"
    assert len([text for text in bank.texts.values() if text.startswith(shared)]) > 1
    assert bank.asked_in([shared]) == ()


POINT = {"say": "what was slow", "heard": ["slow*"]}


@pytest.mark.parametrize("bank", BANKS)
def test_every_question_has_a_rubric_that_reads_well(bank: RoleBank) -> None:
    says = [point.say for question in bank.questions for point in question.rubric]
    assert {len(question.rubric) for question in bank.questions} == {4}
    spoken_well = SPEAKABLE[bank.language]
    assert [say for say in says if not spoken_well.fullmatch(say) or say.endswith(".")] == []
    assert [say for say in says if len(say) > 70] == []
    if bank.language == "en":  # a German point may begin with a noun
        assert [say for say in says if say[0].isupper()] == []
    assert {question.shape for question in bank.questions} == {"story", "approach"}


@pytest.mark.parametrize(
    ("rubric", "complaint"),
    [
        ("slow", "a rubric has from 3 to 5 points"),
        ([POINT] * 2, "a rubric has from 3 to 5 points"),
        ([POINT] * 6, "a rubric has from 3 to 5 points"),
        ([POINT, POINT, "slow"], "a point of a rubric has `say` and `heard`"),
        ([POINT, POINT, {"say": "x"}], "a point of a rubric has `say` and `heard`"),
        ([POINT, POINT, POINT | {"say": " "}], "a point of a rubric says what it is"),
        ([POINT, POINT, POINT | {"heard": []}], "'what was slow' has no words"),
        ([POINT, POINT, POINT | {"heard": ["Slow!"]}], "'Slow!' is not as a recogniser writes it"),
        ([POINT, POINT, POINT | {"heard": [7]}], "7 is not as a recogniser writes it"),
    ],
)
def test_a_rubric_that_is_wrong_names_its_question(rubric: object, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"speed: {complaint}")):
        rubric_from(rubric, "speed")


def test_a_follow_up_is_no_question_of_its_own() -> None:
    bank = bank_for("software engineer")
    found = bank.question("outage")
    assert found is not None
    assert found.topic == "operations"
    assert (bank.question("outage/alerts"), bank.question(None)) == (None, None)
