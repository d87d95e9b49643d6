"""The gateway with real voice detection, and scripted stages behind it that cost nothing.

PARLEY_PORT=8000 python -m benchmarks.scripted
"""

import sys

from benchmarks.speech import answers
from gateway.commands.bench.scripted import stages
from gateway.commands.serve import serve
from gateway.settings import Settings


def main() -> int:
    """Serve with the settings of the environment, as `parley serve` does.

    Recognition hears the fixture clips' texts in turn.
    """
    settings = Settings.load(env_file=None)
    serve(settings, stages([clip.text for clip in answers()]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
