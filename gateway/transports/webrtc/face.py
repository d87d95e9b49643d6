"""`VideoFace`: the interviewer's face as the video of one peer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.faces.service import FACE, FaceService
from gateway.live.face import unknown_face
from gateway.protocols.dialect import ProtocolError
from gateway.transports.webrtc.video import Video
from pipeline.frames import AvatarState, Clear, ReplyAudio, ReplyDone, Spoken, Visemes
from pipeline.stage import Observed, Observer


class VideoFace:
    """A `gateway.live.transport.ClientFace`. `wanted` is the name that the client gave."""

    def __init__(self, video: Video, faces: FaceService, wanted: str | None) -> None:
        self.provider = faces.server or FACE
        self._video = video
        self._faces = faces
        self._wanted = wanted
        self._shown = wanted if wanted in faces.faces else faces.default

    @asynccontextmanager
    async def running(self) -> AsyncIterator["VideoFace"]:
        """The face while the block lasts, drawn by the avatar server if one is configured."""
        async with self._faces.animated(self._shown, self._video.gave_way) as animation:
            self._video.animation = animation
            yield self

    def start(self) -> ProtocolError | None:
        self._video.begin(self._shown)
        return unknown_face(self._wanted, self._faces.faces, self._faces.default)

    def observers(self) -> tuple[Observer, ...]:
        return (self,)

    def observe(self, output: Observed, now: float) -> None:
        """Show an output of the session. Audio needs no call: the video follows its track."""
        if isinstance(output, ReplyAudio):
            return
        video = self._video
        video.turn = max(video.turn, output.turn)
        match output:
            case Spoken():
                if video.animation is not None:
                    video.animation.hear(output)
            case Visemes():
                video.add(output)
            case AvatarState(_, mood):
                video.mood(mood)
            case Clear():
                video.clear()
            case ReplyDone(turn, interrupted=True):
                if video.animation is not None:
                    video.animation.drop(turn)
