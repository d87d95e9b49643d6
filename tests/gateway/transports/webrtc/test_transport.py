"""`PeerTransport`: what a peer gets that receives no video."""

import asyncio
from typing import Literal

import pytest

from gateway.protocols.dialect import SessionRequest
from gateway.transports.webrtc.transport import PeerTransport


@pytest.mark.parametrize(
    ("asked", "shown"), [("frames", "visemes"), ("visemes", "visemes"), ("off", "off")]
)
def test_a_peer_without_video_draws_the_face_and_gets_no_pictures(
    asked: Literal["frames", "visemes", "off"], shown: str
) -> None:
    async def story() -> None:
        transport = PeerTransport("s", lambda: None, waits=True)
        async with transport.face(SessionRequest(avatar=asked)) as face:
            assert (face.provider, face.start()) == (shown, None)
            assert face.observers() == ()
            assert not transport._unsent

    asyncio.run(story())
