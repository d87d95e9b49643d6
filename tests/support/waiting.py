import asyncio
from typing import Any


async def face_is_there(gateway: Any) -> None:
    """Return when the built-in face of a running gateway can be drawn. It is made for the first
    client that wants pictures, and a busy machine may have spoken for seconds until then.
    """
    engine = gateway.app.state.engine
    portrait = engine.gallery().portrait(
        None,
        session_id="nobody",
        rate_hz=16_000,
        show=lambda frame: None,
        degraded=lambda frame: None,
        room=lambda: False,
    )
    async with portrait as portrayed, asyncio.timeout(20):
        while engine.studio is not None and portrayed.album is None:
            await asyncio.sleep(0.01)
