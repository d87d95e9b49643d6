from parley_beep import Beeper

from stages.testing import synthesizer_conforms


def test_the_beeper_keeps_the_contract() -> None:
    synthesizer_conforms(Beeper)
