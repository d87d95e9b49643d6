import asyncio
from typing import Any


async def face_is_there(gateway: Any) -> None:
    """Return when the built-in face of a running gateway can be drawn. It is made for the first
    client that wants pictures, and a busy machine may have spoken for seconds until then.
    """
    runtime = gateway.app.state.runtime
    stream = runtime.calls().faces.stream(
        None,
        session_id="nobody",
        rate_hz=16_000,
        show=lambda frame: None,
        degraded=lambda frame: None,
        room=lambda: False,
    )
    async with stream as opened, asyncio.timeout(20):
        while runtime.studio is not None and opened.pictures is None:
            await asyncio.sleep(0.01)
