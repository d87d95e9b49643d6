"""Merges the answers of several processes to one request. Pure.

`/health` and `/admin` describe the whole gateway, however many processes it has. Each process
answers for itself; this module merges their JSON answers into one.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

STATES = ("closed", "half-open", "disabled", "open", "forced-open")
"""The states of a breaker. If processes differ, the last one in this list is reported."""

STATUSES = ("online", "degraded", "offline")

Json = dict[str, Any]


def health(own: Json, all_: Sequence[Json]) -> Json:
    """`/health`: places and queues are added up; a load is that of the busiest process."""
    gateways = [one["gateway"] for one in all_]
    pressures = [one["pressure"] for one in gateways]
    # A session that one process refuses has a place in another.
    refuses = [kind for kind in own["gateway"]["pressure"]["refuses"] if _by_all(kind, pressures)]
    measures = {
        name: max(one[name] for one in pressures)
        for name, value in own["gateway"]["pressure"].items()
        if isinstance(value, int | float)
    }
    why = [*dict.fromkeys(why for one in pressures for why in one["why"])]
    return {
        **own,
        "gateway": {
            **own["gateway"],
            "status": min((one["status"] for one in gateways), key=STATUSES.index),
            "uptime_seconds": max(one["uptime_seconds"] for one in gateways),
            "taken": sum(one["taken"] for one in gateways),
            "places": sum(one["places"] for one in gateways),
            "workers": len(gateways),
            "pressure": {
                **own["gateway"]["pressure"],
                **measures,
                "refuses": refuses,
                "why": why,
            },
        },
        "queues": queues(all_),
    }


def _by_all(kind: str, pressures: Iterable[Json]) -> bool:
    return all(kind in one["refuses"] for one in pressures)


def queues(all_: Iterable[Json]) -> list[Json]:
    """For queues of one name, jobs and lengths are added up."""
    found: dict[str, Json] = {}
    for one in all_:
        for queue in one["queues"]:
            if (known := found.get(queue["name"])) is None:
                found[queue["name"]] = {**queue}
                continue
            known["depth"] += queue["depth"]
            if known["bound"] is not None and queue["bound"] is not None:
                known["bound"] += queue["bound"]
    return [*found.values()]


def stages(own: Json, all_: Sequence[Json]) -> Json:
    """`/admin/stages`."""
    return {**own, "queues": queues(all_)}


def sessions(by_worker: Mapping[int, Json]) -> Json:
    """`/admin/sessions`: the oldest first, each with its process."""
    found = [
        {**session, "worker": worker}
        for worker, one in by_worker.items()
        for session in one["sessions"]
    ]
    return {"sessions": sorted(found, key=lambda session: session["began"])}


def breakers(all_: Iterable[Json]) -> Json:
    """`/admin/breakers`: for each name, the breaker that is furthest from closed."""
    return {"breakers": _by_name(all_, "breakers", _breaker)}


def _breaker(known: Json, other: Json) -> Json:
    told = max(known, other, key=lambda one: STATES.index(one["state"]))
    return {**told, "transitions": known["transitions"] + other["transitions"]}


def service_metrics(all_: Sequence[Json]) -> Json:
    """`/admin/metrics`: requests are added up; the breakers are those of the process with most
    open."""
    requests = sum(one["total_requests"] for one in all_)
    seconds = sum(one["total_requests"] * one["avg_response_time"] for one in all_)
    return {
        "total_requests": requests,
        "failed_requests": sum(one["failed_requests"] for one in all_),
        "avg_response_time": round(seconds / requests, 6) if requests else 0.0,
        "circuit_breakers_open": max(one["circuit_breakers_open"] for one in all_),
    }


def limits(all_: Sequence[Json]) -> Json:
    """`/admin/limits`: refusals of all processes are added up; their limits are the same."""
    found: dict[str, Json] = {}
    for one in all_:
        for limit in one["limits"]:
            known = found.setdefault(limit["policy"], {**limit, "refused": 0})
            known["refused"] += limit["refused"]
    return {"limits": [*found.values()], "counting": all(one["counting"] for one in all_)}


def usage(all_: Sequence[Json]) -> Json:
    """`/admin/usage`: the counts of all processes are added up."""
    return {
        "since": min(one["since"] for one in all_),
        **{
            table: _by_names(all_, table, names)
            for table, names in (
                ("keys", ("name",)),
                ("sessions", ("key", "name")),
                ("models", ("name",)),
            )
        },
    }


def _by_names(all_: Iterable[Json], of: str, names: Sequence[str]) -> list[Json]:
    found: dict[tuple[str, ...], Json] = {}
    for one in all_:
        for entry in one[of]:
            known = found.setdefault(tuple(entry[name] for name in names), {})
            for name, value in entry.items():
                known[name] = known.get(name, 0) + value if isinstance(value, int) else value
    return [*found.values()]


def drills(all_: Iterable[Json]) -> Json:
    """`/admin/drills`: a provider's drill is listed once, however many processes have it."""
    return {"drills": _by_name(all_, "drills", lambda known, other: known)}


def _by_name(all_: Iterable[Json], of: str, both: Callable[[Json, Json], Json]) -> list[Json]:
    found: dict[str, Json] = {}
    for one in all_:
        for entry in one[of]:
            known = found.get(entry["name"])
            found[entry["name"]] = entry if known is None else both(known, entry)
    return [*found.values()]


def chosen(own: int, statuses: Mapping[int, int], method: str) -> int:
    """The process whose answer to a change is the answer of all: one that refused, if one did.

    A DELETE has succeeded if it has in any process: a process may have been started later.
    """
    good = [worker for worker, status in statuses.items() if status < 400]
    bad = [worker for worker, status in statuses.items() if status >= 400]
    wanted = good if method == "DELETE" and good else bad or good
    return own if own in wanted or not wanted else wanted[0]


def ready(own: int, statuses: Mapping[int, int]) -> int:
    """The process whose answer says whether new sessions should be sent: one that is ready."""
    well = [worker for worker, status in statuses.items() if status < 300]
    return own if own in well or not well else well[0]
