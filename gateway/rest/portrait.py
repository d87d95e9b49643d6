"""Puts the first face into the page, so that it is drawn with the first paint, before any script.

The drawing is in a shadow root of its own, so that its styles apply to nothing else of the page;
the page's policy names their hash. The layers of a face at rest are shown. The other layers are
hidden until `gateway/static/face.js` shows them.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

PLACE = "<!-- face -->"
"""Where the drawing is put into the page; the data of all faces comes after the element."""

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
