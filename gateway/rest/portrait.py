"""The page with the first face in it: drawn with the first paint, before any script is there.

The drawing stands in a shadow root of its own, so that its styles touch nothing else of the page;
the page's policy names their hash. What rests is shown; the other layers are there, hidden, and
`gateway/static/face.js` brings them to life.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

PLACE = "<!-- face -->"
"""Where the drawing stands in the page; what is known of all faces comes behind the element."""

_FRAME = ":host{display:block} svg{display:block;width:100%;height:100%}"
_STYLE = re.compile(r"<style[^>]*>(.*?)</style>", re.DOTALL)
_LAYER = re.compile(r"<g\b[^>]*\bid=([\"'])(.+?)\1")


def with_face(
    page: str, faces: Sequence[Mapping[str, str]], manifest: Mapping[str, Any], svg: str
) -> tuple[str, str]:
    """The page with the face in it, and the drawing's style, whose hash the policy has to name."""
    style = _FRAME + "".join(_STYLE.findall(svg))
    drawing = _STYLE.sub("", svg[svg.index("<svg") :])
    hidden = _moving(manifest["layers"])

    def layer(found: re.Match[str]) -> str:
        tag = found[0]
        return tag.replace("<g", '<g display="none"', 1) if found[2] in hidden else tag

    drawn = (
        f'<template shadowrootmode="open"><style>{style}</style>'
        f"{_LAYER.sub(layer, drawing)}</template>"
    )
    known = json.dumps({"faces": list(faces), "manifest": manifest}).replace("<", "\\u003c")
    listed = f'<script type="application/json" id="known-faces">{known}</script>'
    before, after = page.split(PLACE)
    end = after.index(">") + 1
    return f"{before}{drawn}{after[:end]}{listed}{after[end:]}", style


def _moving(layers: Mapping[str, Any]) -> set[str]:
    """The layers that a face at rest does not show."""
    shown = {layers["mouth"]["sil"], layers["eyes"]["open"], layers["brows"]["idle"]}
    kinds = (layers[kind].values() for kind in ("mouth", "eyes", "brows"))
    return {name for names in kinds for name in names if name} - shown
