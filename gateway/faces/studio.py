"""The studio that draws faces as video, as the settings want it."""

from importlib.util import find_spec

from gateway.settings import Settings
from pipeline.ladder import Ladder
from stages.avatar.face import FACES, load, shipped
from stages.avatar.face import find as find_face
from stages.avatar.face import name as face_name
from stages.avatar.studio import Studio


def studio_of(settings: Settings, ladder: Ladder) -> Studio | None:
    """The studio with every face that clients may name; None if faces are not drawn here.

    Raises `FaceError` if the configured face has changed since the settings were read.
    """
    if settings.avatar_video == "off" or find_spec("resvg_py") is None:
        return None
    faces = {name: load(FACES / name) for name in shipped()}
    default = face_name(settings.face)
    faces[default] = find_face(settings.face)
    return Studio(faces, default=default, threads=settings.avatar_threads, ladder=ladder)
