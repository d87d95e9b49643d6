import json
import re
from xml.etree import ElementTree

import pytest

from gateway.rest.portrait import PLACE, with_face
from stages.avatar.face import FACES, SVG, shipped

PAGE = f"<main><div id='face'>{PLACE}</div><p>after</p></main>"


def parts(face: str) -> tuple[str, str]:
    """The page with the face in it, and the style."""
    manifest = json.loads((FACES / face / "face.json").read_text())
    svg = (FACES / face / "face.svg").read_text()
    return with_face(PAGE, [{"id": face, "name": "A </script> name"}], manifest, svg)


@pytest.mark.parametrize("face", shipped())
def test_the_face_rests_in_the_page_and_its_other_layers_are_hidden(face: str) -> None:
    page, _ = parts(face)
    [drawing] = re.findall(r"<svg.*</svg>", page, re.DOTALL)
    layers = [child for child in ElementTree.fromstring(drawing) if child.tag == SVG + "g"]
    shown = {layer.get("id") for layer in layers if layer.get("display") is None}
    front = {"front"} & {layer.get("id") for layer in layers}
    assert shown == {"base", "head", "mouth-sil", "eyes-open", "brows-idle"} | front
    assert len(layers) > len(shown) + 15


def test_the_drawings_style_is_the_one_style_of_the_page() -> None:
    page, style = parts("mira")
    assert re.findall(r"<style>(.*?)</style>", page, re.DOTALL) == [style]
    assert ".skin{" in style
    assert page.index('<template shadowrootmode="open">') < page.index("<style>")


def test_what_is_known_of_the_faces_cannot_end_its_script() -> None:
    page, _ = parts("jonas")
    assert page.count("</script>") == 1
    [known] = re.findall(r'<script type="application/json" id="known-faces">(.*)</script>', page)
    read = json.loads(known)
    assert read["faces"] == [{"id": "jonas", "name": "A </script> name"}]
    assert read["manifest"]["name"] == "Jonas"
    assert page.endswith("</script><p>after</p></main>"), "behind the element of the face"
