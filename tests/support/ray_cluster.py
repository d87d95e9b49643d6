"""A Ray of one node with recognition on Ray Serve, in processes of their own.

`python -m tests.support.ray_cluster PORT` starts it, and reads commands, a line each: `deploy`
brings it anew, `replicas` tells how many replicas there are in which state, and the end of the
input ends everything. Each is answered with a line of JSON.
"""

import asyncio
import json
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from gateway.commands.ray_stage import StageArguments, deployment, refusal
from gateway.media.resampling import converter
from stages._remote_conversations import Conversations
from tests.support.paths import ROOT
from tests.support.remote_worker import CountingTranscriber

LONGEST_CALL_S = 45
KEY = "the-workers-key"
LIMIT_S = 180.0

SETTINGS = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": str(LONGEST_CALL_S),
    "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": str(LONGEST_CALL_S + 30),
    "RAY_DEDUP_LOGS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}


class RayCluster:
    """The process that has started Ray."""

    def __init__(self, process: "subprocess.Popen[str]", port: int) -> None:
        self.url = f"ws://127.0.0.1:{port}/stt"
        self._process = process

    async def ask(self, command: str) -> Any:
        """Do something, and return the answer."""
        return await asyncio.to_thread(self._ask, command)

    def _ask(self, command: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if command:
            self._process.stdin.write(f"{command}\n")
            self._process.stdin.flush()
        told = self._process.stdout.readline()
        assert told, "Ray has ended: see ray.log"
        return json.loads(told)


@contextmanager
def ray_cluster(port: int, log: Path) -> Iterator[RayCluster]:
    """Ray deployed at this port. What it says is in the file `log`."""
    with log.open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.ray_cluster", str(port)],
            cwd=ROOT,
            env=os.environ | SETTINGS | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            cluster = RayCluster(process, port)
            cluster._ask("")
            yield cluster
        finally:
            process.stdin.close()  # Ray's processes end in order, each by its parent
            process.wait(LIMIT_S)
            process.stdout.close()


def _deploy(*, wait: bool) -> None:
    from ray import serve

    args = StageArguments(stage="stt", longest_call_s=LONGEST_CALL_S)
    assert refusal(args, os.environ) is None

    @asynccontextmanager
    async def opened() -> AsyncIterator[Conversations]:
        stage: Any = CountingTranscriber()
        stage.detail = lambda: f"in process {os.getpid()}"
        yield Conversations("stt", stage, converter, key=KEY, places=args.places, single=True)

    stage = deployment(args, opened).options(
        ray_actor_options={"num_cpus": 0.1},
        autoscaling_config={
            "min_replicas": 1,
            "max_replicas": 2,
            "target_ongoing_requests": 12,
            "metrics_interval_s": 0.5,
            "look_back_period_s": 2,
            "upscale_delay_s": 1,
            "downscale_delay_s": 3,
        },
    )
    target = serve.RunTarget(stage.bind(), name="stt", route_prefix="/stt")
    serve.run_many([target], wait_for_applications_running=wait)


def _replicas() -> dict[str, int]:
    from ray import serve

    (stage,) = serve.status().applications["stt"].deployments.values()
    return {str(state): count for state, count in stage.replica_states.items()}


def _start() -> None:
    """Start Ray, which gives up after 30 s on a machine that is busy with other work."""
    import ray

    for last in (False, False, True):
        try:
            ray.init(
                address="local",  # never one that runs already
                num_cpus=2,
                object_store_memory=80 * 1024 * 1024,
                include_dashboard=False,
                logging_level=logging.WARNING,
            )
        except Exception:
            ray.shutdown()
            if last:
                raise
        else:
            return


def _main(port: int) -> None:
    import ray
    from ray import serve

    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what Ray prints is for the log
    _start()
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    try:
        _deploy(wait=True)
        told.write("{}\n")
        told.flush()
        for line in sys.stdin:
            if line.strip() == "deploy":
                _deploy(wait=False)
            told.write(json.dumps(_replicas()) + "\n")
            told.flush()
    finally:
        ray.shutdown()


if __name__ == "__main__":
    _main(int(sys.argv[1]))
