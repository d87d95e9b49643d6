"""A real recogniser that live voice and an upload want at the same time."""

import asyncio
import io
import wave

import numpy as np
import pytest

from gateway.interviews.uploads import UploadRecording, Uploads
from pipeline.breaker import Breaker
from pipeline.frames import Samples
from pipeline.guard import Candidate, Guard
from stages.stt.pocketsphinx import PocketsphinxTranscriber
from stages.vad.energy import EnergyDetector
from tests.support.paths import AUDIO


def clip(name: str) -> Samples:
    with wave.open(str(AUDIO / f"{name}.wav")) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


@pytest.mark.slow
def test_an_upload_leaves_the_recogniser_to_live_voice_and_is_recognised_after_it() -> None:
    async def main() -> None:
        stage = PocketsphinxTranscriber()
        try:
            await stage.start()
            uploads = Uploads(
                EnergyDetector(), Guard("stt", [Candidate(stage.provider, stage, Breaker())])
            )
            pcm = clip("software-engineer-1")
            upload = asyncio.create_task(
                uploads.recognise(UploadRecording(io.BytesIO(pcm.tobytes()), len(pcm)))
            )
            async with asyncio.timeout(30):
                while stage.stats().jobs == 0:  # the upload's: no live speech yet
                    await asyncio.sleep(0.01)
                live = stage.open(1)
                live.feed(clip("product-manager-1")[:32_000])
                while stage.stats().jobs > 1:  # it gives way
                    await asyncio.sleep(0.01)
                for _ in range(30):
                    await asyncio.sleep(0.02)
                    assert stage.stats().jobs == 1
                [words] = [found.text async for found in live.finish()]
                assert words
                assert not upload.done()
                heard = await upload
        finally:
            await stage.aclose()
        said = "i spent the last four years building web services"
        assert heard.text.startswith(said)
        assert said.split() == [word.text for word in heard.words[:9]]
        assert (heard.recognition.quality, heard.note) == ("demo", "demo quality")
        assert heard.duration_ms == 9310

    asyncio.run(main())
