"""LocalAgreement-2 over successive hypotheses."""

from stages.stt._agreement import Agreement


def test_words_are_confirmed_when_two_hypotheses_agree_on_them() -> None:
    agreement = Agreement()
    assert agreement.add("I have tested") == "I have tested"
    assert agreement.confirmed == ""
    assert agreement.add("I have detested this") == "I have detested this"
    assert agreement.confirmed == "I have"
    assert agreement.add("I have tested this model") == "I have tested this model"
    assert agreement.confirmed == "I have"
    agreement.add("I have tested this model today")
    assert agreement.confirmed == "I have tested this model"


def test_confirmed_words_outlive_a_contradiction_and_a_shorter_hypothesis() -> None:
    agreement = Agreement()
    agreement.add("we use post grass")
    agreement.add("we use post grass now")
    assert agreement.add("We used Postgres daily now, yes") == "we use post grass now, yes"
    assert agreement.add("we") == "we use post grass now,"
    assert agreement.confirmed == "we use post grass now,"


def test_case_and_punctuation_are_no_disagreement() -> None:
    agreement = Agreement()
    agreement.add("Well, yes.")
    agreement.add("well yes, but")
    assert agreement.confirmed == "well yes,"


def test_marks_that_stand_alone_differ() -> None:
    agreement = Agreement()
    agreement.add("one - two")
    agreement.add("one + two")
    assert agreement.confirmed == "one"
