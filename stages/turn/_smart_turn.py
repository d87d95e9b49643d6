"""Smart Turn inside its worker process: one question after the other, the oldest first.

The network takes any number of questions at once, but that saves no time: unchanged, on one thread,
a run of one took 46 ms of processor time, a run of four 187 ms and a run of eight 390 ms (AMD EPYC,
onnxruntime 1.32). One after the other, the first question has its answer soonest. A second thread
delays answers while the recogniser works, which begins in the same pause: 120 ms.
"""

import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

from stages._worker_main import Header, LoadError, WorkerReply
from stages.turn._mel import log_mel
from stages.turn._rewiring import rewired_network
from stages.turn.smart_turn_model import verify

WARM_UPS = 3
"""Runs before the first question: the first allocates memory, the quickest shows the cost."""

MOST_WAITING = 16
"""The most questions that wait: about 0.8 s of work. A further question would be answered too late,
when the person has gone on or the turn is over."""


class SmartTurn:
    """The worker's handler. A job is one question: "ask" with the audio, "answer" with
    `finished`; "busy" where `MOST_WAITING` wait already."""

    def __init__(self, options: Header) -> None:
        model = Path(options["model"])
        if (problem := verify(model)) is not None:
            raise LoadError(problem)
        self._network = _load(model)
        self._waiting: deque[tuple[int, bytes, WorkerReply]] = deque()
        self.report: Header = {"model": model.name, "answer_ms": self._measured_ms()}

    def handle(
        self, job: int, kind: str, header: Header, payload: bytes, reply: WorkerReply
    ) -> None:
        if kind != "ask":
            raise ValueError(f"unknown message {kind!r}")
        if len(self._waiting) >= MOST_WAITING:
            reply("busy", {"text": f"{MOST_WAITING} questions wait"}, last=True)
            return
        self._waiting.append((job, payload, reply))

    def cancel(self, job: int) -> None:
        self._waiting = deque(item for item in self._waiting if item[0] != job)

    def work(self) -> bool:
        """Answer the oldest question. See `Handler.work`."""
        if not self._waiting:
            return False
        _, payload, reply = self._waiting.popleft()
        if not reply.cancelled:
            reply("answer", {"finished": self.finished(payload)}, last=True)
        return True

    def finished(self, payload: bytes) -> float:
        """The probability that the person who said this (16-bit samples at 16 kHz) has finished."""
        features = log_mel(np.frombuffer(payload, np.int16))
        # The output is called "logits", but has been through the sigmoid.
        [found] = self._network.run(None, {"input_features": features[None]})
        return float(found[0, 0])

    def _measured_ms(self) -> int:
        took: list[float] = []
        for _ in range(WARM_UPS):
            started = time.perf_counter()
            self.finished(b"")
            took.append(time.perf_counter() - started)
        return round(min(took) * 1000)


def _load(model: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # the cores are the recogniser's
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    try:
        network = rewired_network(model.read_bytes())
        return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own classes, without a common base
        raise LoadError(f"{model} cannot be loaded: {error}") from error


def handler(options: Header) -> SmartTurn:
    """The worker's factory."""
    return SmartTurn(options)
