"""Loads Whisper in the worker process: the first weights that are sound, the best of their group.

Files with a known SHA-256 are read and compared before they are loaded. Weights that cannot be used
are skipped, with the reason in the report.
"""

import logging
import math
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from faster_whisper.audio import pad_or_trim
from faster_whisper.tokenizer import Tokenizer

from pipeline.frames import INPUT_RATE_HZ
from stages._worker_main import Header, LoadError
from stages.stt import whisper_speeds
from stages.stt._whisper_model import StoppableWhisper
from stages.stt.whisper_models import BadWeights, flaw, verify
from stages.stt.whisper_sources import AUTO, Weights, plan
from stages.stt.whisper_speeds import (
    ANSWER_S,
    ANSWER_TOKENS,
    cores,
    preferred,
    speeds_file,
)

log = logging.getLogger("stages.stt.whisper")

DEFAULT_THREADS = 4
"""CTranslate2's own default number of threads; fewer on a machine with fewer cores."""

_ROUNDS = 2
"""The first decode also allocates memory; the least time counts."""

_LOSS = 4 / 3
"""A decode by two threads was measured at 1.5 times the speed of one, not at twice."""


def load(options: Header) -> tuple[StoppableWhisper, Header]:
    """The model to use, and a report about it.

    `options` are those of the worker: `model`, `compute_type`, `cpu_threads`, and, if they are
    there, `language`, `data_dir` (without one, only a choice is measured) and `stand_in`. See
    `stages.stt.whisper_sources.plan`. The report has `model`, `source`,
    `licence`, `verified` (whether the weights' hash was known and compared), `answer_s` (the
    seconds for an answer of `ANSWER_S`, or None) and `passed` (sentences about what was not used).
    Raises `LoadError` if none of the weights can be loaded.
    """
    data_dir = Path(options["data_dir"]) if options.get("data_dir") else None
    found = plan(
        options.get("model", AUTO),
        data_dir,
        options.get("language"),
        stand_in=options.get("stand_in", False),
    )
    passed = [*found.missed]
    for group in found.groups:
        sound = [*group]
        while sound:
            best = _best(sound, options, data_dir, passed)
            if best is not None:
                for reason in passed:
                    log.warning("%s", reason)
                return best
    raise LoadError("; ".join(passed) or "there are no weights for Whisper: `parley fetch base`")


def _best(
    sound: list[Weights], options: Header, data_dir: Path | None, passed: list[str]
) -> tuple[StoppableWhisper, Header] | None:
    """The best of the group, loaded; None when weights that are not sound were taken out of it."""
    file = None if data_dir is None else speeds_file(data_dir)
    facts = whisper_speeds.machine() if file else {}
    answers_s = whisper_speeds.read(file, facts) if file else {}
    while True:
        weights = preferred(sound, answers_s)
        try:
            model = _load(weights, options)
        except BadWeights as error:
            passed.append(str(error))
            sound.remove(weights)
            return None
        if weights.identity not in answers_s and (file is not None or len(sound) > 1):
            answers_s[weights.identity] = answer_s(model, options["cpu_threads"])
            if file is not None:
                whisper_speeds.keep(file, facts, answers_s)
        if preferred(sound, answers_s) is weights:
            return model, {
                "model": weights.name,
                "source": weights.source,
                "licence": weights.licence,
                "verified": "model.bin" in weights.hashes,
                "answer_s": answers_s.get(weights.identity),
                "passed": passed,
            }
        del model  # two models would not fit everywhere


def _load(weights: Weights, options: Header) -> StoppableWhisper:
    """One model. Raises `BadWeights`."""
    if (wrong := flaw(weights.folder)) is not None:
        raise BadWeights(f"{weights.folder} {wrong}: {weights.advice}")
    verify(weights.folder, weights.hashes, weights.advice)
    try:
        return StoppableWhisper(
            str(weights.folder),
            compute_type=options["compute_type"],
            cpu_threads=options["cpu_threads"],
        )
    except Exception as error:  # CTranslate2 and tokenizers raise what they like for bad files
        text = " ".join(str(error).split())[:300]
        raise BadWeights(
            f"{weights.folder} cannot be loaded ({type(error).__name__}: {text}): {weights.advice}"
        ) from error


def answer_s(model: StoppableWhisper, cpu_threads: int = 0) -> float:
    """The seconds that this model takes for an answer of `ANSWER_S` while nothing else runs here.

    The answer is noise: what a decode costs depends little on what is said, as the decoder's tokens
    are counted. At the gateway's start much else runs, so that the clock would tell too much; the
    processor's time does not depend on others. The less of both counts.
    """
    threads = cpu_threads or min(DEFAULT_THREADS, cores())
    tokenizer = Tokenizer(
        model.hf_tokenizer, model.model.is_multilingual, task="transcribe", language="en"
    )
    prompt = model.get_prompt(tokenizer, [], without_timestamps=True)
    random = np.random.default_rng(0)
    best = math.inf
    for _ in range(_ROUNDS):
        noise = random.standard_normal(int(ANSWER_S * INPUT_RATE_HZ), np.float32) * np.float32(0.1)
        started = _Clocks.now()
        encoded = model.encode(pad_or_trim(model.feature_extractor(noise)[:, :-1]))
        between = _Clocks.now()
        [result] = model.model.generate(
            encoded,
            [prompt],
            beam_size=1,
            max_length=2 * ANSWER_TOKENS,  # CTranslate2 gives at most half as many
            suppress_tokens=[tokenizer.eot],
        )
        share = ANSWER_TOKENS / max(len(result.sequences_ids[0]), 1)
        took_s = between.since(started, threads) + _Clocks.now().since(between, threads) * share
        best = min(best, took_s)
    return best


class _Clocks(NamedTuple):
    """The clock and the processor's time of this process, in seconds."""

    wall_s: float
    processor_s: float

    @classmethod
    def now(cls) -> "_Clocks":
        return cls(time.perf_counter(), time.process_time())

    def since(self, before: "_Clocks", threads: int) -> float:
        """The seconds that the work since then takes on an idle machine, at most."""
        loss = 1 if threads == 1 else _LOSS
        processor_s = (self.processor_s - before.processor_s) / threads
        return min(self.wall_s - before.wall_s, processor_s * loss)
