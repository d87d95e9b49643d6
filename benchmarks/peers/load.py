"""The load generator (`gateway.commands.bench.load`) with the peers' dialects."""

import sys

from benchmarks.peers.dialects import EchoDialect, LiveKitDialect, PipecatDialect
from gateway.commands.bench.load import DIALECTS, main

ALL = {
    **DIALECTS,
    "livekit": LiveKitDialect,
    "pipecat": PipecatDialect,
    "echo": EchoDialect,
}

if __name__ == "__main__":
    sys.exit(main(ALL))
