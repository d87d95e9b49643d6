"""Which runs are made: sizes, rounds, scenarios. Pure."""

from collections.abc import Collection
from dataclasses import dataclass

from gateway.commands.bench.run import Job
from gateway.commands.bench.scenario import SCENARIOS, Scenario

STORM_S = 5.0
"""What is measured of a storm is over before; the rest is silence."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured. The defaults are those of the figures that must hold.

    `parley` sessions of Parley (and of the echo server), fewer of each peer: as many as it serves
    without falling behind. `few` and `many` are two further sizes of Parley, in conversation.
    """

    rounds: int = 3
    seconds: float = 30.0
    attempts: int = 3
    """How often an invalid run is made in all, at most."""
    parley: int = 200
    few: int = 100
    many: int = 300
    livekit: int = 25
    pipecat: int = 10
    starts: tuple[tuple[str, int], ...] = (("parley", 200), ("livekit", 30), ("pipecat", 10))
    """Where each search begins."""
    lasting_s: float = 600.0
    """How long the service level is held in the last run; 0: it is not made."""
    scenarios: tuple[Scenario, ...] = tuple(SCENARIOS)
    calibration_s: float = 40.0
    lenient: bool = False
    """Whether invalid runs count, too: to see the whole thing work on a busy machine."""

    def of(self, target: str) -> int:
        """The usual number of sessions of a target."""
        return {"livekit": self.livekit, "pipecat": self.pipecat}.get(target, self.parley)


FULL = Sizes()
QUICK = Sizes(
    rounds=1,
    seconds=15.0,
    attempts=1,
    parley=20,
    few=10,
    many=30,
    livekit=5,
    pipecat=2,
    starts=(),
    lasting_s=0.0,
    scenarios=("listening", "conversation", "barge-in"),
    calibration_s=20.0,
    lenient=True,
)


def calibration(sizes: Sizes, targets: Collection[str]) -> list[Job]:
    """Runs before the rounds, with few sessions: how soon a peer decides after each clip when it
    has time. What it needs more than that is its delay."""
    return [
        Job(name, "conversation", 3, sizes.calibration_s)
        for name in ("livekit", "pipecat")
        if name in targets
    ]


def one_round(sizes: Sizes, targets: Collection[str]) -> list[Job]:
    """The runs of a round: for each scenario all targets in turn, so that what the machine does
    meanwhile falls on all of them."""
    jobs = []
    for scenario in sizes.scenarios:
        for name in ("echo", "parley", "livekit", "pipecat"):
            if name not in targets or (name == "echo" and scenario != "listening"):
                continue
            if name == "parley" and scenario == "conversation":
                counts = [sizes.few, sizes.parley, sizes.many]
            else:
                counts = [sizes.of(name)]
            storm = scenario == "storm"
            jobs += [
                Job(
                    name,
                    scenario,
                    count,
                    STORM_S if storm else sizes.seconds,
                    ramp_s=0.0 if storm else 5.0,
                )
                for count in counts
            ]
    return jobs


RUN_OVERHEAD_S = 18.0
"""Start, ramp, openings and end of a run."""
SEARCH_RUNS = 7
"""About so many tries a search takes."""


def expected_s(sizes: Sizes, targets: Collection[str]) -> float:
    """About how long the rounds and the searches take if no run is repeated."""
    jobs = [*calibration(sizes, targets), *one_round(sizes, targets) * sizes.rounds]
    searched = [name for name, _ in sizes.starts if name in targets]
    runs_s = sum(job.seconds + RUN_OVERHEAD_S for job in jobs)
    one_s = sizes.seconds + RUN_OVERHEAD_S
    return runs_s + len(searched) * SEARCH_RUNS * sizes.rounds * one_s + sizes.lasting_s
