"""Decode files one after the other, each in its process, and print what each cost as JSON lines.

A program of its own, so that the most memory any child had is that of a decoder.
"""

import asyncio
import io
import json
import resource
import sys
from pathlib import Path

from stages._decode import DecodeLimits, NotDecoded, decode


async def main(files: list[bytes]) -> None:
    for data in files:
        sink = io.BytesIO()
        file = io.BytesIO(data)
        try:
            found = await decode(file, sink, DecodeLimits(wall_s=60))
            result = f"{found.duration_ms} ms"
        except NotDecoded as error:
            result = error.code
        most = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s = most.ru_utime + most.ru_stime
        line = json.dumps({"result": result, "peak_kb": most.ru_maxrss, "cpu_s": cpu_s})
        sys.stdout.write(f"{line}\n")


asyncio.run(main([Path(name).read_bytes() for name in sys.argv[1:]]))
