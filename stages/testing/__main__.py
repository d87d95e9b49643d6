"""`python -m stages.testing SLOT MODULE:FACTORY`: check a provider without writing a test.

Exits with 0 if it keeps the contract, 1 with the rules that it breaks, 2 if it is not found.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

from stages.testing import (
    NotConforming,
    animator_conforms,
    detector_conforms,
    responder_conforms,
    synthesizer_conforms,
    transcriber_conforms,
    turn_model_conforms,
)

CONFORMS: dict[str, Callable[[Any], None]] = {
    "vad": detector_conforms,
    "turn": turn_model_conforms,
    "stt": transcriber_conforms,
    "llm": responder_conforms,
    "tts": synthesizer_conforms,
    "avatar": animator_conforms,
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m stages.testing", description="Does a provider keep the contract?"
    )
    parser.add_argument("slot", choices=CONFORMS)
    parser.add_argument("factory", metavar="module:factory", help="what builds the stage")
    wanted = parser.parse_args()
    module, _, name = wanted.factory.partition(":")
    sys.path.insert(0, os.getcwd())
    try:
        factory = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        parser.error(str(error))
    try:
        CONFORMS[wanted.slot](factory)
    except NotConforming as error:
        sys.stdout.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{wanted.factory} keeps the contract of {wanted.slot} providers\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
