"""Media sections that an answer rejects, which aiortc cannot. Pure.

aiortc refuses a whole offer if it knows no codec of one section. So such sections are removed from
the offer that aiortc reads, and added to its answer with port 0 (RFC 3264, section 6), outside the
bundle (RFC 8843, section 7.3.3).
"""

from collections.abc import Container
from dataclasses import dataclass, replace

from gateway.transports.webrtc.offers import PLACEHOLDER, Offer

BUNDLE = "a=group:BUNDLE"
MID = "a=mid:"


@dataclass(frozen=True, slots=True)
class Rejected:
    """A rejected section: its place in the offer, and its lines in the answer."""

    at: int
    lines: tuple[str, ...]


def without(offer: Offer, mids: Container[str]) -> tuple[Offer, list[Rejected]]:
    """The screened offer without the sections of these mids, and what the answer says of them."""
    head, sections = _split(offer.sdp)
    kept: list[list[str]] = []
    kept_mids: list[str] = []
    lost: list[str] = []  # candidates of rejected sections: of a bundle one section names them
    rejected: list[Rejected] = []
    for at, section in enumerate(sections):
        mid = next(line[len(MID) :].strip() for line in section if line.startswith(MID))
        if mid not in mids:
            kept.append(section)
            kept_mids.append(mid)
            continue
        lost += [line for line in section if _is_candidate(line)]
        kind, _, profile, formats = section[0].split(" ", 3)
        lines = (f"{kind} 0 {profile} {formats}", "c=IN IP4 0.0.0.0", "a=inactive", f"{MID}{mid}")
        rejected.append(Rejected(at, lines))
    if not rejected:
        return offer, []
    bundled = kept_mids
    for at, line in enumerate(head):
        if line.startswith(BUNDLE):
            bundled = [mid for mid in line.split()[1:] if mid not in mids]
            head[at] = " ".join([BUNDLE, *bundled])
    first = (bundled or kept_mids)[0]
    carrier = kept[kept_mids.index(first)]
    if any(line.startswith(BUNDLE) for line in head) and not any(map(_is_candidate, carrier)):
        carrier += lost
    channel = any(section[0].startswith("m=application ") for section in kept)
    return replace(offer, sdp=_joined(head, kept), mid=first, has_channel=channel), rejected


def _is_candidate(line: str) -> bool:
    return line.startswith("a=candidate:") and line != PLACEHOLDER


def mids_of(offer: Offer, kind: str) -> list[str]:
    """The mids of the sections of a kind, such as "video"."""
    _, sections = _split(offer.sdp)
    lines = [line for part in sections if part[0].startswith(f"m={kind} ") for line in part]
    return [line[len(MID) :].strip() for line in lines if line.startswith(MID)]


def with_rejected(answer: str, rejected: list[Rejected]) -> str:
    """The answer with the rejected sections where the offer has them."""
    if not rejected:
        return answer
    head, sections = _split(answer)
    for one in rejected:  # in order, so that each finds its place
        sections.insert(one.at, list(one.lines))
    return _joined(head, sections)


def _split(sdp: str) -> tuple[list[str], list[list[str]]]:
    """The lines before the first section, and those of each section."""
    parts: list[list[str]] = [[]]
    for line in sdp.splitlines():
        if line.startswith("m="):
            parts.append([])
        parts[-1].append(line)
    return parts[0], parts[1:]


def _joined(head: list[str], sections: list[list[str]]) -> str:
    return "\r\n".join([*head, *(line for section in sections for line in section), ""])
