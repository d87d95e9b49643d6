"""A comparison as one HTML page, without scripts or anything that is loaded. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from benchmarks.peers.plots import Bar, Line, bars, lines
from benchmarks.peers.report import Report, Row
from gateway.commands.bench.run import SERVICE_LEVEL_MS, Run
from gateway.commands.bench.scenario import SCENARIOS
from gateway.commands.bench.validity import (
    GENERATOR_LIMIT,
    LAG_LIMIT_MS,
    OTHERS_LIMIT,
    STOLEN_LIMIT,
)

TITLES = {
    "parley": "Parley",
    "livekit": "LiveKit Agents",
    "pipecat": "Pipecat",
    "echo": "echo + detector",
}

QUICK = "a quick try: too short to be published, and invalid runs are counted"

STYLE = """
body { font: 15px/1.45 sans-serif; color: #222 }
body { max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0; font-size: 14px }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #ddd; text-align: right }
th:first-child, td:first-child, td.text { text-align: left }
th:last-child { text-align: left } td.pass, td.fail, td.open { white-space: nowrap }
.pass { color: #14633f } .fail { color: #a40000; font-weight: bold } .open { color: #777 }
svg { max-width: 100%; height: auto; margin: .5rem 0 }
code { background: #f3f3f3; padding: 0 .2rem }
"""

HOW = f"""
<p>Every server runs as a process of its own, on one core; the load generator has another. Every
session sends a frame of 20 ms every 20 ms, on an absolute schedule: real speech, or the noise of a
quiet room at −60 dBFS. All servers have the same settings: 800 ms of silence end a turn, 200 ms of
speech end a reply; their recognition, language model and voice cost nothing and speak replies of
about four seconds. All judge voice with Silero's network: Parley, Pipecat and the echo server
with the same file (see the checksums below), LiveKit Agents as it brings it, which is cheaper than
its plugin with that file.</p>
<p>A run is valid if the generator sent its frames at most {LAG_LIMIT_MS:g} ms late (p99) and used
at most {GENERATOR_LIMIT:.0%} of its core, and other processes used at most {OTHERS_LIMIT:g} and the
host of a virtual machine took at most {STOLEN_LIMIT:g} cores. An invalid run is made again; if it
stays invalid it counts for nothing. The figures are medians of the valid rounds. Percentiles are
nearest-rank over every measurement of a run; nothing is interpolated.</p>
<ul>
<li><b>CPU per session-second</b>: the server's own user and system time, all its processes
together, for one second of one session. 10 ms means 100 sessions on a core.</li>
<li><b>frame lateness</b>: each frame of a reply against the schedule that the reply's first frame
sets. Parley and the socket before LiveKit Agents send up to 200 ms ahead, and a frame is due by
that; Pipecat sends in real time, and a frame is due when its sound is.</li>
<li><b>decision → first byte</b>: from the message that says that the person has finished to the
first sound of the reply. Both are timed at the client.</li>
<li><b>chunk ready → decision</b>: for Parley from the sending of the frame that made the decision
possible, which it tells. The peers do not tell, so theirs is the delay behind their fastest
decision after the same clip in any run; a clip always begins at the same place in the detector's
chunks, so that it is decided at the same sample. That is never more than the true delay.</li>
<li><b>barge-in → silence</b>: from the first frame of speech to the last byte of the old
reply.</li>
<li><b>service level</b>: the 99th percentile of the first three delays is at most
{SERVICE_LEVEL_MS:.0f} ms, and no turn is missed.</li>
</ul>
"""

COLUMNS = (
    ("cpu_ms", "CPU, ms per session-second"),
    ("memory_mb", "MB per session"),
    ("lateness.p99", "lateness p99"),
    ("decision_to_first.p50", "first byte p50"),
    ("decision_to_first.p95", "p95"),
    ("decision_to_first.p99", "p99"),
    ("chunk_to_decision.p99", "decision p99"),
    ("barge_in.p50", "silence p50"),
    ("barge_in.p95", "p95"),
    ("connect.p99", "connect p99"),
    ("start_s", "start, s"),
    ("missed", "missed"),
)


def page(report: Report) -> str:
    """The whole page."""
    facts = report.facts
    kind = QUICK if facts.quick else "full run"
    return "".join(
        [
            "<!doctype html><html lang=en><meta charset=utf-8>",
            "<meta name=viewport content='width=device-width'>",
            f"<title>Parley beside its peers</title><style>{STYLE}</style>",
            "<h1>Parley beside its peers</h1>",
            f"<p>Parley {escape(facts.version)}, commit {escape(str(facts.machine.commit))}, "
            f"{escape(facts.at)}; {kind}.</p>",
            "<h2>What must hold</h2>",
            _claims(report),
            "<h2>Plots</h2>",
            *_plots(report),
            "<h2>How it was measured</h2>",
            HOW,
            "<h2>Medians</h2>",
            *_medians(report.rows),
            "<h2>The searches</h2>",
            _searches(report),
            "<h2>Machine and versions</h2>",
            _facts(report),
            "<h2>Invalid runs and failures</h2>",
            _invalid(report),
            "</html>\n",
        ]
    )


def _table(head: Iterable[str], body: Iterable[Iterable[str]]) -> str:
    header = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = "".join(f"<tr>{''.join(row)}</tr>" for row in body)
    return f"<table><tr>{header}</tr>{lines}</table>"


def _cell(text: str, kind: str = "") -> str:
    return f"<td{f' class={kind}' if kind else ''}>{escape(text)}</td>"


def _claims(report: Report) -> str:
    kinds = {"pass": "pass", "fail": "fail", "not measured": "open"}
    return _table(
        ("figure", "measured", "must be", "", "made of"),
        (
            (
                _cell(claim.name),
                _cell("–" if claim.value is None else f"{claim.value:.3g} {claim.unit}".strip()),
                _cell(claim.bound),
                _cell(claim.verdict, kinds[claim.verdict]),
                _cell(claim.why, "text"),
            )
            for claim in report.claims
        ),
    )


def _plots(report: Report) -> Iterator[str]:
    for scenario in ("listening", "conversation"):
        shown = [
            Bar(f"{TITLES[row.job.target]}, {row.job.sessions} sessions", row.job.target, cpu)
            for row in report.rows
            if row.job.scenario == scenario and (cpu := row.figures.get("cpu_ms")) is not None
        ]
        if shown:
            yield bars(f"Server CPU, {scenario}", "ms per session-second", shown)
    capacity = [
        Bar(TITLES[target], target, sorted(found)[(len(found) - 1) // 2])
        for target, found in report.summary()["capacities"].items()
    ]
    if capacity:
        yield bars("Sessions on one core at the service level", "conversation", capacity)
    for name, title in (
        ("decision_to_first", "decision → first byte, p99"),
        ("chunk_to_decision", "chunk ready → decision, p99"),
        ("lateness", "frame lateness, p99"),
    ):
        drawn = [
            Line(TITLES[target], target, points)
            for target in TITLES
            if (points := _by_sessions(report, target, name))
        ]
        if drawn:
            yield lines(
                title, "sessions", "ms", drawn, limit=SERVICE_LEVEL_MS, most_y=4 * SERVICE_LEVEL_MS
            )


def _by_sessions(report: Report, target: str, name: str) -> list[tuple[float, float]]:
    """The median p99 at each number of sessions in conversation, searches included."""
    seen: dict[int, list[float]] = {}
    runs: list[Run] = [*report.outcome.runs]
    for found in report.outcome.searches:
        runs += found.runs
    for run in runs:
        counts = run.valid or report.outcome.sizes.lenient
        if run.job.target == target and run.job.scenario == "conversation" and counts:
            summary = getattr(run, name)
            if summary is not None:
                seen.setdefault(run.job.sessions, []).append(summary.p99)
    return [(float(n), sorted(each)[(len(each) - 1) // 2]) for n, each in sorted(seen.items())]


def _medians(rows: Sequence[Row]) -> Iterator[str]:
    for scenario, meaning in SCENARIOS.items():
        those = [row for row in rows if row.job.scenario == scenario]
        if not those:
            continue
        yield f"<h3>{scenario}</h3><p>{escape(meaning[0].upper() + meaning[1:])}. Delays in ms.</p>"
        shown = [(key, title) for key, title in COLUMNS if any(key in row.figures for row in those)]
        yield _table(
            ("server", "sessions", "valid rounds", *(title for _, title in shown)),
            (
                (
                    _cell(TITLES[row.job.target]),
                    _cell(str(row.job.sessions)),
                    _cell(f"{row.rounds} of {row.rounds + row.invalid}"),
                    *(
                        _cell(f"{row.figures[key]:.3g}" if key in row.figures else "–")
                        for key, _ in shown
                    ),
                )
                for row in those
            ),
        )


def _searches(report: Report) -> str:
    return _table(
        ("server", "round", "largest that held", "valid", "tries"),
        (
            (
                _cell(TITLES[found.target]),
                _cell(str(found.round)),
                _cell(str(found.sessions)),
                _cell("yes" if found.valid else "no"),
                _cell(
                    ", ".join(
                        f"{run.job.sessions} {'held' if run.holds else 'not'}" for run in found.runs
                    ),
                    "text",
                ),
            )
            for found in report.outcome.searches
        ),
    )


def _facts(report: Report) -> str:
    facts = report.facts
    machine = facts.machine
    rows = [
        ("CPU", f"{machine.cpu}, {machine.cores} cores, governor {machine.governor or 'unknown'}"),
        ("kernel", machine.kernel),
        ("Parley's Python", machine.python),
        ("Parley's packages", ", ".join(f"{n} {v}" for n, v in machine.packages.items())),
    ]
    for peer, packages in facts.peers.items():
        rows.append((TITLES[peer], ", ".join(f"{n} {v}" for n, v in packages.items())))
    rows += [(f"detector's network, {name}", sha) for name, sha in facts.detector.items()]
    return _table(("", ""), ((_cell(name), _cell(text, "text")) for name, text in rows))


def _invalid(report: Report) -> str:
    runs: list[Run] = [run for run in report.outcome.runs if not run.valid]
    for found in report.outcome.searches:
        runs += [run for run in found.runs if not run.valid]
    lines = [
        f"<li>{escape(str(run.job))}: {escape('; '.join(run.objections))}</li>" for run in runs
    ]
    lines += [f"<li>{escape(failure)}</li>" for failure in report.outcome.failures]
    return f"<ul>{''.join(lines)}</ul>" if lines else "<p>None.</p>"
