"""What is loaded at the start is left out of garbage collections, which stop every session."""

import asyncio
import gc
from pathlib import Path

from gateway.app import create_app
from gateway.commands.serve import GatewayServer, listen, server_config
from gateway.settings import Settings
from tests.support.gateway import Gateway


def test_what_is_loaded_at_the_start_is_not_looked_at_again(tmp_path: Path) -> None:
    async def story() -> None:
        app = create_app(Settings(data_dir=tmp_path), stages=Gateway(tmp_path).scripted())
        server = GatewayServer(app, server_config(app))
        sockets = listen("127.0.0.1", 0)
        gc.unfreeze()  # what another test's server has frozen in this process
        serving = asyncio.create_task(server.serve(sockets))
        try:
            async with asyncio.timeout(60):
                while not server.started:
                    await asyncio.sleep(0.01)
            loaded = gc.get_freeze_count()
            assert loaded > 50_000
            assert len(gc.get_objects()) < loaded / 2
        finally:
            gc.unfreeze()
            server.should_exit = True
            await serving
            for each in sockets:
                each.close()

    asyncio.run(story())
