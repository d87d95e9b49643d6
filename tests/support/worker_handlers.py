"""Handlers that the worker tests have run in a process of their own."""

import os
import signal
import sys
import time
from collections.abc import Mapping
from typing import Any

from stages._worker_main import LoadError, WorkerReply


class Obedient:
    """Does what the messages say."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.report = {"loaded": options.get("load", "nothing")}
        self.seen: list[list[str | int]] = []
        self.labour = 0

    def handle(
        self, job: int, kind: str, header: Mapping[str, Any], payload: bytes, reply: WorkerReply
    ) -> None:
        self.seen.append([job, kind])
        if kind == "echo":
            reply("echoed", header, payload, last=True)
        elif kind == "count":
            for number in range(header["to"]):
                reply("number", {"number": number})
            reply("counted", last=True)
        elif kind == "wait":  # keeps the main thread busy
            reply("waiting")
            while not reply.cancelled:
                time.sleep(0.001)
        elif kind == "seen":
            reply("seen", {"seen": self.seen}, last=True)
        elif kind == "labour":
            self.labour = header["slices"]
            reply("labouring")
        elif kind == "chatter":
            sys.stdout.write("chatter from Python\n")
            sys.stdout.flush()
            os.write(1, b"chatter from C\n")
            os.write(2, b"x" * 5000 + b"\n" + b"more\n" * 1000)
            reply("chattered", last=True)
        elif kind == "nonsense":
            os.write(reply._link._write_fd, b"\xff" * 64)
        elif kind == "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            reply("stubborn")
            while True:
                time.sleep(1)
        elif kind == "raise":
            raise RuntimeError("no such luck")
        elif kind == "crash":
            for number in range(100):  # more than is logged in a beat
                os.write(2, b"line %d\n" % number)
            os.write(2, b"MemoryError: no room for the model\n")
            os._exit(3)
        elif kind == "die":
            os.kill(os.getpid(), signal.SIGKILL)

    def cancel(self, job: int) -> None:
        self.seen.append([job, "cancel"])

    def work(self) -> bool:
        self.labour -= 1
        return self.labour > 0


def obedient(options: Mapping[str, Any]) -> Obedient:
    return Obedient(options)


def unwilling(options: Mapping[str, Any]) -> Obedient:
    raise LoadError("the model is on holiday")


def broken(options: Mapping[str, Any]) -> Obedient:
    raise KeyError("model")


def endless(options: Mapping[str, Any]) -> Obedient:
    while True:
        time.sleep(1)


class Counting:
    """A recogniser whose text says how many samples it got; it dies of one that begins with 13."""

    report: Mapping[str, Any] = {}

    def __init__(self) -> None:
        self.samples: dict[int, int] = {}
        self.busy_s = 0.0

    def handle(
        self, job: int, kind: str, header: Mapping[str, Any], payload: bytes, reply: WorkerReply
    ) -> None:
        if kind == "open":
            self.samples[job] = 0
        elif kind == "audio":
            if payload[:2] == b"\x0d\x00":
                os.kill(os.getpid(), signal.SIGKILL)
            if payload[:2] == b"\x07\x00":
                raise RuntimeError("no such sound")
            self.samples[job] += len(payload) // 2
        else:
            told = {"text": str(self.samples[job]), "language": None}
            self.busy_s += 1.5
            reply("final", {**told, "took_s": 1.5, "busy_s": self.busy_s}, last=True)

    def cancel(self, job: int) -> None:
        self.samples.pop(job, None)

    def work(self) -> bool:
        return False


def counting(options: Mapping[str, Any]) -> Counting:
    return Counting()
