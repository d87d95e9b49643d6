"""The body of a transcription server's answer, in the forms beside a JSON object. Pure.

Servers that do not know a `response_format` use their own: plain text, subtitles (SubRip and
WebVTT, with or without numbers and hours), lines of JSON or a list, one for each segment, or an
object round the transcription.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

_TIME = r"((?:\d{1,3}:)?\d{1,2}:\d{2}[.,]\d{1,3})"
_CUE = re.compile(rf"^[ \t\[]*{_TIME}[ \t]*-->[ \t]*{_TIME}(?:\][ \t]*(.*)|[^\n]*)$", re.MULTILINE)
"""The line of a cue's times; in whisper.cpp's output its text follows in the same line."""

_NUMBER = re.compile(r"\n\s*\S{1,20}\s*$")
"""The number, or the name, of the next cue, at the end of a cue's text."""

_TAG = re.compile(r"</?(?:[vcbiu]|lang|ruby|rt)(?:[ .][^<>]{0,80})?>|<[\d:.]{5,12}>")

_ROUND = ("result", "results", "data", "output", "transcription", "transcript")
"""Names under which some servers put the transcription."""


def reply_in(body: bytes, content_type: str) -> dict[str, Any] | None:
    """The reply in OpenAI's form; None if the body is not one of these others.

    >>> reply_in(b"Hello there.", "text/plain")
    {'text': 'Hello there.'}
    """
    text = body.decode("utf-8-sig", errors="replace").strip()
    typed = content_type.startswith("text/") or "subrip" in content_type
    if not text.startswith(("{", "[", '"')) or (typed and _CUE.match(text)):
        return _written(text) if typed and not text.startswith("<") else None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return _lines(text.splitlines())
    if isinstance(value, str):
        return {"text": value}
    if isinstance(value, list):
        return _segments(value)
    return _unwrapped(value) if isinstance(value, dict) else None


def _unwrapped(reply: dict[str, Any]) -> dict[str, Any] | None:
    if reply.get("text") is not None or "segments" in reply or reply.get("error"):
        return None
    for name in _ROUND:
        inner = reply.get(name)
        if isinstance(inner, str):
            return {**reply, "text": inner}
        if isinstance(inner, list) and (found := _segments(inner)):
            return {**reply, **found}
        if isinstance(inner, dict) and isinstance(inner.get("text"), str):
            return inner
    return None


def _segments(values: Sequence[Any]) -> dict[str, Any] | None:
    told = [isinstance(each, dict) and isinstance(each.get("text"), str) for each in values]
    return {"segments": values} if values and all(told) else None


def _lines(lines: Sequence[str]) -> dict[str, Any] | None:
    try:
        return _segments([json.loads(line) for line in lines if line.strip()])
    except (ValueError, RecursionError):
        return None


def _written(text: str) -> dict[str, Any]:
    cues = list(_CUE.finditer(text))
    if not cues:
        return {"text": text.removeprefix("WEBVTT")}
    ends = [*(cue.start() for cue in cues[1:]), len(text)]
    segments = []
    for at, (cue, end) in enumerate(zip(cues, ends, strict=True)):
        said = f"{cue[3] or ''}\n{text[cue.end() : end]}".strip()
        if at + 1 < len(cues):
            said = _without_next(said)
        words = " ".join(_TAG.sub(" ", said).split())
        segments.append({"start": _seconds(cue[1]), "end": _seconds(cue[2]), "text": f" {words}"})
    return {"segments": segments}


def _without_next(said: str) -> str:
    """The text of a cue without the line that begins the next one, which a blank line parts."""
    parted = re.split(r"\n[ \t\r]*\n", said)
    return "\n".join(parted[:-1]) if len(parted) > 1 and _NUMBER.search("\n" + parted[-1]) else said


def _seconds(time: str) -> float:
    seconds = 0.0
    for part in time.replace(",", ".").split(":"):
        seconds = seconds * 60 + float(part)
    return seconds
